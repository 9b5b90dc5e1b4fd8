"""Options are an ordered tuple of (number, value bytes); this module alone gives them their meaning.

Source: RFC 7252 sections 3.1, 3.2 and 5.10; RFC 7641 section 2; RFC 7959 sections 2.1 and 4.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from firmcast.coap.block import Block
from firmcast.coap.codes import URI_PATH, OptionNumber

Options = tuple[tuple[int, bytes], ...]


def encode_uint(value: int) -> bytes:
    """Return the shortest big-endian form; zero is no bytes at all. Raise ValueError below zero or above 32 bits."""
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value} is not an unsigned integer of at most 32 bits")
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def decode_uint(value: bytes) -> int:
    """Return the number; leading zero bytes are accepted."""
    return int.from_bytes(value, "big")


def options(
    *,
    uri_path: Sequence[str] = (),
    uri_query: Sequence[str] = (),
    content_format: int | None = None,
    accept: int | None = None,
    observe: int | None = None,
    location_path: Sequence[str] = (),
    location_query: Sequence[str] = (),
    etag: bytes | Sequence[bytes] | None = None,
    max_age: int | None = None,
    block1: Block | None = None,
    block2: Block | None = None,
    size1: int | None = None,
    size2: int | None = None,
    uri_host: str | None = None,
    uri_port: int | None = None,
    if_match: Sequence[bytes] = (),
    if_none_match: bool = False,
    others: Iterable[tuple[int, bytes]] = (),
) -> Options:
    """Build a sorted option tuple from what the fields mean; `others` are raw pairs for anything not listed here."""
    built: list[tuple[int, bytes]] = [(int(number), value) for number, value in others]
    etags = (etag,) if isinstance(etag, bytes) else etag or ()
    texts: tuple[tuple[OptionNumber, Sequence[str]], ...] = (
        (OptionNumber.URI_HOST, () if uri_host is None else (uri_host,)),
        (OptionNumber.LOCATION_PATH, location_path),
        (OptionNumber.URI_PATH, uri_path),
        (OptionNumber.URI_QUERY, uri_query),
        (OptionNumber.LOCATION_QUERY, location_query),
    )
    numbers: tuple[tuple[OptionNumber, int | None], ...] = (
        (OptionNumber.OBSERVE, observe),
        (OptionNumber.URI_PORT, uri_port),
        (OptionNumber.CONTENT_FORMAT, content_format),
        (OptionNumber.MAX_AGE, max_age),
        (OptionNumber.ACCEPT, accept),
        (OptionNumber.SIZE2, size2),
        (OptionNumber.SIZE1, size1),
    )
    built += [(int(OptionNumber.IF_MATCH), tag) for tag in if_match]
    built += [(int(OptionNumber.ETAG), tag) for tag in etags]
    if if_none_match:
        built.append((int(OptionNumber.IF_NONE_MATCH), b""))
    built += [(int(number), text.encode()) for number, values in texts for text in values]
    built += [(int(number), encode_uint(value)) for number, value in numbers if value is not None]
    for number, block in ((OptionNumber.BLOCK2, block2), (OptionNumber.BLOCK1, block1)):
        if block is not None:
            built.append((int(number), block.encode()))
    return sort_options(built)


def sort_options(pairs: Iterable[tuple[int, bytes]]) -> Options:
    """Order pairs by number, keeping the order of equal numbers: path segments stay in place."""
    return tuple(sorted(pairs, key=_number_of))


def without(pairs: Options, *numbers: int) -> Options:
    """Return the options whose number is none of `numbers`."""
    return tuple(pair for pair in pairs if pair[0] not in numbers)


def with_option(pairs: Options, number: int, value: bytes) -> Options:
    """Return the options with exactly one option `number`, of `value`."""
    return sort_options([*without(pairs, number), (int(number), value)])


def first_value(pairs: Options, number: int) -> bytes | None:
    """Return the value of the first option `number`, or None."""
    for candidate, value in pairs:
        if candidate == number:
            return value
        if candidate > number:
            return None
    return None


def encode_options(pairs: Iterable[tuple[int, bytes]], after: int = 0) -> bytes:
    """Return the wire form of sorted options, the first delta counted from option number `after`.

    Raise ValueError when they are not sorted or a number or a length has no encoding (RFC 7252 section 3.1).
    """
    wire = bytearray()
    previous = after
    for number, value in pairs:
        delta = number - previous
        length = len(value)
        if delta < 0 or number > 0xFFFF or length > 65804:
            raise ValueError(f"option {number} of {length} bytes after option {previous} has no encoding")
        if delta < 13 and length < 13:
            wire.append(delta << 4 | length)
        else:
            delta_nibble, delta_extension = _extended(delta)
            length_nibble, length_extension = _extended(length)
            wire.append(delta_nibble << 4 | length_nibble)
            wire += delta_extension
            wire += length_extension
        wire += value
        previous = number
    return bytes(wire)


def _extended(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class _Definition:
    shortest: int
    longest: int
    repeatable: bool = False


def _number_of(pair: tuple[int, bytes]) -> int:
    return pair[0]


_DEFINITIONS: dict[int, _Definition] = {
    OptionNumber.IF_MATCH: _Definition(0, 8, repeatable=True),
    OptionNumber.URI_HOST: _Definition(1, 255),
    OptionNumber.IF_NONE_MATCH: _Definition(0, 0),
    OptionNumber.URI_PORT: _Definition(0, 2),
    OptionNumber.URI_PATH: _Definition(0, 255, repeatable=True),
    OptionNumber.URI_QUERY: _Definition(0, 255, repeatable=True),
    OptionNumber.ACCEPT: _Definition(0, 2),
    OptionNumber.BLOCK2: _Definition(0, 3),
    OptionNumber.BLOCK1: _Definition(0, 3),
}


def unsupported_critical_option(pairs: Options) -> int | None:
    """Return the number of the first critical option that must not be ignored, or None.

    That is: unknown, of a length outside its definition, or repeated though it may stand only once (RFC 7252 sections
    5.4.1, 5.4.3, 5.4.5). Proxy options are reported too: this engine is no proxy and the caller answers 5.05 for
    them.
    """
    previous = -1
    for number, value in pairs:
        if number & 1 and (number != URI_PATH or len(value) > 255):
            definition = _DEFINITIONS.get(number)
            if definition is None or not definition.shortest <= len(value) <= definition.longest:
                return number
            if number == previous and not definition.repeatable:
                return number
        previous = number
    return None
