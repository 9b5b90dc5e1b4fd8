"""What is pushed about commands, messages, events and rules. Contract page, section 8.

Headers and bodies are objects; what a service puts into `body` is its own and is handed on as it is.
"""

from typing import ClassVar

import msgspec

from firmcast_sdk.wire.decoding import WireEnum
from firmcast_sdk.wire.notify_types import NotifyType


class CommandResultCode(WireEnum):
    """How far a command came."""

    SENT = "SENT"
    DELIVERED = "DELIVERED"
    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"


class MessageConfirmHeader(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which message is confirmed, and how far it came: sent, delivered, executed and the like."""

    request_id: str
    sender: str = msgspec.field(name="from")
    recipient: str = msgspec.field(name="to")
    status: str
    timestamp: str


class CommandRspHeader(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which command is answered, and by whom."""

    request_id: str
    sender: str = msgspec.field(name="from")
    recipient: str = msgspec.field(name="to")
    device_id: str
    service_type: str
    method: str


class DeviceEventHeader(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What happened on which device, and when."""

    event_type: str
    sender: str = msgspec.field(name="from")
    timestamp: str
    event_time: str
    device_id: str
    service_type: str


class ConditionReason(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why a rule held: one of its conditions and when it was satisfied."""

    satisfaction_time: str
    type: str
    id: str
    info: object = None
    trans_info: object = None


class ActionResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What came of one action of a rule: `exception` or `result`."""

    type: str
    id: str
    exception: str | None = None
    result: object = None
    info: object = None
    trans_info: object = None


class MessageConfirmNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.MESSAGE_CONFIRM.value,
):
    """A message to a device came further."""

    notify_type: ClassVar[NotifyType] = NotifyType.MESSAGE_CONFIRM

    header: MessageConfirmHeader
    body: dict[str, object]


class CommandRspNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.COMMAND_RSP.value,
):
    """A device answered a command."""

    notify_type: ClassVar[NotifyType] = NotifyType.COMMAND_RSP

    header: CommandRspHeader
    body: dict[str, object]


class DeviceEventNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="notifyType",
    tag=NotifyType.DEVICE_EVENT.value,
):
    """A device reported an event of its own."""

    notify_type: ClassVar[NotifyType] = NotifyType.DEVICE_EVENT

    header: DeviceEventHeader
    body: dict[str, object]


class RuleEventNotify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    tag_field="notifyType",
    tag=NotifyType.RULE_EVENT.value,
):
    """A rule held, and its actions ran."""

    notify_type: ClassVar[NotifyType] = NotifyType.RULE_EVENT

    author: str
    rule_id: str
    rule_name: str
    logic: str | None = None
    reasons: tuple[ConditionReason, ...]
    trigger_time: str
    actions_results: tuple[ActionResult, ...]


class CommandResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a command came and what the device said; `result_detail` is written as null when it said nothing."""

    result_code: CommandResultCode
    result_detail: dict[str, object] | None = None


class CommandStatusNotify(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A command to a device came further; the one push without a `notifyType`, sent to the command's own callback."""

    device_id: str
    command_id: str
    result: CommandResult
