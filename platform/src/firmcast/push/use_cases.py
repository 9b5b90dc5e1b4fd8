"""What others may ask of push. Each of these runs in the caller's transaction; none commits."""

import heapq
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, assert_never

import msgspec

from firmcast.db.columns import to_column
from firmcast.db.page import Page
from firmcast.db.port import Channel, Transaction
from firmcast.errors import NotFoundError, StoreError
from firmcast.events import use_cases as events
from firmcast.events.log import Written
from firmcast.events.model import StoredEvent, stored_form, type_of
from firmcast.ids import DeviceId, EventId, Partition, SubscriptionId
from firmcast.push.model import (
    RESENT,
    Attempt,
    Claim,
    DeadLetter,
    Delivery,
    DeliveryFilter,
    Discarded,
    Listed,
    OldestUndelivered,
    PendingDelivery,
    Position,
    Recorded,
    Settlement,
    Trouble,
)
from firmcast.push.retry import Blocked, Dead, Delivered, FailureReason, RetryAt
from firmcast.push.store import attempts as attempt_store
from firmcast.push.store import backlog as backlog_store
from firmcast.push.store import dead_letters as dead_letter_store
from firmcast.push.store import deliveries as delivery_store
from firmcast.push.store import lanes as lane_store
from firmcast.push.store import listing as listing_store
from firmcast.push.store import standings as standing_store
from firmcast.push.store import undelivered as undelivered_store
from firmcast.push.store.deliveries import LIVE
from firmcast.subscriptions import use_cases as subscriptions

NEW_DELIVERIES: Final = Channel("new_deliveries")
"""Announced with each Delivery that has come into being, in the order of the log."""

DELIVERIES_AGAIN: Final = Channel("deliveries_again")
"""Announced with each Delivery that is to be made once more, at somebody's wish."""

LANES_UNBLOCKED: Final = Channel("lanes_unblocked")
"""Announced with (subscription, device) of each lane that stood, and has been decided about."""

StillHeld = Callable[[Transaction, Collection[Claim]], Awaitable[frozenset[Claim]]]
"""Says, within a write, which claims are still good; they stay so until it is committed."""

CALLBACKS_HELD: Final = Channel("callbacks_held")
"""Announced with (subscription, stored time) where a receiver asked one node to be left alone until then."""

RESENT_AT_ONCE = 500
"""Dead letters that one transaction sends again."""

_PURGED_AT_ONCE = 5_000


async def fan_out(tx: Transaction, new_events: Sequence[Written]) -> None:
    """Make a delivery of each event for each subscription that wants it: a projection of the event log.

    It runs in the transaction that writes the events, so an event belongs to a subscription exactly when it was
    committed after the subscription's creation and before its deletion.
    """
    pairs = sorted({(event.application_id, type_of(event.fact)) for event, _ in new_events})
    wanted = await subscriptions.matching(tx, pairs)
    deliveries = [
        delivery_of(stored_form(event, body), subscription_id)
        for event, body in new_events
        for subscription_id in wanted[event.application_id, type_of(event.fact)]
    ]
    if not deliveries:
        return
    await _insert(tx, deliveries)
    tx.announce(NEW_DELIVERIES, deliveries)


