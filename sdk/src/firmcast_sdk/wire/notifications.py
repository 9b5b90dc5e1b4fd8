"""What is pushed, whatever it is about: every body is encoded and decoded here.

Contract page, section 8. A body is compact: a vendor's receiver finds its handler by looking for the text
``"notifyType":"fwUpgradeStateChangeNotify"``, without a blank, so one blank would lose the message silently.
"""

import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final

import msgspec

from firmcast_sdk.wire.decoding import (
    InvalidValueError,
    UnknownNotifyTypeError,
    WrongTypeError,
    parse_object,
    read_struct,
)
from firmcast_sdk.wire.device_notifications import (
    BindDeviceNotify,
    BindResult,
    ChangedDeviceInfo,
    DeviceAddedNotify,
    DeviceDataChangedNotify,
    DeviceDatasChangedNotify,
    DeviceDeletedNotify,
    DeviceDesiredPropertiesModifyStatusChangedNotify,
    DeviceInfoChangedNotify,
    DeviceModelAddedNotify,
    DeviceModelDeletedNotify,
    ModifyStatus,
    MutedCommands,
    ServiceData,
    ServiceInfoChangedNotify,
)
from firmcast_sdk.wire.message_notifications import (
    ActionResult,
    CommandResult,
    CommandResultCode,
    CommandRspHeader,
    CommandRspNotify,
    CommandStatusNotify,
    ConditionReason,
    DeviceEventHeader,
    DeviceEventNotify,
    MessageConfirmHeader,
    MessageConfirmNotify,
    RuleEventNotify,
)
from firmcast_sdk.wire.notify_types import NotifyType
from firmcast_sdk.wire.upgrade_notifications import (
    STEP_DESCRIPTIONS,
    FwUpgradeResultNotify,
    FwUpgradeStateChangeNotify,
    SwUpgradeResultNotify,
    SwUpgradeState,
    SwUpgradeStateChangeNotify,
    UpgradeStatus,
)

__all__ = [
    "STEP_DESCRIPTIONS",
    "ActionResult",
    "BindDeviceNotify",
    "BindResult",
    "ChangedDeviceInfo",
    "CommandResult",
    "CommandResultCode",
    "CommandRspHeader",
    "CommandRspNotify",
    "CommandStatusNotify",
    "ConditionReason",
    "DeviceAddedNotify",
    "DeviceDataChangedNotify",
    "DeviceDatasChangedNotify",
    "DeviceDeletedNotify",
    "DeviceDesiredPropertiesModifyStatusChangedNotify",
    "DeviceEventHeader",
    "DeviceEventNotify",
    "DeviceInfoChangedNotify",
    "DeviceModelAddedNotify",
    "DeviceModelDeletedNotify",
    "FwUpgradeResultNotify",
    "FwUpgradeStateChangeNotify",
    "MessageConfirmHeader",
    "MessageConfirmNotify",
    "ModifyStatus",
    "MutedCommands",
    "Notification",
    "NotifyType",
    "RuleEventNotify",
    "ServiceData",
    "ServiceInfoChangedNotify",
    "SwUpgradeResultNotify",
    "SwUpgradeState",
    "SwUpgradeStateChangeNotify",
    "TypedNotification",
    "UpgradeNotification",
    "UpgradeStatus",
    "decode",
    "encode",
]

UpgradeNotification = (
    FwUpgradeStateChangeNotify | FwUpgradeResultNotify | SwUpgradeStateChangeNotify | SwUpgradeResultNotify
)
TypedNotification = (
    DeviceAddedNotify
    | BindDeviceNotify
    | DeviceInfoChangedNotify
    | DeviceDataChangedNotify
    | DeviceDatasChangedNotify
    | ServiceInfoChangedNotify
    | DeviceDeletedNotify
    | MessageConfirmNotify
    | CommandRspNotify
    | DeviceEventNotify
    | DeviceModelAddedNotify
    | DeviceModelDeletedNotify
    | RuleEventNotify
    | DeviceDesiredPropertiesModifyStatusChangedNotify
    | UpgradeNotification
)
Notification = TypedNotification | CommandStatusNotify

