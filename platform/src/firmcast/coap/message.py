"""A datagram is one message: decoding accepts what RFC 7252 section 3 allows and raises one error for the rest."""

import msgspec

from firmcast.coap.block import Block, BlockError, decode_block
from firmcast.coap.codes import BLOCK1, BLOCK2, OBSERVE, URI_PATH, MessageType, OptionNumber, code_text
from firmcast.coap.options import Options, encode_options, first_value

HEADER_SIZE = 4
LONGEST_TOKEN = 8
_TYPES = (MessageType.CON, MessageType.NON, MessageType.ACK, MessageType.RST)


class MessageFormatError(ValueError):
    """A datagram is not a well-formed CoAP message."""


class Message(msgspec.Struct, frozen=True):
    """One CoAP message. `code` is a `Code` or, from a peer, any number 0..255; `options` are sorted by number."""

    type: MessageType
    code: int
    message_id: int
    token: bytes = b""
    options: Options = ()
    payload: bytes = b""

    @property
    def uri_path(self) -> tuple[str, ...]:
        """The path's segments; bytes that are no UTF-8 become U+FFFD."""
        return self._texts(URI_PATH)

    @property
    def uri_query(self) -> tuple[str, ...]:
        """The query's arguments, as sent: `key=value` or a bare flag."""
        return self._texts(OptionNumber.URI_QUERY)

    @property
    def location_path(self) -> tuple[str, ...]:
        """The segments of the location that a 2.01 names."""
        return self._texts(OptionNumber.LOCATION_PATH)

    @property
    def content_format(self) -> int | None:
        """The payload's format, a number of the IANA registry."""
        return self._uint(OptionNumber.CONTENT_FORMAT)

    @property
    def accept(self) -> int | None:
        """The format that the client asks for."""
        return self._uint(OptionNumber.ACCEPT)

    @property
    def observe(self) -> int | None:
        """Request: 0 register, 1 deregister. Notification: the sequence number, 24 bits (RFC 7641 section 2)."""
        value = self._uint(OBSERVE)
        return None if value is None else value & 0xFFFFFF

    @property
    def max_age(self) -> int | None:
        """Seconds for which a response may be taken as fresh."""
        return self._uint(OptionNumber.MAX_AGE)

    @property
    def etag(self) -> bytes | None:
        """The first entity tag."""
        return first_value(self.options, OptionNumber.ETAG)

    @property
    def etags(self) -> tuple[bytes, ...]:
        """Every entity tag: a request may offer several for validation."""
        return tuple(value for number, value in self.options if number == OptionNumber.ETAG)

    @property
    def block1(self) -> Block | None:
        """The Block1 option; raises BlockError when it is malformed."""
        return self._block(BLOCK1)

    @property
    def block2(self) -> Block | None:
        """The Block2 option; raises BlockError when it is malformed."""
        return self._block(BLOCK2)

    @property
    def size1(self) -> int | None:
        """The size of the request's body, in bytes."""
        return self._uint(OptionNumber.SIZE1)

    @property
    def size2(self) -> int | None:
        """The size of the response's body, in bytes."""
        return self._uint(OptionNumber.SIZE2)

    def describe(self) -> str:
        """Return one line for a log: type, code, message id, token, path and payload length, no payload."""
        path = "/" + "/".join(self.uri_path) if self.uri_path else ""
        size = f" {len(self.payload)}B" if self.payload else ""
        return f"{self.type.name} {code_text(self.code)} #{self.message_id} [{self.token.hex()}] {path}{size}".rstrip()

    def _texts(self, wanted: int) -> tuple[str, ...]:
        return tuple([value.decode("utf-8", "replace") for number, value in self.options if number == wanted])

    def _uint(self, wanted: int) -> int | None:
        value = first_value(self.options, wanted)
        return None if value is None else int.from_bytes(value, "big")

    def _block(self, wanted: int) -> Block | None:
        value = first_value(self.options, wanted)
        return None if value is None else decode_block(value)


