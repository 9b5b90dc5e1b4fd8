"""What can be read of DTLS records without a key: where one ends, and what a handshake message in clear says.

Source: RFC 6347 sections 4.1 (the record header, 13 bytes) and 4.2.2 (the handshake header, 12 bytes), RFC 4279
section 2 (the identity in ClientKeyExchange), RFC 5246 section 7.4.1.2 (ClientHello), RFC 6066 section 4 (the longest
fragment). Nothing here raises, whatever the bytes are.
"""

from collections.abc import Iterator
from typing import Final

RECORD_HEADER: Final = 13
_CHANGE: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
MESSAGE: Final = 23
"""What a record holds, by its first byte (RFC 5246 section 6.2.1)."""
_KINDS_OF_HANDSHAKE: Final = frozenset(bytes([kind]) for kind in (_CHANGE, ALERT, HANDSHAKE))
HELLO: Final = b"\x01"
FINISHED: Final = b"\x14"
"""The first byte of what a client says to begin a handshake, and of what ends one (RFC 5246 section 7.4)."""
_HANDSHAKE_HEADER: Final = 12
_CLIENT_KEY_EXCHANGE: Final = 16
_LONGEST_OF_HANDSHAKE: Final = 512
"""Of records, and of messages, after ClientHello: an identity has 256 bytes at the most."""
_VERSION: Final = b"\xfe\xfd"
_CLEAR: Final = b"\x00\x00"
_VERSION_AND_RANDOM: Final = 34
_LENGTHS_BEFORE_EXTENSIONS: Final = (1, 1, 2, 1)
"""How wide the lengths are of what comes between: the session, the cookie, the suites and the compressions."""
_MAX_FRAGMENT_LENGTH: Final = 1
_RANDOM: Final = slice(RECORD_HEADER + _HANDSHAKE_HEADER + 2, RECORD_HEADER + _HANDSHAKE_HEADER + 34)


def split_records(stream: bytes) -> list[bytes]:
    """Return the records that follow each other in `stream`; what is too short for its header is the last of them."""
    records = []
    start = 0
    while start < len(stream):
        end = start + RECORD_HEADER + int.from_bytes(stream[start + 11 : start + RECORD_HEADER], "big")
        records.append(stream[start:end])
        start = end
    return records


def next_record(record: bytes) -> bytes:
    """Return a record in clear under the number that follows its own."""
    return record[:5] + (int.from_bytes(record[5:11], "big") + 1).to_bytes(6, "big") + record[11:]


def pack_records(stream: bytes, largest: int) -> list[bytes]:
    """Return datagrams of whole records, each as long as `largest` allows; a longer record goes alone."""
    datagrams: list[bytes] = []
    for record in split_records(stream):
        if datagrams and len(datagrams[-1]) + len(record) <= largest:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams


def is_single_record(datagram: bytes) -> bool:
    """Tell whether a datagram is one whole record and no more."""
    return len(datagram) == RECORD_HEADER + (datagram[11] << 8 | datagram[12]) if len(datagram) > 12 else False


def is_client_hello(datagram: bytes) -> bool:
    """Tell whether a datagram begins with a whole ClientHello in clear; it is as long as any that means it."""
    return (
        len(datagram) >= _RANDOM.stop
        and datagram[0] == HANDSHAKE
        and datagram[1] == 0xFE
        and datagram[3:5] == _CLEAR
        and datagram[RECORD_HEADER : RECORD_HEADER + 1] == HELLO
    )


def in_version_of(client_hello: bytes, challenge: bytes) -> bytes:
    """Return a HelloVerifyRequest as a record of the version under which the ClientHello came.

    OpenSSL sends it as DTLS 1.0 to everybody. RFC 6347 section 4.2.1 asks that of the version within the message, which
    stays; of the record it says nothing, and a tinydtls that has come with many clients passes over all but DTLS 1.2.
    """
    return challenge[:1] + client_hello[1:3] + challenge[3:]


def client_random(client_hello: bytes) -> bytes:
    """Return the 32 bytes by which a ClientHello differs from those of other handshakes, and not from its repeats."""
    return client_hello[_RANDOM]


def longest_fragment(client_hello: bytes) -> int | None:
    """Return how long a message the client takes, None where it does not say."""
    for message_type, body in _clear_messages(client_hello):
        if message_type == HELLO[0]:
            for extension_type, value in _extensions(body):
                if extension_type == _MAX_FRAGMENT_LENGTH and len(value) == 1 and 1 <= value[0] <= 4:
                    return 256 << value[0]
    return None


def needed_for_handshake(datagram: bytes) -> bytes:
    """Return those records of a datagram that a server may need after ClientHello, without what would cost it much.

    Of a message that it has in parts, or does not await yet, OpenSSL keeps as much as it claims to be long. And behind
    a header that it does not like it looks for the next record within the same one: so it is shown none of them.
    """
    return b"".join(record for record in split_records(datagram) if _is_needed(record))


def _is_needed(record: bytes) -> bool:
    if record[:1] not in _KINDS_OF_HANDSHAKE or record[1:3] != _VERSION:
        return False
    if not is_single_record(record) or len(record) > RECORD_HEADER + _LONGEST_OF_HANDSHAKE:
        return False
    if record[0] != HANDSHAKE or record[3:5] != _CLEAR:
        return True
    start = RECORD_HEADER
    while start < len(record):
        header = record[start : start + _HANDSHAKE_HEADER]
        if len(header) < _HANDSHAKE_HEADER or int.from_bytes(header[1:4], "big") > _LONGEST_OF_HANDSHAKE:
            return False
        start += _HANDSHAKE_HEADER + int.from_bytes(header[9:12], "big")
    return start == len(record)


def identity_offered(datagram: bytes) -> bytes | None:
    """Return the identity of a ClientKeyExchange in clear that the datagram holds whole, None where there is none."""
    for message_type, body in _clear_messages(datagram):
        if message_type == _CLIENT_KEY_EXCHANGE and len(body) >= 2:
            length = int.from_bytes(body[:2], "big")
            if len(body) >= 2 + length:
                return body[2 : 2 + length]
    return None


def _extensions(client_hello: bytes) -> Iterator[tuple[int, bytes]]:
    start = _VERSION_AND_RANDOM
    for width in _LENGTHS_BEFORE_EXTENSIONS:
        start += width + int.from_bytes(client_hello[start : start + width], "big")
    start += 2
    while start + 4 <= len(client_hello):
        end = start + 4 + int.from_bytes(client_hello[start + 2 : start + 4], "big")
        yield int.from_bytes(client_hello[start : start + 2], "big"), client_hello[start + 4 : end]
        start = end


def _clear_messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    for record in split_records(datagram):
        if len(record) <= RECORD_HEADER or record[0] != HANDSHAKE or record[3:5] != _CLEAR:
            continue
        start = RECORD_HEADER
        while start + _HANDSHAKE_HEADER <= len(record):
            header = record[start : start + _HANDSHAKE_HEADER]
            length = int.from_bytes(header[1:4], "big")
            offset, fragment = int.from_bytes(header[6:9], "big"), int.from_bytes(header[9:12], "big")
            start += _HANDSHAKE_HEADER
            if offset == 0 and fragment == length and start + length <= len(record):
                yield header[0], record[start : start + length]
            start += fragment