_BY_TYPE: Final[dict[NotifyType, type[TypedNotification]]] = {
    struct.notify_type: struct for struct in typing.get_args(TypedNotification)
}
_ENCODER = msgspec.json.Encoder()


def encode(notification: Notification) -> bytes:
    """The compact body of `notification`; raises WrongTypeError or InvalidValueError for what the contract forbids."""
    _check_record(notification, "")
    if isinstance(notification, FwUpgradeStateChangeNotify):
        step, step_desc = notification.step, notification.step_desc
        if STEP_DESCRIPTIONS.get(step) != step_desc:
            raise InvalidValueError("stepDesc", f"{step_desc!r} does not describe step {step!r}")
    return _ENCODER.encode(notification)


def decode(body: bytes) -> Notification:
    """The notification in `body`, read leniently; raises WireError and nothing else.

    Every mandatory field must be there and not null. A `stepDesc` is taken as it stands; `step` must be one of the
    four. A body without a type is the status of a command when it names one.
    """
    values = parse_object(body)
    names = {name.strip().casefold() for name in values}
    if "notifytype" not in names and "commandid" in names:
        return read_struct(CommandStatusNotify, values)
    header = read_struct(_Header, values)
    try:
        struct = _BY_TYPE[NotifyType(header.notify_type)]
    except ValueError as error:
        raise UnknownNotifyTypeError(header.notify_type) from error
    notification = read_struct(struct, _as_lists(struct, values))
    if isinstance(notification, FwUpgradeStateChangeNotify) and notification.step not in STEP_DESCRIPTIONS:
        raise InvalidValueError("step", "must be 0, 1, 2 or 3")
    return notification


class _Header(msgspec.Struct, frozen=True, rename="camel"):
    notify_type: str


def _as_lists(struct: type[TypedNotification], values: Mapping[str, object]) -> Mapping[str, object]:
    """`values` with a list in the two places where the vendor's examples show a single thing."""
    if struct is DeviceDatasChangedNotify:
        return {name: [value] if isinstance(value, dict) else value for name, value in values.items()}
    if struct is ServiceInfoChangedNotify:
        return {name: _muted_as_list(value) if isinstance(value, dict) else value for name, value in values.items()}
    return values


def _muted_as_list(service_info: dict[str, object]) -> dict[str, object]:
    return {
        name: [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        for name, value in service_info.items()
    }


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    attribute: str
    wire_name: str
    kind: Any
    nullable: bool


@cache
def _places(struct: type[msgspec.Struct]) -> tuple[_Place, ...]:
    hints = typing.get_type_hints(struct)
    places = []
    for field in msgspec.structs.fields(struct):
        kind = hints[field.name]
        options = typing.get_args(kind) if typing.get_origin(kind) in {types.UnionType, typing.Union} else (kind,)
        (plain,) = (option for option in options if option is not types.NoneType)
        places.append(_Place(attribute=field.name, wire_name=field.encode_name, kind=plain, nullable=len(options) > 1))
    return tuple(places)


def _check_record(record: msgspec.Struct, path: str) -> None:
    """Raise for a value of another type than its field's, or of no table: nothing wrong may reach the wire."""
    for place in _places(type(record)):
        value = getattr(record, place.attribute)
        if type(value) is str and place.kind is str:
            continue  # nearly always, so without a look at what kind of kind it is
        if value is not None or not place.nullable:
            _check(place.kind, value, path + place.wire_name)


def _check(kind: Any, value: object, path: str) -> None:
    origin = typing.get_origin(kind)
    if kind is object:
        return
    if origin is tuple:
        if not isinstance(value, tuple):
            raise WrongTypeError(path, "a list")
        for index, item in enumerate(value):
            _check(typing.get_args(kind)[0], item, f"{path}[{index}]")
    elif origin is dict:
        if not isinstance(value, dict):
            raise WrongTypeError(path, "an object")
    elif issubclass(kind, msgspec.Struct):
        if not isinstance(value, kind):
            raise WrongTypeError(path, "an object")
        _check_record(value, f"{path}.")
    elif not isinstance(value, str):
        raise WrongTypeError(path, "a string")
    elif issubclass(kind, Enum) and value not in list(kind):
        raise InvalidValueError(path)
