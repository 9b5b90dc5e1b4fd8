"""What comes of commands, messages and rules; a `body` is a service's own and is handed on as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from firmcast_sdk.events.facts import DeviceId, PushedEvent


class CommandStatus(Enum):
    """How far a command came."""

    SENT = "sent"
    DELIVERED = "delivered"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStatusChanged(PushedEvent):
    """A command to a device came further; `detail` is what the device said."""

    device_id: DeviceId
    command_id: str
    status: CommandStatus
    detail: Mapping[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAnswered(PushedEvent):
    """A device answered a command."""

    device_id: DeviceId
    request_id: str
    service_type: str
    method: str
    sender: str
    recipient: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageConfirmed(PushedEvent):
    """A message to a device came further; `status` is the platform's word: sent, delivered, executed and the like."""

    request_id: str
    status: str
    sender: str
    recipient: str
    confirmed_at: datetime | None
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEventReported(PushedEvent):
    """A device reported an event of its own."""

    device_id: DeviceId
    event_type: str
    service_type: str
    sender: str
    reported_at: datetime | None
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReason:
    """A condition that held, and since when."""

    kind: str
    id: str
    satisfied_at: datetime | None
    info: object
    passed_on: object


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What came of one action: `error` is None when it went well."""

    kind: str
    id: str
    error: str | None
    result: object
    info: object
    passed_on: object


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFired(PushedEvent):
    """A rule held, and its actions ran."""

    rule_id: str
    rule_name: str
    author: str
    logic: str | None
    triggered_at: datetime | None
    reasons: tuple[RuleReason, ...]
    results: tuple[RuleResult, ...]
