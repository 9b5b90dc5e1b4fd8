"""What may be asked of replays. Each of these runs in the caller's transaction; none commits.

A replay goes on in steps. Each is looked for in a read, which takes nothing from anybody, and written in one
transaction that moves the cursor on from where the read found it. So a step is made once, whoever else tries, and
whoever comes next begins where the last one ended.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from firmcast.db.page import Page
from firmcast.db.port import Channel, Transaction
from firmcast.errors import ConflictError, NotFoundError
from firmcast.events import use_cases as events
from firmcast.events.model import EventHeading, EventType
from firmcast.ids import ApplicationId, EventId, ReplayId, SubscriptionId
from firmcast.push.replay import store
from firmcast.push.replay.model import OpenReplay, Replay, ReplayOrder, ReplayState, Step, Told, choose, taking_turns
from firmcast.push.replay.pace import allowance, pay
from firmcast.push.standing import SubscriptionState
from firmcast.push.store import deliveries as delivery_store
from firmcast.push.store import standings as standing_store
from firmcast.push.use_cases import DELIVERIES_AGAIN, delivery_of
from firmcast.subscriptions import use_cases as subscriptions
from firmcast.subscriptions.model import Subscription

REPLAYS_CHANGED: Final = Channel("replays_changed")
"""Announced with the ids of replays that were ordered or cancelled."""

DELIVERIES_WITHDRAWN: Final = Channel("deliveries_withdrawn")
"""Announced with each Told that is not to be told any more."""

_LOOKED_AT: Final = 2_000
"""Events of the log that one step looks at: of a replay that wants few, many are passed over."""

_LOOKED_AT_FIRST: Final = 50
"""As many of them to begin with: most replays want most of what there is, and what is read keeps others waiting."""

MOST_AT_ONCE: Final = 500
"""Deliveries that one step makes, so that what waits behind its transaction does not wait long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayNow:
    """A replay as a person sees it."""

    replay: Replay
    waits: bool
    """True while an older replay of its application is under way, or its subscriptions are not called."""

    outstanding: int
    """Deliveries of it that are still to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCensus:
    """What is told of all replays together."""

    running: int
    waiting: int
    """Until an older one of their application has ended, or somebody can be told."""
    ended: Mapping[ReplayState, int]
    """Those that ended and are kept, by how."""
    rate: int
    """Deliveries a second that those which run may make together."""
    outstanding: int
    """Deliveries that are still to be made."""


async def start(tx: Transaction, order: ReplayOrder, now: datetime, by: str) -> ReplayId:
    """Have the events of an order told again that have been committed by now.

    An event may be older than the subscription that it is told to.

    Raises:
        NotFoundError: a subscription of it is not there, or not the application's; or the log knows nothing of the
            device in that application.
    """
    found = await subscriptions.by_ids(tx, order.subscription_ids)
    for subscription_id in order.subscription_ids:
        known = found.get(subscription_id)
        if known is None or known.application_id != order.application_id:
            raise NotFoundError("subscription", subscription_id)
    first, last, incomplete = await _span(tx, order)
    replay_id = await store.insert(tx, order, cursor=first - 1, last=last, incomplete=incomplete, now=now, by=by)
    tx.announce(REPLAYS_CHANGED, [replay_id])
    return replay_id


async def _span(tx: Transaction, order: ReplayOrder) -> tuple[int, int, bool]:
    """Return where an order begins and ends in the log, and whether the log no longer holds all of it."""
    if order.device_id is not None:
        first, last = await events.sequences(tx, order.device_id)
        oldest = await events.headings_of_device(tx, order.device_id, limit=1)
        if not oldest or oldest[0].application_id != order.application_id:
            raise NotFoundError("event of the device", order.device_id)
        return first, last, first > 1 and _reaches_back(order, oldest[0].occurred_at)
    oldest_event = await events.first(tx)
    if oldest_event is None:
        return 1, 0, await events.forgotten_through(tx) > 0
    first, began_at = oldest_event
    incomplete = await events.forgotten_through(tx) > 0 and _reaches_back(order, began_at)
    if order.since is not None:
        first = max(first, await events.position_before(tx, order.since) + 1)
    last = await events.last(tx)
    if order.until is not None:
        last = min(last, await events.position_after(tx, order.until))
    return first, last, incomplete


def _reaches_back(order: ReplayOrder, began_at: datetime) -> bool:
    return order.since is None or order.since < began_at


async def running(tx: Transaction) -> list[ReplayId]:
    """Return the replays whose turn it is, the oldest first: one of each application."""
    return [each.replay_id for each in await _turns(tx)]


async def _turns(tx: Transaction) -> list[OpenReplay]:
    found = await store.open_replays(tx)
    return taking_turns(found, await _stopped(tx, found)) if found else []


async def _stopped(tx: Transaction, found: Sequence[OpenReplay]) -> set[SubscriptionId]:
    """Return which of the subscriptions of these replays are not called at present."""
    named = {key for each in found for key in each.subscription_ids}
    standings = {key: it for key, it in (await standing_store.stopped(tx)).items() if key in named}
    there = await subscriptions.by_ids(tx, sorted(standings))
    active = SubscriptionState.ACTIVE
    return {key for key, it in there.items() if standings[key].state(it.generation) is not active}


async def census(tx: Transaction, most: int) -> ReplayCensus:
    """Return what is told of all replays together; deliveries are counted up to `most`."""
    turns, states = await _turns(tx), await store.states(tx)
    is_open = states.pop(ReplayState.OPEN, 0)
    return ReplayCensus(
        running=len(turns),
        waiting=max(0, is_open - len(turns)),
        ended=states,
        rate=sum(each.rate for each in turns),
        outstanding=await store.replayed(tx, most),
    )


async def forget(tx: Transaction, before: datetime, limit: int) -> int:
    """Remove replays that ended before a time, `limit` at the most, and return how many those were."""
    return await store.forget(tx, before, limit)


async def next_step(tx: Transaction, replay_id: ReplayId, now: datetime, most_waiting: int) -> Step | None:
    """Return what a replay does next; None when it may do nothing now.

    While `most_waiting` deliveries wait for one of its subscriptions, live ones included, it adds none.
    """
    replay = await store.find(tx, replay_id)
    if replay is None or replay.state is not ReplayState.OPEN:
        return None
    if replay.is_read:
        done = not await store.outstanding(tx, replay_id, 1)
        return _last_step(replay) if done else None
    wanted = _by_type(await _subscriptions_of(tx, replay))
    room = most_waiting - await store.most_waiting(tx, replay.order.subscription_ids, most_waiting)
    most = min(room, allowance(replay.paid_until, now, replay.order.rate), MOST_AT_ONCE)
    if not wanted:
        return _last_step(replay)
    if most <= 0:
        return None
    begins = await events.forgotten_through(tx) + 1
    headings: list[EventHeading] = []
    limit = min(max(most, _LOOKED_AT_FIRST), _LOOKED_AT)
    while True:
        part = await _headings(tx, replay, headings[-1] if headings else None, limit)
        headings += part
        is_end = len(part) < limit
        if replay.order.device_id is not None:
            begins = headings[0].sequence if headings else 0
        step = choose(replay, headings, wanted, most=most, is_end=is_end, log_begins=begins)
        limit = min(2 * limit, _LOOKED_AT - len(headings))
        if is_end or limit <= 0 or len(step.told) >= most or step.cursor >= replay.last:
            return step


async def _headings(tx: Transaction, replay: Replay, after: EventHeading | None, limit: int) -> list[EventHeading]:
    """Return what follows an event in the log, or in its device's part of it; or what follows the cursor."""
    if replay.order.device_id is not None:
        sequence = replay.cursor if after is None else after.sequence
        return await events.headings_of_device(tx, replay.order.device_id, sequence, limit)
    position = EventId(replay.cursor) if after is None else after.event_id
    return await events.headings(tx, replay.order.application_id, position, limit)


