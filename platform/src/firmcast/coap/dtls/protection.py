"""The records of an open session: each is sealed under the keys that its handshake agreed on, and each is taken once.

OpenSSL makes the handshake, and its AES does the sealing. What stands between is here, since OpenSSL keeps 66 KiB of
every session for it and this a twentieth of that. Source: RFC 5246 sections 5 and 6.3 (the keys), RFC 6655 section 3
and RFC 5288 section 3 (the nonce is four secret bytes and eight that stand in the record), RFC 6347 section 4.1 (the
record, and how one that came before is known). The suite without a nonce is in `block_sessions`.
"""

import hmac
from dataclasses import dataclass
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from OpenSSL import SSL

from firmcast.coap.dtls.records import ALERT, HANDSHAKE, MESSAGE, RECORD_HEADER

LARGEST_MESSAGE: Final = 1 << 14
BLOCK_SUITE: Final = "PSK-AES128-CBC-SHA256"
_VERSION: Final = b"\xfe\xfd"
_HEAD_LENGTH: Final = 3
HEADS: Final = {kind: bytes([kind]) + _VERSION for kind in (ALERT, HANDSHAKE, MESSAGE)}
"""How records begin that hold this or that."""
_EPOCH: Final = 1
"""Of every record after the handshake: there is no second one in a session."""
_FIRST: Final = _EPOCH << 48
EPOCH_END: Final = (_EPOCH + 1) << 48
_WINDOW: Final = 64
_KEY_LENGTH: Final = 16
_MAC_KEY_LENGTH: Final = 32
_SALT_LENGTH: Final = 4
_EXPLICIT_LENGTH: Final = 8
_COUNTERS: Final = (1 << 64) - 1
_SEALED: Final = RECORD_HEADER + _EXPLICIT_LENGTH
_pack_head: Final = Struct(">3sQHQ").pack
"""Type and version, number with its epoch, length; and the part of the nonce that is told."""
_unpack_head: Final = Struct(">3sQH8s").unpack_from
_pack_nonce: Final = Struct(">4sQ").pack
_pack_associated: Final = Struct(">Q3sH").pack
"""Number, type and version, and how long the message is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeys:
    """What a handshake agreed on. The salts are the secret parts of the nonces."""

    suite: str
    """As OpenSSL names it; one of `binding.SUITES`."""
    own_key: bytes
    peer_key: bytes
    own_salt: bytes = b""
    peer_salt: bytes = b""
    own_mac_key: bytes = b""
    peer_mac_key: bytes = b""


def server_keys(finished: SSL.Connection) -> SessionKeys:
    """Return the keys of a handshake that is over, as its server uses them."""
    secret, client_random, server_random = finished.master_key(), finished.client_random(), finished.server_random()
    suite = finished.get_cipher_name()
    assert secret is not None
    assert client_random is not None
    assert server_random is not None
    assert suite is not None
    seed = b"key expansion" + server_random + client_random
    if suite == BLOCK_SUITE:
        macs = expand(secret, seed, 2 * (_MAC_KEY_LENGTH + _KEY_LENGTH))
        block = macs[2 * _MAC_KEY_LENGTH :]
        return SessionKeys(
            suite=suite,
            peer_key=block[:_KEY_LENGTH],
            own_key=block[_KEY_LENGTH:],
            peer_mac_key=macs[:_MAC_KEY_LENGTH],
            own_mac_key=macs[_MAC_KEY_LENGTH : 2 * _MAC_KEY_LENGTH],
        )
    block = expand(secret, seed, 2 * (_KEY_LENGTH + _SALT_LENGTH))
    return SessionKeys(
        suite=suite,
        peer_key=block[:_KEY_LENGTH],
        own_key=block[_KEY_LENGTH : 2 * _KEY_LENGTH],
        peer_salt=block[-2 * _SALT_LENGTH : -_SALT_LENGTH],
        own_salt=block[-_SALT_LENGTH:],
    )


def expand(secret: bytes, seed: bytes, length: int) -> bytes:
    """Return so many bytes of the pseudo-random function of TLS 1.2 (RFC 5246 section 5); the label begins the seed."""
    block, link = b"", seed
    while len(block) < length:
        link = hmac.digest(secret, link, "sha256")
        block += hmac.digest(secret, link + seed, "sha256")
    return block[:length]


class RecordProtection:
    """Both directions of one session."""

    __slots__ = ("_ahead", "_cipher", "_expansion", "_late", "_newest", "_next", "_peer_cipher", "_peer_salt", "_salt")

    def __init__(self, keys: SessionKeys, last_record: bytes) -> None:
        """Go on after the last record that the handshake sealed under our key: no nonce is used twice."""
        self._next = int.from_bytes(last_record[3:11], "big") + 1
        self._newest = _FIRST - 1
        self._late: frozenset[int] = frozenset()
        """The numbers below the newest that did not come, and may still: of those before a gap the last 64."""
        self._take_keys(keys, last_record)

    def _take_keys(self, keys: SessionKeys, last_record: bytes) -> None:
        self._cipher, self._peer_cipher, tag = _ciphers(keys)
        self._expansion = _EXPLICIT_LENGTH + tag
        self._salt, self._peer_salt = keys.own_salt, keys.peer_salt
        # With CCM the nonce tells the record's number, with GCM it counts from somewhere.
        self._ahead = int.from_bytes(last_record[RECORD_HEADER:_SEALED], "big") - (self._next - 1)

    def write(self, content: bytes, kind: int = MESSAGE) -> bytes:
        """Return the record of a message, or of what else `kind` names, of 16 KiB at the most."""
        length = len(content)
        number = self._next
        self._next = number + 1
        head = HEADS[kind]
        explicit = number + self._ahead & _COUNTERS if self._ahead else number
        return _pack_head(head, number, length + self._expansion, explicit) + self._cipher.encrypt(
            _pack_nonce(self._salt, explicit), content, _pack_associated(number, head, length)
        )

    def open_own(self, record: bytes) -> bytes:
        """Return what is in a record that was sealed under our own key. Raises InvalidTag."""
        head, number, told, explicit = _unpack_head(record)
        associated = _pack_associated(number, head, told - self._expansion)
        return self._cipher.decrypt(self._salt + explicit, record[_SEALED:], associated)

    def open(self, record: bytes) -> bytes | None:
        """Return what a datagram of one record holds; None where it is no such, does not verify, or came before."""
        head = record[:_HEAD_LENGTH]
        return self.open_message(record, head) if head[1:] == _VERSION else None

    def open_message(self, record: bytes, head: bytes = HEADS[MESSAGE]) -> bytes | None:
        """Return the same of a record that begins with `head`, its kind and version; None of any other."""
        length = len(record) - RECORD_HEADER - self._expansion
        if not 0 <= length <= LARGEST_MESSAGE:
            return None
        begun, number, told, explicit = _unpack_head(record)
        if begun != head or told != length + self._expansion:
            return None
        newest = self._newest
        if number > newest:
            if number >= EPOCH_END:
                return None
        elif number not in self._late:
            return None
        try:
            content = self._peer_cipher.decrypt(
                self._peer_salt + explicit, record[_SEALED:], _pack_associated(number, head, length)
            )
        except InvalidTag:
            return None
        if number == newest + 1:
            self._newest = number
        else:
            self._note(number)
        return content

    def _note(self, number: int) -> None:
        """Take a number out of turn: it does not count again, and those that it overtook may come yet."""
        if number < self._newest:
            self._late -= {number}
            return
        oldest = number - _WINDOW
        missing = range(max(self._newest + 1, oldest), number)
        self._late = frozenset(each for each in self._late if each >= oldest) | frozenset(missing)
        self._newest = number


def _ciphers(keys: SessionKeys) -> tuple[AESCCM | AESGCM, AESCCM | AESGCM, int]:
    """Return what seals, what unseals, and the length of a tag."""
    if keys.suite == "PSK-AES128-GCM-SHA256":
        return AESGCM(keys.own_key), AESGCM(keys.peer_key), 16
    tag = 8 if keys.suite == "PSK-AES128-CCM8" else 16
    return AESCCM(keys.own_key, tag), AESCCM(keys.peer_key, tag), tag