async def record_settlements(
    tx: Transaction, settlements: Sequence[Settlement], still_held: StillHeld | None = None
) -> Recorded:
    """Write what became of a batch of attempts, but for those whose partition has changed hands since they began.

    Of a delivery that was taken back meanwhile the attempt alone is written.
    """
    refused = 0
    if still_held is not None:
        claims = [item.claim for item in settlements]
        held = await still_held(tx, set(claims))
        ours = [item for item, claim in zip(settlements, claims, strict=True) if claim in held]
        refused, settlements = len(settlements) - len(ours), ours
    delivered: list[Settlement] = []
    dead: list[tuple[Settlement, str, str]] = []
    blocked: list[tuple[Settlement, str, str]] = []
    waiting: list[tuple[Settlement, Trouble, str]] = []
    failed: list[tuple[Settlement, str]] = []
    for item in settlements:
        verdict = item.verdict
        match verdict:
            case Delivered():
                delivered.append(item)
            case RetryAt():
                waiting.append((item, trouble_of(item, verdict), verdict.reason.value))
                failed.append((item, verdict.reason.value))
            case Dead():
                dead.append((item, verdict.reason.value, verdict.failure.value))
                failed.append((item, verdict.failure.value))
            case Blocked():
                blocked.append((item, verdict.reason.value, verdict.failure.value))
                waiting.append((item, trouble_of(item, verdict), verdict.failure.value))
                failed.append((item, verdict.failure.value))
            case _:
                assert_never(verdict)
    ended = delivered + [item for item, _, _ in dead]
    await attempt_store.insert_delivered(tx, delivered)
    await dead_letter_store.delete(tx, [item for item in delivered if item.delivery.replay > 0])
    await attempt_store.insert(tx, failed)
    await dead_letter_store.insert(tx, dead + blocked)
    keys = [(it.delivery.event_id, it.delivery.subscription_id, it.delivery.edition) for it in ended]
    all_were_there = await delivery_store.delete_deliveries(tx, keys)
    await lane_store.delete(tx, [item for item in ended if item.retried])
    # Last, since the next event of a lane may have failed already; one of an ended delivery finds nothing to wait for.
    await lane_store.upsert(tx, waiting)
    made_since: list[Delivery] = []
    if not all_were_there:
        made_since = await _made_since(tx, [(event_id, subscription_id) for event_id, subscription_id, _ in keys])
    return Recorded(refused=refused, made_since=made_since)


async def _made_since(tx: Transaction, keys: Sequence[tuple[EventId, SubscriptionId]]) -> list[Delivery]:
    """Return the deliveries that there are of what was taken back; who has let go of a former one may not know them."""
    rows = [(*row, None) for row in await delivery_store.present(tx, keys)]
    return await _with_bodies(tx, rows)


def trouble_of(item: Settlement, verdict: RetryAt | Blocked) -> Trouble:
    """Return what is remembered of an attempt that failed."""
    match verdict:
        case RetryAt():
            attempts, due_at = item.attempt if verdict.spends_attempt else item.attempt - 1, verdict.at
        case Blocked():
            attempts, due_at = item.attempt, item.settled_at
        case _:
            assert_never(verdict)
    return Trouble(
        attempts=attempts,
        first_attempted_at=item.first_attempted_at,
        due_at=due_at,
        blocked=isinstance(verdict, Blocked),
    )


async def subscriptions_with_deliveries(tx: Transaction) -> list[SubscriptionId]:
    """Return the subscriptions that have deliveries to be made, or a standing; deleted ones included."""
    with_deliveries = await backlog_store.subscriptions_with_deliveries(tx)
    return sorted({*with_deliveries, *await standing_store.everybody(tx)})


async def oldest_undelivered(tx: Transaction) -> list[OldestUndelivered]:
    """Return, for each subscription that waits for any, the oldest event that it waits for."""
    found = await backlog_store.oldest(tx)
    times = await events.times(tx, [event_id for _, event_id, _, _ in found])
    return [
        OldestUndelivered(
            subscription_id=subscription_id,
            event_id=event_id,
            device_id=device_id,
            occurred_at=times[event_id],
            tried=tried,
        )
        for subscription_id, event_id, device_id, tried in found
        if event_id in times
    ]


async def hasten(tx: Transaction, now: datetime, due_at: datetime) -> None:
    """Let no lane wait longer than `due_at`, unless the receiver asked for it."""
    await lane_store.hasten(tx, now, due_at, except_reason=FailureReason.THROTTLED.value)


async def held(tx: Transaction, now: datetime) -> dict[SubscriptionId, datetime]:
    """Return the subscriptions whose receiver asked to be left alone, and until when."""
    return await lane_store.held(tx, FailureReason.THROTTLED.value, now)


async def tell_hold(tx: Transaction, subscription_id: SubscriptionId, until: datetime) -> None:
    """Let every node know that a receiver asked to be left alone."""
    tx.announce(CALLBACKS_HELD, [(subscription_id, to_column(until))])