def _last_step(replay: Replay) -> Step:
    return Step(replay=replay, told=(), cursor=replay.cursor, incomplete=replay.incomplete)


async def _subscriptions_of(tx: Transaction, replay: Replay) -> list[Subscription]:
    return list((await subscriptions.by_ids(tx, replay.order.subscription_ids)).values())


def _by_type(found: Sequence[Subscription]) -> dict[EventType, list[SubscriptionId]]:
    wanted: dict[EventType, list[SubscriptionId]] = defaultdict(list)
    for subscription in found:
        wanted[subscription.event_type].append(subscription.subscription_id)
    return wanted


async def make_step(tx: Transaction, step: Step, now: datetime) -> int | None:
    """Write a step: its deliveries, and the cursor.

    Returns:
        How many deliveries that made; None, having done nothing, when somebody else did it.
    """
    replay = await store.find(tx, step.replay.replay_id)
    if replay is None or replay.state is not ReplayState.OPEN or replay.cursor != step.replay.cursor:
        return None
    present = {one.subscription_id for one in await _subscriptions_of(tx, replay)}
    if not present or (replay.is_read and not await store.outstanding(tx, replay.replay_id, 1)):
        state = ReplayState.FINISHED if replay.is_read else ReplayState.FAILED
        await store.end(tx, replay.replay_id, state, now)
        tx.announce(REPLAYS_CHANGED, [replay.replay_id])
        return 0
    wanted = [it for it in step.told if it.subscription_id in present]
    stored = await events.bodies(tx, sorted({it.event_id for it in wanted}))
    told = [it for it in wanted if it.event_id in stored]
    made = await delivery_store.insert_again(tx, told, replay=replay.replay_id)
    deliveries = [
        delivery_of(stored[event_id], to, replay=replay.replay_id, edition=edition)
        for (event_id, to), edition in made.items()
    ]
    await store.move(
        tx,
        replay,
        cursor=step.cursor,
        queued=len(deliveries),
        passed_over=len(told) - len(deliveries),
        incomplete=step.incomplete or len(told) < len(wanted),
        paid=pay(replay.paid_until, now, len(deliveries), replay.order.rate),
    )
    tx.announce(DELIVERIES_AGAIN, deliveries)
    return len(deliveries)


