"""A peer's object is read here and nowhere else: leniently, and whatever is refused is one tree of errors.

    WireError
    ├── NotJsonError
    ├── NotAnObjectError
    ├── UnknownNotifyTypeError      .value
    └── FieldError                  .field, a dotted path such as ``policy.startTime``
        ├── MissingFieldError
        ├── WrongTypeError
        ├── InvalidValueError
        └── TooLongError            .limit

What is tolerated: white space and order of JSON, a byte order mark, keys that nobody knows, keys in any case or with
stray blanks, numbers and booleans written as strings and the reverse, an explicit null for a field that is optional.
"""

import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache
from typing import Annotated, Any, Self, TypeVar

import msgspec

from firmcast_sdk.wire.times import parse_time

LARGEST_NUMBER = 2**63 - 1


class WireError(Exception):
    """The body does not follow the contract."""


class NotJsonError(WireError):
    """The body is not JSON."""


class NotAnObjectError(WireError):
    """The body is JSON but not an object."""


class UnknownNotifyTypeError(WireError):
    """No notification of this notifyType is defined here."""

    def __init__(self, value: str) -> None:
        super().__init__(f"unknown notifyType {value[:64]!r}")
        self.value = value


class FieldError(WireError):
    """One field of the body does not follow the contract."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field


class MissingFieldError(FieldError):
    """A mandatory field is absent, null or empty."""

    def __init__(self, field: str) -> None:
        super().__init__(field, "is missing")


class WrongTypeError(FieldError):
    """A field holds another JSON type than the contract says."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(field, f"must be {expected}")
        self.expected = expected


class InvalidValueError(FieldError):
    """A field holds a value that the contract does not know."""

    def __init__(self, field: str, message: str = "has a value that the contract does not know") -> None:
        super().__init__(field, message)


class TooLongError(FieldError):
    """A field is longer than the contract allows."""

    def __init__(self, field: str, limit: int) -> None:
        super().__init__(field, f"is longer than {limit}")
        self.limit = limit


class WireEnum(StrEnum):
    """A closed set of the contract's words, found whatever their case."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if isinstance(value, str):
            folded = value.strip().casefold()
            for member in cls:
                if member.value.casefold() == folded:
                    return member
        return None


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What the annotation of a field says beyond its type."""

    limit: int | None = None  # characters of a text, items of a list
    least: int | None = None
    most: int | None = None
    filled: bool = False  # an empty text counts as missing
    other_names: tuple[str, ...] = ()  # further spellings that peers are known to send


Reader = Callable[[object, str], Any]
StructType = TypeVar("StructType", bound=msgspec.Struct)

# The contract's String(256) that must be there, and the same where it may be absent.
Required = Annotated[str, Hints(limit=256, filled=True)]
Short = Annotated[str, Hints(limit=256)]


def parse_object(body: bytes) -> dict[str, object]:
    """The JSON object in `body`; raises NotJsonError or NotAnObjectError."""
    try:
        value = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise NotAnObjectError("the body is not a JSON object")
    return value


def decode_struct(struct: type[StructType], body: bytes) -> StructType:
    """The record of type `struct` that the JSON `body` holds; raises WireError."""
    return read_struct(struct, parse_object(body))


def read_struct(struct: type[StructType], values: Mapping[str, object], path: str = "") -> StructType:
    """The record of type `struct` made from already parsed `values`; raises FieldError."""
    folded = {_fold(name): value for name, value in reversed(list(values.items()))}
    arguments: dict[str, object] = {}
    for plan in _plans(struct):
        value = _find(plan, values, folded)
        if value is None or (plan.filled and isinstance(value, str) and not value.strip()):
            if plan.required:
                raise MissingFieldError(path + plan.wire_name)
            continue
        arguments[plan.attribute] = plan.read(value, path + plan.wire_name)
    return struct(**arguments)


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    attribute: str
    wire_name: str
    names: tuple[str, ...]
    required: bool
    filled: bool
    read: Reader


def _fold(name: str) -> str:
    return name.strip().casefold()


def _find(plan: _Plan, values: Mapping[str, object], folded: Mapping[str, object]) -> object:
    if plan.wire_name in values:
        return values[plan.wire_name]
    return next((folded[name] for name in plan.names if name in folded), None)


@cache
def _plans(struct: type[msgspec.Struct]) -> tuple[_Plan, ...]:
    annotations = typing.get_type_hints(struct, include_extras=True)
    plans = []
    for field in msgspec.structs.fields(struct):
        kind, hints, _ = _open(annotations[field.name])
        plans.append(
            _Plan(
                attribute=field.name,
                wire_name=field.encode_name,
                names=tuple(_fold(name) for name in (field.encode_name, *hints.other_names)),
                required=field.required,
                filled=hints.filled,
                read=_reader(kind, hints),
            )
        )
    return tuple(plans)