async def load(
    tx: Transaction,
    subscription_ids: Iterable[SubscriptionId],
    after: EventId,
    limit: int,
    partitions: Collection[Partition] | None = None,
) -> list[Delivery]:
    """Return the next part of the backlog that subscriptions have together, in the order of the log.

    Of some partitions, or of all when none are named.

    Raises:
        StoreError: the log has lost an event that is still to be delivered.
    """
    await backlog_store.read_in_order(tx)
    # Each subscription's part comes in order from its index, and a group has few: merging them here sorts nothing.
    parts = [
        await backlog_store.backlog(tx, subscription_id, after, limit, partitions)
        for subscription_id in sorted(subscription_ids)
    ]
    rows = list(islice(heapq.merge(*parts, key=lambda row: row[:2]), limit))
    return await _with_bodies(tx, rows)


async def deliveries_of(
    tx: Transaction, event_ids: Sequence[EventId], partitions: Collection[Partition]
) -> list[Delivery]:
    """Return the deliveries of these events that are still to be made, of these partitions, in the order of the log.

    Raises:
        StoreError: as `load` does.
    """
    rows = await backlog_store.of(tx, event_ids, partitions)
    return await _with_bodies(tx, [(*row, None) for row in rows])


async def _with_bodies(
    tx: Transaction, rows: Sequence[tuple[EventId, SubscriptionId, int, int, Trouble | None]]
) -> list[Delivery]:
    event_ids = [row[0] for row in rows]
    stored = await events.bodies(tx, event_ids)
    lost = [event_id for event_id in event_ids if event_id not in stored]
    if lost:
        message = f"event {lost[0]} is to be delivered and is not in the log"
        raise StoreError(message)
    return [
        delivery_of(stored[event_id], subscription_id, trouble, replay=replay, edition=edition)
        for event_id, subscription_id, replay, edition, trouble in rows
    ]


async def discard_subscription(tx: Transaction, subscription_id: SubscriptionId) -> Discarded:
    """Remove a part of what a deleted subscription has left; the last part takes along how it stood."""
    limit = _PURGED_AT_ONCE
    deliveries = await delivery_store.purge(tx, subscription_id, limit)
    if deliveries == limit:
        return Discarded(deliveries=deliveries, dead_letters=0, more=True)
    await lane_store.purge(tx, subscription_id)
    dead_letters = await dead_letter_store.purge(tx, subscription_id, limit)
    if dead_letters < limit:
        await standing_store.forget(tx, subscription_id)
        await undelivered_store.forget(tx, subscription_id)
    return Discarded(deliveries=deliveries, dead_letters=dead_letters, more=dead_letters == limit)


