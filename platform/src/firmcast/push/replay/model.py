"""A replay tells events of the log again to an application, in order, marked, from a cursor on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from firmcast.events.model import EventHeading, EventType
from firmcast.ids import ApplicationId, DeviceId, EventId, ReplayId, SubscriptionId


class ReplayState(StrEnum):
    """Where a replay is."""

    OPEN = "open"
    """It runs, or waits until an older one of its application has ended."""

    FINISHED = "finished"
    """Everything was handed over, and nothing of it is still on its way."""

    CANCELLED = "cancelled"
    FAILED = "failed"
    """None of its subscriptions is there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOrder:
    """What somebody wants to be told again."""

    application_id: ApplicationId
    subscription_ids: tuple[SubscriptionId, ...]
    """To whom; of each of them the events of its type."""

    device_id: DeviceId | None
    """None for all devices."""

    since: datetime | None
    until: datetime | None
    """Which events, by the time at which they occurred: from `since` on, before `until`; None for no bound."""

    rate: int
    """Deliveries a second at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay as it stands. `cursor` and `last` are positions in the log, of one device's replay its sequences."""

    replay_id: ReplayId
    order: ReplayOrder
    created_at: datetime
    created_by: str
    last: int
    """The last event of it; what comes later is told live."""

    state: ReplayState
    cursor: int
    """Up to here everything was looked at."""

    queued: int
    """Deliveries that were made of it."""

    passed_over: int
    """Events that were still on their way to the subscription, and were left alone."""

    incomplete: bool
    """True when the log no longer held all that was asked for."""

    paid_until: datetime
    ended_at: datetime | None

    @property
    def is_read(self) -> bool:
        """Say whether nothing is left to be handed over."""
        return self.cursor >= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReplay:
    """What has to be known of a replay to say whether it is its turn."""

    replay_id: ReplayId
    application_id: ApplicationId
    subscription_ids: tuple[SubscriptionId, ...]
    rate: int


def taking_turns(found: Sequence[OpenReplay], stopped: Collection[SubscriptionId]) -> list[OpenReplay]:
    """Return whose turn it is of those that are not over, the oldest first: one of each application.

    One whose subscriptions are all `stopped` has nobody to tell, and keeps no other waiting meanwhile.
    """
    turns: dict[ApplicationId, OpenReplay] = {}
    for each in found:
        if any(key not in stopped for key in each.subscription_ids):
            turns.setdefault(each.application_id, each)
    return list(turns.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event that is told to a subscription again."""

    event_id: EventId
    subscription_id: SubscriptionId
    device_id: DeviceId
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a replay does next: from `replay.cursor` to `cursor`."""

    replay: Replay
    told: tuple[Told, ...]
    cursor: int
    incomplete: bool


def choose(
    replay: Replay,
    headings: Sequence[EventHeading],
    wanted: Mapping[EventType, Sequence[SubscriptionId]],
    *,
    most: int,
    is_end: bool,
    log_begins: int,
) -> Step:
    """Choose what is told next.

    Args:
        replay: as it stands.
        headings: what follows its cursor in the log, in order; at least one unless `is_end`.
        wanted: who wants which type.
        most: as many deliveries at the most, save for those of one event.
        is_end: whether nothing follows the headings.
        log_begins: the first position, or sequence of the device, that the log still holds.
    """
    order, told, cursor = replay.order, list[Told](), replay.cursor
    for heading in headings:
        place = heading.event_id if order.device_id is None else heading.sequence
        if len(told) >= most:
            break
        if place > replay.last:
            cursor = replay.last
            break
        cursor = place
        if order.application_id == heading.application_id and _is_in(order, heading.occurred_at):
            told += [
                Told(
                    event_id=heading.event_id,
                    subscription_id=subscription_id,
                    device_id=heading.device_id,
                    sequence=heading.sequence,
                )
                for subscription_id in wanted.get(heading.event_type, ())
            ]
    else:
        if is_end:
            cursor = replay.last
    return Step(
        replay=replay,
        told=tuple(told),
        cursor=cursor,
        incomplete=replay.incomplete or log_begins > replay.cursor + 1,
    )


def _is_in(order: ReplayOrder, occurred_at: datetime) -> bool:
    return (order.since is None or order.since <= occurred_at) and (order.until is None or occurred_at < order.until)
