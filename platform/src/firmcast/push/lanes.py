"""The scheduler: which delivery is sent next. It does nothing else, knows no clock, and keeps no thread waiting.

* Of a lane (subscription and device) at most one delivery is in flight; the next one leaves when it is settled.
* A lane whose head failed waits for its time; the others go on.
* Subscriptions take turns; each has a window of attempts in flight, and all together have one.
* What does not fit into memory is left in the store and asked for later (`needs_rows`).

The driver offers rows in the order of their commits, oldest first, and answers a LoadRequest with a read that sees
everything settled before the request was handed out.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, assert_never

from firmcast.ids import SubscriptionId
from firmcast.push.breaker import Breaker, BreakerPolicy, BreakerState
from firmcast.push.lane import DeliveryT, Lane
from firmcast.push.model import Trouble
from firmcast.push.retry import Dead, Delivered, FailureReason, RetryAt, Verdict
from firmcast.push.subscription_lanes import LoadRequest, Offered, SubscriptionLanes
from firmcast.push.timers import Timers


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """How much may be in flight and in memory."""

    in_flight: int = 512
    """Attempts in flight of all subscriptions together."""

    reserved: int = 51
    """So many of them are kept for subscriptions that have none in flight."""

    window_rows: int = 2_000
    """Rows in memory of one subscription."""

    total_rows: int = 50_000
    """Rows in memory of all subscriptions; one that has none may still have `least_rows`."""

    least_rows: int = 16
    open_rows: int = 64
    """Rows kept of a subscription whose breaker is open."""

    load_rows: int = 1_000
    """Rows asked for at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sendable(Generic[DeliveryT]):
    """A delivery that is to be sent now."""

    row: DeliveryT
    attempt: int
    """Number of this attempt, from 1."""

    first_attempted_at: datetime
    retried: bool
    """True when an earlier attempt left something to remember, spent or not."""

    probe: bool
    """True when this attempt decides whether its subscription is tried at all."""


