"""What the headers of a push say of it; a platform that sends none leaves the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType, TypedDict

from firmcast_sdk.wire import headers as names

ApplicationId = NewType("ApplicationId", str)
DeviceId = NewType("DeviceId", str)
DeviceUpgradeId = NewType("DeviceUpgradeId", str)
EventId = NewType("EventId", str)
TaskId = NewType("TaskId", str)

LONGEST_EVENT_ID = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFacts:
    """The facts of one delivery; every event carries them too."""

    event_id: EventId | None = None
    """The same over retries and replays of one event: the key for de-duplication."""

    sequence: int | None = None
    """Number of the event within its device; it grows, and leaves out what was not subscribed to."""

    attempt: int = 1
    """1 for the first try of this delivery."""

    synthesised: bool = False
    """True when the device was not seen in this state, for example because it went through it too fast."""

    occurred_at: datetime | None = None
    """When it happened, aware UTC."""

    replay: bool = False
    """True when history is repeated on request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedEvent:
    """What every event tells: the facts of its delivery."""

    event_id: EventId | None
    sequence: int | None
    attempt: int
    synthesised: bool
    occurred_at: datetime | None
    replay: bool


class FactsOfEvent(TypedDict):
    """The same, as arguments of an event."""

    event_id: EventId | None
    sequence: int | None
    attempt: int
    synthesised: bool
    occurred_at: datetime | None
    replay: bool


def facts_of_event(facts: DeliveryFacts) -> FactsOfEvent:
    """The arguments that every event takes."""
    return FactsOfEvent(
        event_id=facts.event_id,
        sequence=facts.sequence,
        attempt=facts.attempt,
        synthesised=facts.synthesised,
        occurred_at=facts.occurred_at,
        replay=facts.replay,
    )


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


def _counter(text: str | None) -> int | None:
    plain = (text or "").strip()
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 18):
        return None
    return int(plain) or None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat((text or "").strip())
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
