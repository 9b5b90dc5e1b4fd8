"""What an application's handler is given: frozen events in plain terms, made from a notification and its headers.

The wire's words end here: a task is the wire's operation, a device upgrade its sub-operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import NewType, TypedDict, assert_never

from firmcast_sdk.wire import headers as names
from firmcast_sdk.wire.notifications import (
    FwUpgradeResultNotify,
    FwUpgradeStateChangeNotify,
    SwUpgradeResultNotify,
    SwUpgradeState,
    SwUpgradeStateChangeNotify,
    UpgradeNotification,
    UpgradeStatus,
)

ApplicationId = NewType("ApplicationId", str)
DeviceId = NewType("DeviceId", str)
DeviceUpgradeId = NewType("DeviceUpgradeId", str)
EventId = NewType("EventId", str)
TaskId = NewType("TaskId", str)

LONGEST_EVENT_ID = 256


class FirmwareState(StrEnum):
    """What a device says of its firmware update: LwM2M object 5, resource 3, 0 to 3 in this order."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPDATING = "updating"


class SoftwareState(StrEnum):
    """What a device says of its software upgrade."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    UPDATING = "updating"
    CREATED = "created"
    DOWNLOAD_REQUESTED = "download requested"


class Outcome(Enum):
    """How an upgrade ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFacts:
    """What the headers of a push say of it; a platform that sends none leaves the defaults."""

    event_id: EventId | None = None
    """The same over retries and replays of one event: the key for de-duplication."""

    sequence: int | None = None
    """Number of the event within its device, from 1, without gaps."""

    attempt: int = 1
    """1 for the first try of this delivery."""

    synthesised: bool = False
    """True when the device was not seen in this state, for example because it went through it too fast."""

    occurred_at: datetime | None = None
    """When it happened, aware UTC."""

    replay: bool = False
    """True when history is repeated on request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeEvent:
    """What every event of an upgrade tells."""

    device_id: DeviceId
    application_id: ApplicationId
    task_id: TaskId
    device_upgrade_id: DeviceUpgradeId
    event_id: EventId | None
    sequence: int | None
    attempt: int
    synthesised: bool
    occurred_at: datetime | None
    replay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareStateChanged(UpgradeEvent):
    """A device went to another state of its firmware upgrade."""

    state: FirmwareState


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareUpgradeEnded(UpgradeEvent):
    """A device's firmware upgrade ended; `duration` is None when the wire's text is no number of seconds."""

    outcome: Outcome
    description: str
    current_version: str
    target_version: str
    source_version: str
    duration: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareStateChanged(UpgradeEvent):
    """A device went to another state of its software upgrade."""

    state: SoftwareState


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareUpgradeEnded(UpgradeEvent):
    """A device's software upgrade ended; `error_code` is what the device reported."""

    outcome: Outcome
    description: str
    current_version: str
    target_version: str
    source_version: str
    duration: timedelta | None
    error_code: str
    error_description: str


Event = FirmwareStateChanged | FirmwareUpgradeEnded | SoftwareStateChanged | SoftwareUpgradeEnded

_FIRMWARE_STATES = {str(number): state for number, state in enumerate(FirmwareState)}
_SOFTWARE_STATES = {
    SwUpgradeState.IDLE: SoftwareState.IDLE,
    SwUpgradeState.DOWNLOADING: SoftwareState.DOWNLOADING,
    SwUpgradeState.DOWNLOADED: SoftwareState.DOWNLOADED,
    SwUpgradeState.UPDATING: SoftwareState.UPDATING,
    SwUpgradeState.OTA_CREATED: SoftwareState.CREATED,
    SwUpgradeState.REQUEST_DOWNLOAD: SoftwareState.DOWNLOAD_REQUESTED,
}
_OUTCOMES = {UpgradeStatus.SUCCESS: Outcome.SUCCEEDED, UpgradeStatus.FAIL: Outcome.FAILED}


def read_delivery_facts(headers: Mapping[str, str]) -> DeliveryFacts:
    """The facts in `headers` (names in lower case); one that makes no sense counts as absent: it is an addition."""
    event_id = headers.get(names.WEBHOOK_ID, "").strip()
    return DeliveryFacts(
        event_id=EventId(event_id) if 0 < len(event_id) <= LONGEST_EVENT_ID else None,
        sequence=_counter(headers.get(names.SEQUENCE)),
        attempt=_counter(headers.get(names.ATTEMPT)) or 1,
        synthesised=headers.get(names.SYNTHESISED, "").strip().casefold() == "true",
        occurred_at=_moment(headers.get(names.OCCURRED_AT)),
        replay=headers.get(names.REPLAY, "").strip().casefold() == "true",
    )


def make_event(notification: UpgradeNotification, facts: DeliveryFacts) -> Event:
    """The event that `notification` tells of."""
    match notification:
        case FwUpgradeStateChangeNotify():
            return FirmwareStateChanged(**_shared(notification, facts), state=_FIRMWARE_STATES[notification.step])
        case FwUpgradeResultNotify():
            return FirmwareUpgradeEnded(
                **_shared(notification, facts),
                **_ending(notification),
                outcome=_OUTCOMES[notification.status],
                description=notification.status_desc,
            )
        case SwUpgradeStateChangeNotify():
            return SoftwareStateChanged(
                **_shared(notification, facts), state=_SOFTWARE_STATES[notification.sw_upgrade_state]
            )
        case SwUpgradeResultNotify():
            return SoftwareUpgradeEnded(
                **_shared(notification, facts),
                **_ending(notification),
                outcome=_OUTCOMES[notification.sw_upgrade_result],
                description=notification.result_desc,
                error_code=notification.error_code,
                error_description=notification.description,
            )
        case _:
            assert_never(notification)


class _Shared(TypedDict):
    device_id: DeviceId
    application_id: ApplicationId
    task_id: TaskId
    device_upgrade_id: DeviceUpgradeId
    event_id: EventId | None
    sequence: int | None
    attempt: int
    synthesised: bool
    occurred_at: datetime | None
    replay: bool


class _Ending(TypedDict):
    current_version: str
    target_version: str
    source_version: str
    duration: timedelta | None


def _shared(notification: UpgradeNotification, facts: DeliveryFacts) -> _Shared:
    return _Shared(
        device_id=DeviceId(notification.device_id),
        application_id=ApplicationId(notification.app_id),
        task_id=TaskId(notification.operation_id),
        device_upgrade_id=DeviceUpgradeId(notification.sub_operation_id),
        event_id=facts.event_id,
        sequence=facts.sequence,
        attempt=facts.attempt,
        synthesised=facts.synthesised,
        occurred_at=facts.occurred_at,
        replay=facts.replay,
    )


def _ending(notification: FwUpgradeResultNotify | SwUpgradeResultNotify) -> _Ending:
    return _Ending(
        current_version=notification.cur_version,
        target_version=notification.target_version,
        source_version=notification.source_version,
        duration=_seconds(notification.upgrade_time),
    )


def _counter(text: str | None) -> int | None:
    plain = (text or "").strip()
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 18):
        return None
    return int(plain) or None


def _seconds(text: str) -> timedelta | None:
    plain = text.strip()
    return timedelta(seconds=int(plain)) if plain.isascii() and plain.isdigit() and len(plain) <= 10 else None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat((text or "").strip())
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