def blocks_and_observe(options: Options) -> tuple[Block | None, Block | None, int | None]:
    """Return Block1, Block2 and Observe in one pass; raise BlockError when a block is malformed."""
    block1 = block2 = observe = None
    for number, value in options:
        if number == BLOCK1:
            block1 = decode_block(value)
        elif number == BLOCK2:
            block2 = decode_block(value)
        elif number == OBSERVE:
            observe = int.from_bytes(value, "big") & 0xFFFFFF
    return block1, block2, observe


def encode(message: Message) -> bytes:
    """Return the datagram of a message; raise ValueError when a field has no encoding."""
    token = message.token
    if len(token) > LONGEST_TOKEN or not 0 <= message.message_id <= 0xFFFF or not 0 <= message.code <= 0xFF:
        raise ValueError("token, message id or code out of range")
    return encode_fields(message.type, message.code, message.message_id, token, message.options, message.payload)


def encode_fields(kind: int, code: int, message_id: int, token: bytes, options: Options, payload: bytes) -> bytes:
    """Return the datagram of fields that are known to be in range, without a Message made for it."""
    wire = bytes((0x40 | kind << 4 | len(token), code, message_id >> 8, message_id & 0xFF)) + token
    if options:
        wire += encode_options(options)
    return wire + b"\xff" + payload if payload else wire


def decode(datagram: bytes) -> Message:
    """Return the message of a datagram; raise MessageFormatError, and nothing else, when it is none."""
    length = len(datagram)
    if length < HEADER_SIZE:
        raise MessageFormatError("shorter than a header")
    first = datagram[0]
    token_length = first & 15
    if first >> 6 != 1:
        raise MessageFormatError("not version 1")
    start = HEADER_SIZE + token_length
    if token_length > LONGEST_TOKEN or start > length:
        raise MessageFormatError("bad token length")
    code = datagram[1]
    if code == 0 and length > HEADER_SIZE:
        raise MessageFormatError("an empty message with content")
    options, payload = _decode_body(datagram, start, length)
    return Message(
        _TYPES[first >> 4 & 3],
        code,
        datagram[2] << 8 | datagram[3],
        datagram[HEADER_SIZE:start],
        options,
        payload,
    )


def decode_options(datagram: bytes, start: int) -> tuple[Options, bytes]:
    """Return options and payload of a datagram whose options begin at `start`; raise MessageFormatError."""
    return _decode_body(datagram, start, len(datagram))


def _decode_body(datagram: bytes, position: int, length: int) -> tuple[Options, bytes]:
    options: list[tuple[int, bytes]] = []
    number = 0
    while position < length:
        byte = datagram[position]
        position += 1
        if byte == 0xFF:
            if position == length:
                raise MessageFormatError("a payload marker without a payload")
            return tuple(options), datagram[position:]
        delta = byte >> 4
        size = byte & 15
        if delta > 12 or size > 12:
            delta, position = _decode_extended(datagram, delta, position)
            size, position = _decode_extended(datagram, size, position)
        number += delta
        end = position + size
        if end > length or number > 0xFFFF:
            raise MessageFormatError("an option leaves the datagram or the number range")
        options.append((number, datagram[position:end]))
        position = end
    return tuple(options), b""


def _decode_extended(datagram: bytes, nibble: int, position: int) -> tuple[int, int]:
    if nibble < 13:
        return nibble, position
    width = nibble - 12
    if nibble == 15 or position + width > len(datagram):
        raise MessageFormatError("a reserved or truncated option header")
    value = int.from_bytes(datagram[position : position + width], "big")
    return value + (13 if nibble == 13 else 269), position + width


__all__ = [
    "HEADER_SIZE",
    "LONGEST_TOKEN",
    "BlockError",
    "Message",
    "MessageFormatError",
    "blocks_and_observe",
    "decode",
    "decode_options",
    "encode",
    "encode_fields",
]
