"""A notification becomes the vendor's record here: field by field, by the names on the wire."""

import dataclasses
import types
import typing
from functools import cache
from typing import Any, TypeVar

import msgspec

from firmcast_sdk.wire.notifications import Notification

Record = TypeVar("Record")


def make_dto(kind: type[Record], notification: Notification) -> Record:
    """The record of `kind`, one of the vendor's classes, that holds what `notification` says."""
    return _record(kind, msgspec.to_builtins(notification))


def _record(kind: type[Record], values: dict[str, Any]) -> Record:
    return kind(
        **{
            attribute: _value(hint, values[attribute.rstrip("_")])
            for attribute, hint in _hints(kind).items()  # type: ignore[arg-type]  # mypy takes no class for hashable
            if attribute.rstrip("_") in values
        }
    )


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is types.UnionType:
        hint = next(option for option in typing.get_args(hint) if option is not types.NoneType)
    if value is None:
        return None
    if typing.get_origin(hint) is list:
        (item,) = typing.get_args(hint)
        return [_value(item, one) for one in value]
    return _record(hint, value) if dataclasses.is_dataclass(hint) and isinstance(hint, type) else value
