"""What is pushed about an upgrade: four bodies, their fields in the contract's order, every value a string.

Contract page, section 8. A body is compact: a vendor's receiver finds its handler by looking for the text
``"notifyType":"fwUpgradeStateChangeNotify"``, without a blank, so one blank would lose the message silently.
"""

from types import MappingProxyType
from typing import ClassVar, Final

import msgspec

from firmcast_sdk.wire.decoding import (
    InvalidValueError,
    UnknownNotifyTypeError,
    WireEnum,
    WrongTypeError,
    parse_object,
    read_struct,
)


class NotifyType(WireEnum):
    """Every type of push that the contract names, built here or not."""

    DEVICE_ADDED = "deviceAdded"
    BIND_DEVICE = "bindDevice"
    DEVICE_INFO_CHANGED = "deviceInfoChanged"
    DEVICE_DATA_CHANGED = "deviceDataChanged"
    DEVICE_DATAS_CHANGED = "deviceDatasChanged"
    SERVICE_INFO_CHANGED = "serviceInfoChanged"
    DEVICE_DELETED = "deviceDeleted"
    MESSAGE_CONFIRM = "messageConfirm"
    COMMAND_RSP = "commandRsp"
    DEVICE_EVENT = "deviceEvent"
    DEVICE_MODEL_ADDED = "deviceModelAdded"
    DEVICE_MODEL_DELETED = "deviceModelDeleted"
    RULE_EVENT = "ruleEvent"
    DEVICE_DESIRED_PROPERTIES_MODIFY_STATUS_CHANGED = "deviceDesiredPropertiesModifyStatusChanged"
    SW_UPGRADE_STATE_CHANGE = "swUpgradeStateChangeNotify"
    SW_UPGRADE_RESULT = "swUpgradeResultNotify"
    FW_UPGRADE_STATE_CHANGE = "fwUpgradeStateChangeNotify"
    FW_UPGRADE_RESULT = "fwUpgradeResultNotify"


class SwUpgradeState(WireEnum):
    """Words of swUpgradeState; the last two only in the later edition of the contract."""

    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPDATING = "updating"
    IDLE = "idle"
    OTA_CREATED = "otacreated"
    REQUEST_DOWNLOAD = "RequestDownload"


class UpgradeStatus(WireEnum):
    """How an upgrade ended: there is no third word for a cancelled one."""

    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


# The same numbers as LwM2M object 5, resource 3.
STEP_DESCRIPTIONS: Final = MappingProxyType({"0": "idle", "1": "downloading", "2": "downloaded", "3": "updating"})


class FwUpgradeStateChangeNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.FW_UPGRADE_STATE_CHANGE.value,
):
    """A device went to another step of a firmware upgrade; `step` is "0" to "3", `step_desc` its word."""

    notify_type: ClassVar[NotifyType] = NotifyType.FW_UPGRADE_STATE_CHANGE

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    step: str
    step_desc: str


class FwUpgradeResultNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.FW_UPGRADE_RESULT.value,
):
    """A device's firmware upgrade ended; `upgrade_time` is seconds, as digits."""

    notify_type: ClassVar[NotifyType] = NotifyType.FW_UPGRADE_RESULT

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    cur_version: str
    target_version: str
    source_version: str
    status: UpgradeStatus  # a published copy of a vendor's class spells it `Status`
    status_desc: str
    upgrade_time: str


class SwUpgradeStateChangeNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.SW_UPGRADE_STATE_CHANGE.value,
):
    """A device went to another state of a software upgrade."""

    notify_type: ClassVar[NotifyType] = NotifyType.SW_UPGRADE_STATE_CHANGE

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    sw_upgrade_state: SwUpgradeState


class SwUpgradeResultNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.SW_UPGRADE_RESULT.value,
):
    """A device's software upgrade ended; `upgrade_time` is seconds, as digits, `error_code` the device's own."""

    notify_type: ClassVar[NotifyType] = NotifyType.SW_UPGRADE_RESULT

    device_id: str
    app_id: str
    operation_id: str
    sub_operation_id: str
    cur_version: str
    target_version: str
    source_version: str
    sw_upgrade_result: UpgradeStatus
    upgrade_time: str
    result_desc: str
    error_code: str
    description: str


Notification = FwUpgradeStateChangeNotify | FwUpgradeResultNotify | SwUpgradeStateChangeNotify | SwUpgradeResultNotify

_BY_TYPE: Final[dict[NotifyType, type[Notification]]] = {
    NotifyType.FW_UPGRADE_STATE_CHANGE: FwUpgradeStateChangeNotify,
    NotifyType.FW_UPGRADE_RESULT: FwUpgradeResultNotify,
    NotifyType.SW_UPGRADE_STATE_CHANGE: SwUpgradeStateChangeNotify,
    NotifyType.SW_UPGRADE_RESULT: SwUpgradeResultNotify,
}
_ENCODER = msgspec.json.Encoder()


def encode(notification: Notification) -> bytes:
    """The compact body of `notification`; raises WrongTypeError or InvalidValueError for what the contract forbids."""
    names = zip(notification.__struct_fields__, notification.__struct_encode_fields__, strict=True)
    for attribute, wire_name in names:
        if not isinstance(getattr(notification, attribute), str):
            raise WrongTypeError(wire_name, "a string")
    match notification:
        case FwUpgradeStateChangeNotify(step=step, step_desc=step_desc):
            if STEP_DESCRIPTIONS.get(step) != step_desc:
                raise InvalidValueError("stepDesc", f"{step_desc!r} does not describe step {step!r}")
        case FwUpgradeResultNotify(status=status):
            _exactly(UpgradeStatus, status, "status")
        case SwUpgradeStateChangeNotify(sw_upgrade_state=state):
            _exactly(SwUpgradeState, state, "swUpgradeState")
        case SwUpgradeResultNotify(sw_upgrade_result=result):
            _exactly(UpgradeStatus, result, "swUpgradeResult")
    return _ENCODER.encode(notification)


def decode(body: bytes) -> Notification:
    """The notification in `body`, read leniently; raises WireError and nothing else.

    Every field must be there and not null. A `stepDesc` is taken as it stands; `step` must be one of the four.
    """
    values = parse_object(body)
    header = read_struct(_Header, values)
    try:
        struct = _BY_TYPE[NotifyType(header.notify_type)]
    except (KeyError, ValueError) as error:
        raise UnknownNotifyTypeError(header.notify_type) from error
    notification = read_struct(struct, values)
    if isinstance(notification, FwUpgradeStateChangeNotify) and notification.step not in STEP_DESCRIPTIONS:
        raise InvalidValueError("step", "must be 0, 1, 2 or 3")
    return notification


class _Header(msgspec.Struct, frozen=True, rename="camel"):
    notify_type: str


def _exactly(words: type[WireEnum], value: str, field: str) -> None:
    if value not in list(words):
        raise InvalidValueError(field)
