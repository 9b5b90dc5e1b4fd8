"""A value read from a device is kept as it came; its type is told by whoever asks for it.

TLV carries no types, so its values stay bytes until one of the functions here is asked for an integer or a text.
"""

import struct
from typing import TypeAlias

from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import Path

Value: TypeAlias = bool | int | float | str | bytes
ResourceValues: TypeAlias = dict[Path, Value]
"""What a payload says: one value for each resource or resource instance."""

_LONGEST_INTEGER_TEXT = 20


def as_integer(value: Value) -> int:
    """Return the integer that `value` stands for: big-endian two's complement in bytes, decimal digits in a text.

    Raises ContentFormatError.
    """
    match value:
        case int():
            return int(value)
        case float():
            if not value.is_integer():
                raise ContentFormatError(f"{value} is not an integer")
            return int(value)
        case str():
            return _integer_of_text(value)
        case bytes():
            if not 1 <= len(value) <= 8:
                raise ContentFormatError(f"an integer has 1 to 8 bytes, not {len(value)}")
            return int.from_bytes(value, "big", signed=True)


def as_float(value: Value) -> float:
    """Return the number that `value` stands for: IEEE 754 of 4 or 8 bytes, or a decimal text.

    Raises ContentFormatError.
    """
    match value:
        case int() | float() | str():
            try:
                return float(value)
            except (ValueError, OverflowError) as error:
                raise ContentFormatError("the value is not a number") from error
        case bytes():
            if len(value) == 4:
                return float(struct.unpack(">f", value)[0])
            if len(value) == 8:
                return float(struct.unpack(">d", value)[0])
            raise ContentFormatError(f"a number has 4 or 8 bytes, not {len(value)}")


def as_text(value: Value) -> str:
    """Return the text that `value` stands for; numbers are spelt out. Raises ContentFormatError."""
    match value:
        case str():
            return value
        case bool():
            return "1" if value else "0"
        case int() | float():
            return str(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError as error:
                raise ContentFormatError("the text is not UTF-8") from error


def integer_at(values: ResourceValues, path: Path) -> int | None:
    """Return the integer at `path`, None where the payload had nothing there. Raises ContentFormatError."""
    value = values.get(path)
    return None if value is None else as_integer(value)


def text_at(values: ResourceValues, path: Path) -> str | None:
    """Return the text at `path`, None where the payload had nothing there. Raises ContentFormatError."""
    value = values.get(path)
    return None if value is None else as_text(value)


def integers_at(values: ResourceValues, path: Path) -> tuple[int, ...]:
    """Return the integers of all instances of the resource at `path`, in the order of their numbers.

    Raises ContentFormatError.
    """
    return tuple(as_integer(values[place]) for place in sorted(values) if path.covers(place))


def _integer_of_text(text: str) -> int:
    digits = text.strip().removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_INTEGER_TEXT):
        raise ContentFormatError(f"{text[:20]!r} is not an integer")
    try:
        return int(text)
    except ValueError as error:
        raise ContentFormatError(f"{text[:20]!r} is not an integer") from error