class Lanes(Generic[DeliveryT]):
    """All lanes of all subscriptions."""

    def __init__(self, *, limits: LaneLimits, breaker_policy: BreakerPolicy, draw: Callable[[], float]) -> None:
        """Start empty; `draw` gives a number from 0 to 1 at each call and is the only source of chance."""
        self._limits = limits
        self._breaker_policy = breaker_policy
        self._draw = draw
        self._subscriptions: dict[SubscriptionId, SubscriptionLanes[DeliveryT]] = {}
        self._turn: deque[SubscriptionLanes[DeliveryT]] = deque()
        self._hungry: dict[SubscriptionId, None] = {}  # an ordered set
        self._timers: Timers[DeliveryT] = Timers()
        self._in_flight = 0
        self._queued = 0

    # ------------------------------------------------------------------ what the driver tells

    def add_backlog(self, subscription_id: SubscriptionId) -> None:
        """Tell that the store holds undelivered rows of a subscription, before any of its rows is offered."""
        subscription = self._subscription(subscription_id)
        subscription.leave_all()
        self._note_hunger(subscription)

    def offer(self, rows: Iterable[DeliveryT], now: datetime) -> None:
        """Take rows just committed, in the order of their event ids."""
        for row in rows:
            subscription = self._subscription(row.subscription_id)
            if subscription.offer(row, now, room=self._has_room(subscription)) is Offered.QUEUED:
                self._queued += 1
                self._join_turn(subscription)
            else:
                self._note_hunger(subscription)

    def offer_again(self, rows: Iterable[DeliveryT]) -> None:
        """Take rows that are older than others of their lanes, as when dead letters are sent again."""
        for row in rows:
            subscription = self._subscription(row.subscription_id)
            with self._counting(subscription):
                outcome = subscription.offer_again(row)
            if outcome is Offered.QUEUED:
                self._join_turn(subscription)
            else:
                self._note_hunger(subscription)

    def loaded(self, request: LoadRequest, rows: Sequence[DeliveryT], now: datetime) -> None:
        """Take what the store answered to a request; fewer rows than the limit mean that there are no more."""
        subscription = self._subscriptions.get(request.subscription_id)
        if subscription is None:
            return
        with self._counting(subscription):
            subscription.loaded(request, rows, now)
        self._join_turn(subscription)
        self._note_hunger(subscription)

    def settle(self, sendable: Sendable[DeliveryT], verdict: Verdict, now: datetime) -> None:
        """Tell what became of an attempt; each Sendable is settled exactly once.

        Raises:
            ValueError: when it is not in flight.
        """
        subscription = self._subscriptions.get(sendable.row.subscription_id)
        if subscription is None:
            return  # dropped while the attempt was under way
        lane = subscription.lanes.get(sendable.row.device_id)
        if lane is None or not lane.is_in_flight(sendable.row):
            raise ValueError("the delivery is not in flight")
        self._in_flight -= 1
        match verdict:
            case Delivered():
                subscription.complete(lane)
                self._queued -= 1
                if subscription.breaker.succeeded(now):
                    subscription.recover()
            case RetryAt():
                self._put_back(subscription, lane, sendable, verdict, now)
            case Dead():
                subscription.complete(lane)
                self._queued -= 1
                self._note_failure(subscription, sendable, verdict.failure, now)
            case _:
                assert_never(verdict)
        self._join_turn(subscription)
        self._note_hunger(subscription)

    def pause(self, subscription_id: SubscriptionId) -> None:
        """Send nothing more to a subscription; what is in flight may finish."""
        subscription = self._subscription(subscription_id)
        subscription.paused = True
        with self._counting(subscription):
            subscription.leave_resting()

    def resume(self, subscription_id: SubscriptionId) -> None:
        """Go on where a paused subscription stopped."""
        subscription = self._subscription(subscription_id)
        subscription.paused = False
        subscription.recover()
        self._join_turn(subscription)
        self._note_hunger(subscription)

    def hasten(self, subscription_id: SubscriptionId, now: datetime) -> None:
        """Try what waits at once, as when the callback has moved."""
        subscription = self._subscription(subscription_id)
        subscription.recover()
        subscription.breaker.hasten(now)
        self._join_turn(subscription)

    def drop_subscription(self, subscription_id: SubscriptionId) -> None:
        """Forget a deleted subscription; what is in flight may finish and is settled for nothing."""
        subscription = self._subscriptions.pop(subscription_id, None)
        if subscription is None:
            return
        self._in_flight -= subscription.in_flight
        self._queued -= subscription.queued
        subscription.paused = True  # whoever still holds it gets nothing out of it
        self._hungry.pop(subscription_id, None)

    # ------------------------------------------------------------------ what the driver asks

    def take(self, now: datetime) -> list[Sendable[DeliveryT]]:
        """Return what is to be sent now; all of it counts as in flight from here on."""
        self._fire_timers(now)
        taken: list[Sendable[DeliveryT]] = []
        held_back: list[SubscriptionLanes[DeliveryT]] = []
        unreserved = self._limits.in_flight - self._limits.reserved
        while self._turn and self._in_flight < self._limits.in_flight:
            subscription = self._turn.popleft()
            if subscription.in_flight and self._in_flight >= unreserved:
                held_back.append(subscription)
                continue
            lane = subscription.next_lane(now)
            if lane is None:
                subscription.in_turn = False
                continue
            self._in_flight += 1
            taken.append(_sendable(subscription, lane, now))
            self._turn.append(subscription)
        self._turn.extendleft(reversed(held_back))
        return taken

    def needs_rows(self) -> list[LoadRequest]:
        """Return the reads that memory has room for; each is answered once, with `loaded`."""
        requests = []
        total = self._queued
        for subscription_id in list(self._hungry):
            subscription = self._subscriptions[subscription_id]
            if not subscription.is_hungry():
                del self._hungry[subscription_id]
                continue
            room = max(self._limits.total_rows - total, 0 if subscription.queued else self._limits.least_rows)
            is_open = subscription.breaker.state is not BreakerState.CLOSED
            most = self._limits.open_rows if is_open else self._limits.load_rows
            if room == 0:
                continue
            request = subscription.wanted(limit=min(room, most))
            if request is not None:
                del self._hungry[subscription_id]
                total += request.limit
                requests.append(request)
        return requests

    def next_timer(self) -> datetime | None:
        """Return when `take` will next have something that it has not now, if nothing else happens before."""
        return self._timers.next_due()

    @property
    def queued(self) -> int:
        """How many rows are in memory, those in flight included."""
        return self._queued

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def breaker_state(self, subscription_id: SubscriptionId) -> BreakerState:
        """Return what may be sent to a subscription."""
        subscription = self._subscriptions.get(subscription_id)
        return BreakerState.CLOSED if subscription is None else subscription.breaker.state

    # ------------------------------------------------------------------ inside

    def _subscription(self, subscription_id: SubscriptionId) -> SubscriptionLanes[DeliveryT]:
        subscription = self._subscriptions.get(subscription_id)
        if subscription is None:
            subscription = SubscriptionLanes(
                subscription_id,
                Breaker(self._breaker_policy, self._draw),
                self._timers,
                window_rows=self._limits.window_rows,
            )
            self._subscriptions[subscription_id] = subscription
        return subscription

    @contextmanager
    def _counting(self, subscription: SubscriptionLanes[DeliveryT]) -> Iterator[None]:
        """Keep the total true over something that changes how many rows of a subscription are in memory."""
        before = subscription.queued
        yield
        self._queued += subscription.queued - before

    def _has_room(self, subscription: SubscriptionLanes[DeliveryT]) -> bool:
        if subscription.breaker.state is not BreakerState.CLOSED:
            return subscription.queued < self._limits.open_rows
        return self._queued < self._limits.total_rows or subscription.queued < self._limits.least_rows

    def _put_back(
        self,
        subscription: SubscriptionLanes[DeliveryT],
        lane: Lane[DeliveryT],
        sendable: Sendable[DeliveryT],
        verdict: RetryAt,
        now: datetime,
    ) -> None:
        trouble = Trouble(
            attempts=sendable.attempt if verdict.spends_attempt else sendable.attempt - 1,
            first_attempted_at=sendable.first_attempted_at,
            due_at=verdict.at,
        )
        subscription.put_back(lane, trouble)
        if verdict.holds_subscription:
            if subscription.breaker.hold(verdict.at):
                self._opened(subscription)
        else:
            self._note_failure(subscription, sendable, verdict.reason, now)

    def _note_failure(
        self,
        subscription: SubscriptionLanes[DeliveryT],
        sendable: Sendable[DeliveryT],
        reason: FailureReason,
        now: datetime,
    ) -> None:
        opened = subscription.breaker.failed(
            sendable.row.device_id,
            reason,
            now,
            probe=sendable.probe,
            no_lane_is_well=subscription.no_lane_is_well(),
        )
        if opened:
            self._opened(subscription)
        elif subscription.breaker.state is not BreakerState.CLOSED:
            self._shrink(subscription)

    def _opened(self, subscription: SubscriptionLanes[DeliveryT]) -> None:
        self._shrink(subscription)
        probe_at = subscription.breaker.probe_at
        assert probe_at is not None
        self._timers.add_probe(probe_at, subscription)

    def _shrink(self, subscription: SubscriptionLanes[DeliveryT]) -> None:
        """Keep little of a subscription that is down; stragglers come back in numbers, so not for each of them."""
        if subscription.queued - subscription.in_flight > 2 * self._limits.open_rows:
            with self._counting(subscription):
                subscription.keep_oldest(self._limits.open_rows)

    def _fire_timers(self, now: datetime) -> None:
        for timer in self._timers.pop_due(now):
            if timer.lane is not None:
                timer.subscription.wake(timer.lane)
            self._join_turn(timer.subscription)

    def _join_turn(self, subscription: SubscriptionLanes[DeliveryT]) -> None:
        if not subscription.in_turn and subscription.queued:
            subscription.in_turn = True
            self._turn.append(subscription)

    def _note_hunger(self, subscription: SubscriptionLanes[DeliveryT]) -> None:
        if subscription.is_hungry():
            self._hungry[subscription.subscription_id] = None


def _sendable(subscription: SubscriptionLanes[DeliveryT], lane: Lane[DeliveryT], now: datetime) -> Sendable[DeliveryT]:
    trouble = lane.trouble
    return Sendable(
        row=lane.head,
        attempt=1 if trouble is None else trouble.attempts + 1,
        first_attempted_at=now if trouble is None else trouble.first_attempted_at,
        retried=trouble is not None,
        probe=subscription.breaker.state is BreakerState.PROBING,
    )