def _open(annotation: Any) -> tuple[Any, Hints, bool]:
    """The plain type behind an annotation, its hints, and whether null is one of its values."""
    hints = Hints()
    nullable = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is Annotated:
            annotation, *extras = typing.get_args(annotation)
            hints = next((extra for extra in extras if isinstance(extra, Hints)), hints)
        elif origin in {types.UnionType, typing.Union}:
            kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
            nullable = nullable or len(kinds) < len(typing.get_args(annotation))
            (annotation,) = kinds
        else:
            return annotation, hints, nullable


def _reader(kind: Any, hints: Hints) -> Reader:
    """The function that turns a JSON value into `kind`."""
    origin = typing.get_origin(kind)
    simple: dict[Any, Reader] = {bool: _flag, datetime: _time, object: _anything, Any: _anything}
    if kind in simple:
        return simple[kind]
    if kind is str:
        return lambda value, path: _text(value, path, hints)
    if kind is int:
        return lambda value, path: _number(value, path, hints)
    if origin is tuple:
        item_kind, item_hints, nullable = _open(typing.get_args(kind)[0])
        item = _reader(item_kind, item_hints)
        return lambda value, path: _items(value, path, hints, item if not nullable else _or_null(item))
    if origin is dict:
        item_kind, item_hints, nullable = _open(typing.get_args(kind)[1])
        item = _reader(item_kind, item_hints)
        return lambda value, path: _mapping(value, path, item if not nullable else _or_null(item))
    if issubclass(kind, Enum):
        return lambda value, path: _member(kind, value, path)
    return lambda value, path: _record(kind, value, path)


def _or_null(reader: Reader) -> Reader:
    return lambda value, path: None if value is None else reader(value, path)


def _anything(value: object, _path: str) -> object:
    return value


def _text(value: object, path: str, hints: Hints) -> str:
    match value:
        case str():
            text = value
        case bool():
            text = "true" if value else "false"
        case int() if abs(value) <= LARGEST_NUMBER:
            text = str(value)
        case float() if math.isfinite(value):
            text = str(int(value)) if value.is_integer() and abs(value) <= LARGEST_NUMBER else repr(value)
        case _:
            raise WrongTypeError(path, "a string")
    if hints.limit is not None and len(text) > hints.limit:
        raise TooLongError(path, hints.limit)
    return text


def _number(value: object, path: str, hints: Hints) -> int:
    number: int | None = None
    match value:
        case bool():
            pass
        case int():
            number = value
        case float() if math.isfinite(value) and value.is_integer():
            number = int(value)
        case str() if len(value) <= 20 and value.strip().removeprefix("-").isdecimal():
            number = int(value)
    if number is None:
        raise WrongTypeError(path, "a whole number")
    least = -LARGEST_NUMBER if hints.least is None else hints.least
    most = LARGEST_NUMBER if hints.most is None else hints.most
    if not least <= number <= most:
        raise InvalidValueError(path, f"must be from {least} to {most}")
    return number


def _flag(value: object, path: str) -> bool:
    word = value.strip().casefold() if isinstance(value, str) else value
    if word in (True, "true", "1"):
        return True
    if word in (False, "false", "0"):
        return False
    raise WrongTypeError(path, "true or false")


def _time(value: object, path: str) -> datetime:
    if not isinstance(value, str):
        raise WrongTypeError(path, "a time such as 20151212T121212Z")
    try:
        return parse_time(value)
    except ValueError as error:
        raise InvalidValueError(path, "must be a time such as 20151212T121212Z") from error


def _member(kind: type[Enum], value: object, path: str) -> Enum:
    try:
        return kind(_text(value, path, Hints()))
    except ValueError as error:
        raise InvalidValueError(path) from error


def _items(value: object, path: str, hints: Hints, item: Reader) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise WrongTypeError(path, "a list")
    if hints.limit is not None and len(value) > hints.limit:
        raise TooLongError(path, hints.limit)
    return tuple(item(one, f"{path}[{index}]") for index, one in enumerate(value))


def _mapping(value: object, path: str, item: Reader) -> dict[str, object]:
    if not isinstance(value, dict):
        raise WrongTypeError(path, "an object")
    return {name: item(one, f"{path}.{name}") for name, one in value.items()}


def _record(kind: type[msgspec.Struct], value: object, path: str) -> msgspec.Struct:
    if not isinstance(value, dict):
        raise WrongTypeError(path, "an object")
    return read_struct(kind, value, f"{path}.")