async def cancel(tx: Transaction, replay_id: ReplayId, now: datetime) -> None:
    """End a replay; what it has not delivered is not delivered any more, save what is on its way this very moment.

    Raises:
        NotFoundError: there is no such replay.
        ConflictError: it is over.
    """
    replay = await _get(tx, replay_id)
    if not await store.end(tx, replay_id, ReplayState.CANCELLED, now):
        message = f"the replay is {replay.state.value}"
        raise ConflictError(message)
    withdrawn: list[Told] = await store.withdraw(tx, replay_id)
    tx.announce(DELIVERIES_WITHDRAWN, withdrawn)
    tx.announce(REPLAYS_CHANGED, [replay_id])


async def find(tx: Transaction, replay_id: ReplayId, most: int) -> ReplayNow:
    """Return a replay as it stands; of what is outstanding `most` are counted.

    Raises:
        NotFoundError: there is no such replay.
    """
    return await _now(tx, await _get(tx, replay_id), await running(tx), most)


async def listed(
    tx: Transaction, application_id: ApplicationId | None, page: Page, most: int
) -> tuple[list[ReplayNow], int]:
    """Return a page of the replays, the latest first, and how many there are on all pages."""
    found, total = await store.listed(tx, application_id, page)
    turns = await running(tx)
    return [await _now(tx, replay, turns, most) for replay in found], total


async def _get(tx: Transaction, replay_id: ReplayId) -> Replay:
    replay = await store.find(tx, replay_id)
    if replay is None:
        raise NotFoundError("replay", str(replay_id))
    return replay


async def _now(tx: Transaction, replay: Replay, turns: Collection[ReplayId], most: int) -> ReplayNow:
    is_open = replay.state is ReplayState.OPEN
    return ReplayNow(
        replay=replay,
        waits=is_open and replay.replay_id not in turns,
        outstanding=await store.outstanding(tx, replay.replay_id, most) if is_open else 0,
    )
