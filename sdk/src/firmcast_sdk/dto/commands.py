"""What the vendor's handlers are given about commands, messages, events and rules.

`from` is no name in Python; the vendor's own Python SDK writes `from_`.
"""
# ruff: noqa: N815 -- attributes are named as the vendor named them

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageConfirmHeader:
    """Which message is confirmed."""

    requestId: str
    from_: str
    to: str
    status: str
    timestamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRspHeader:
    """Which command is answered, and by whom."""

    requestId: str
    from_: str
    to: str
    deviceId: str
    serviceType: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEventHeader:
    """What happened on which device, and when."""

    eventType: str
    from_: str
    timestamp: str
    eventTime: str
    deviceId: str
    serviceType: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionReason:
    """A condition of a rule that held."""

    satisfactionTime: str
    type: str
    id: str
    info: Any = None
    transInfo: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What came of one action of a rule: `exception` or `result`."""

    type: str
    id: str
    exception: str | None = None
    result: Any = None
    info: Any = None
    transInfo: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NBCommandResult:
    """How far a command came: SENT, DELIVERED, SUCCESSFUL, FAILED, TIMEOUT, EXPIRED or CANCELED."""

    resultCode: str
    resultDetail: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyMessageConfirmDTO:
    """A message to a device came further."""

    notifyType: str
    header: MessageConfirmHeader
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyCommandRspDTO:
    """A device answered a command."""

    notifyType: str
    header: CommandRspHeader
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyDeviceEventDTO:
    """A device reported an event of its own."""

    notifyType: str
    header: DeviceEventHeader
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyRuleEventDTO:
    """A rule held, and its actions ran."""

    notifyType: str
    author: str
    ruleId: str
    ruleName: str
    logic: str | None = None
    reasons: list[ConditionReason]
    triggerTime: str
    actionsResults: list[ActionResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyNBCommandStatusChangedDTO:
    """A command to a device came further; this push alone has no `notifyType`."""

    deviceId: str
    commandId: str
    result: NBCommandResult