async def resend(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> None:
    """Deliver once more what was given up, or was delivered before; one that is on its way stays on its way.

    A lane that stands for it goes on with it, as if it had never been tried.

    Raises:
        NotFoundError: the event was never sent to the subscription, or one of them is no more.
    """
    if await backlog_store.is_pending(tx, event_id, subscription_id):
        if await _unblock(tx, event_id, subscription_id):
            await dead_letter_store.take(tx, event_id, subscription_id)
        return
    letter = await dead_letter_store.take(tx, event_id, subscription_id)
    if letter is None and await attempt_store.attempted_device(tx, event_id, subscription_id) is None:
        raise NotFoundError("delivery", f"{event_id} to {subscription_id}")
    await _again(tx, subscription_id, [event_id])


async def resend_dead_letters(
    tx: Transaction,
    subscription_id: SubscriptionId,
    after: EventId | None = None,
    *,
    device_id: DeviceId | None = None,
) -> tuple[int, EventId | None]:
    """Deliver the oldest dead letters of a subscription after an event again, of one device if it is named.

    Returns:
        How many, and the event to go on after; None when there are no more.

    Raises:
        NotFoundError: there is no such subscription.
    """
    event_ids = await dead_letter_store.after(tx, subscription_id, device_id, after or EventId(0), RESENT_AT_ONCE)
    given_up = []
    for event_id in event_ids:
        await dead_letter_store.take(tx, event_id, subscription_id)
        if not await _unblock(tx, event_id, subscription_id):  # what its lane stood for is live, and goes on as such
            given_up.append(event_id)
    await _again(tx, subscription_id, given_up)
    return len(event_ids), event_ids[-1] if event_ids else None


async def discard(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> None:
    """Throw a dead letter away; a lane that stands for it goes on with what is behind it.

    Raises:
        NotFoundError: it is no dead letter.
    """
    if await dead_letter_store.take(tx, event_id, subscription_id) is None:
        raise NotFoundError("dead letter", f"{event_id} to {subscription_id}")
    if await _unblock(tx, event_id, subscription_id):
        await delivery_store.discard(tx, event_id, subscription_id)


async def discard_dead_letters(
    tx: Transaction,
    subscription_id: SubscriptionId,
    after: EventId | None = None,
    *,
    device_id: DeviceId | None = None,
) -> list[EventId]:
    """Throw the oldest dead letters of a subscription after an event away, of one device if it is named.

    Returns:
        Which; none when there are no more.

    Raises:
        NotFoundError: there is no such subscription.
    """
    await _require(tx, subscription_id)
    event_ids = await dead_letter_store.after(tx, subscription_id, device_id, after or EventId(0), RESENT_AT_ONCE)
    for event_id in event_ids:
        await discard(tx, event_id, subscription_id)
    return event_ids


async def pending(
    tx: Transaction, wanted: DeliveryFilter, page: Page, after: Position | None = None
) -> Listed[PendingDelivery]:
    """Return a page of the deliveries still to be made, the oldest first, and how many there are, as far as counted."""
    return await listing_store.pending(tx, wanted, page, after)


async def dead_letters(
    tx: Transaction, wanted: DeliveryFilter, page: Page, after: Position | None = None
) -> Listed[DeadLetter]:
    """Return a page of what was given up, the oldest first, and how many there are, as far as counted."""
    return await listing_store.dead_letters(tx, wanted, page, after)


async def attempts(tx: Transaction, wanted: DeliveryFilter, page: Page, before: int | None = None) -> Listed[Attempt]:
    """Return a page of the log of attempts, the latest first, and how many there are, as far as counted."""
    return await listing_store.attempts(tx, wanted, page, before)


async def _again(tx: Transaction, subscription_id: SubscriptionId, event_ids: Sequence[EventId]) -> None:
    await _require(tx, subscription_id)
    stored = await events.bodies(tx, event_ids)
    for event_id in event_ids:
        if event_id not in stored:
            raise NotFoundError("event", str(event_id))
    deliveries = [delivery_of(stored[event_id], subscription_id, replay=RESENT) for event_id in event_ids]
    made = await delivery_store.insert_again(tx, deliveries, replay=RESENT)
    # What was on its way is so still, and need not be heard of.
    again = [
        msgspec.structs.replace(it, edition=made[it.event_id, subscription_id])
        for it in deliveries
        if (it.event_id, subscription_id) in made
    ]
    tx.announce(DELIVERIES_AGAIN, again)


async def _require(tx: Transaction, subscription_id: SubscriptionId) -> None:
    if subscription_id not in await subscriptions.by_ids(tx, [subscription_id]):
        raise NotFoundError("subscription", subscription_id)


async def _unblock(tx: Transaction, event_id: EventId, subscription_id: SubscriptionId) -> bool:
    """Let the lane go on that stands for a delivery; return whether one does."""
    device_id = await lane_store.unblock(tx, event_id, subscription_id)
    if device_id is not None:
        tx.announce(LANES_UNBLOCKED, [(subscription_id, device_id)])
    return device_id is not None


async def _insert(tx: Transaction, deliveries: Sequence[Delivery]) -> None:
    await delivery_store.insert_deliveries(
        tx,
        [
            (delivery.event_id, delivery.subscription_id, delivery.device_id, delivery.sequence)
            for delivery in deliveries
        ],
    )


def delivery_of(
    event: StoredEvent,
    subscription_id: SubscriptionId,
    trouble: Trouble | None = None,
    *,
    replay: int = 0,
    edition: int = LIVE,
) -> Delivery:
    """Return the delivery of an event to a subscription."""
    return Delivery(
        event_id=event.event_id,
        subscription_id=subscription_id,
        application_id=event.application_id,
        device_id=event.device_id,
        sequence=event.sequence,
        message_id=event.message_id,
        occurred_at=event.occurred_at,
        synthesised=event.synthesised,
        body=event.body,
        trouble=trouble,
        replay=replay,
        edition=edition,
    )
