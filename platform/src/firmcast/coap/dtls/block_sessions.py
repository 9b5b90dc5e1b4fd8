"""A session of the one suite whose records are sealed by AES in CBC mode and an HMAC, for clients that know no better.

LwM2M 1.0 requires it of servers beside CCM_8, and Huawei's LiteOS client offers nothing else. Source: RFC 5487 (the
suite), RFC 5246 section 6.2.3.2 (first the HMAC, then the encryption), RFC 7366 (the other way round, where both ends
know that: which of them it is, the last record of the handshake tells).
"""

import hmac
import secrets
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from firmcast.coap.dtls.protection import EPOCH_END, HEADS, LARGEST_MESSAGE, SessionKeys
from firmcast.coap.dtls.records import MESSAGE, RECORD_HEADER
from firmcast.coap.dtls.sessions import SecureSession

_BLOCK: Final = 16
_MAC: Final = 32
_pack_head: Final = Struct(">3sQH").pack
_unpack_head: Final = Struct(">3sQH").unpack_from
_pack_associated: Final = Struct(">Q3sH").pack


class BlockSession(SecureSession):
    """A session with one peer whose records have a random block, padding and an HMAC in them."""

    __slots__ = ("_encrypts_first", "_key", "_mac_key", "_peer_key", "_peer_mac_key")

    def _take_keys(self, keys: SessionKeys, last_record: bytes) -> None:
        self._key, self._mac_key = keys.own_key, keys.own_mac_key
        self._peer_key, self._peer_mac_key = keys.peer_key, keys.peer_mac_key
        head, number, _ = _unpack_head(last_record)
        self._encrypts_first = _has_mac(self._mac_key, number, head, last_record[RECORD_HEADER:])

    def write(self, content: bytes, kind: int = MESSAGE) -> bytes:
        """Return the record of a message, or of what else `kind` names, of 16 KiB at the most."""
        number = self._next
        self._next = number + 1
        head = HEADS[kind]
        if not self._encrypts_first:
            content += _mac(self._mac_key, number, head, content)
        first = secrets.token_bytes(_BLOCK)
        padding = _BLOCK - 1 - len(content) % _BLOCK
        cipher = Cipher(AES(self._key), CBC(first)).encryptor()
        sealed = first + cipher.update(content + bytes((padding,)) * (padding + 1)) + cipher.finalize()
        if self._encrypts_first:
            sealed += _mac(self._mac_key, number, head, sealed)
        return _pack_head(head, number, len(sealed)) + sealed

    def open_own(self, record: bytes) -> bytes:
        """Return what is in a record that was sealed under our own key. Raises InvalidTag."""
        head, number, _ = _unpack_head(record)
        content = self._unseal(self._key, self._mac_key, number, head, record[RECORD_HEADER:])
        if content is None:
            raise InvalidTag
        return content

    def open_message(self, record: bytes, head: bytes = HEADS[MESSAGE]) -> bytes | None:
        """Return what a record holds that begins with `head`, its kind and version; None of any other."""
        if len(record) < RECORD_HEADER:
            return None
        begun, number, told = _unpack_head(record)
        if begun != head or told != len(record) - RECORD_HEADER:
            return None
        newest = self._newest
        if number >= EPOCH_END or (number <= newest and number not in self._late):
            return None
        content = self._unseal(self._peer_key, self._peer_mac_key, number, head, record[RECORD_HEADER:])
        if content is None or len(content) > LARGEST_MESSAGE:
            return None
        if number == newest + 1:
            self._newest = number
        else:
            self._note(number)
        return content

    def _unseal(self, key: bytes, mac_key: bytes, number: int, head: bytes, sealed: bytes) -> bytes | None:
        """Return what is sealed, None where it does not verify."""
        if self._encrypts_first:
            if not _has_mac(mac_key, number, head, sealed):
                return None
            plain = _decrypted(key, sealed[:-_MAC])
            return None if plain is None else plain[: -plain[-1] - 1]
        plain = _decrypted(key, sealed)
        if plain is None or len(plain) <= _MAC:
            return None
        padding = plain[-1] + 1
        is_padded = len(plain) - padding >= _MAC and plain[-padding:] == plain[-1:] * padding
        end = len(plain) - (padding if is_padded else 1) - _MAC
        content, told = plain[:end], plain[end : end + _MAC]
        found = _mac(mac_key, number, head, content)
        # As many bytes are digested whatever the padding was, so that the time does not tell it (RFC 5246, 6.2.3.2).
        hmac.digest(mac_key, plain[end:], "sha256")
        return content if hmac.compare_digest(told, found) and is_padded else None


def _mac(mac_key: bytes, number: int, head: bytes, content: bytes) -> bytes:
    return hmac.digest(mac_key, _pack_associated(number, head, len(content)) + content, "sha256")


def _has_mac(mac_key: bytes, number: int, head: bytes, sealed: bytes) -> bool:
    """Tell whether what was encrypted ends with its HMAC."""
    return hmac.compare_digest(_mac(mac_key, number, head, sealed[:-_MAC]), sealed[-_MAC:])


def _decrypted(key: bytes, encrypted: bytes) -> bytes | None:
    """Return the blocks after the first, with their padding; None where there are none."""
    if len(encrypted) < 2 * _BLOCK or len(encrypted) % _BLOCK:
        return None
    cipher = Cipher(AES(key), CBC(encrypted[:_BLOCK])).decryptor()
    return cipher.update(encrypted[_BLOCK:]) + cipher.finalize()
