"""Which subscriptions share a lane, and when a group of them takes the place of another: by example and by chance.

The chance part drives groups and lanes together against an oracle: a store of undelivered rows, subscriptions that
come, move and go, attempts that end whenever they like. Of a place and a device, one delivery is under way at a time,
and none goes out for the first time before an older one. A run is wholly given by its seed: `run(seed)` repeats it.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from firmcast.ids import ApplicationId, DeviceId, EventId, SubscriptionId
from firmcast.push.callback_groups import CallbackGroups, Place
from firmcast.push.lanes import Lanes, Sendable
from firmcast.push.model import Trouble
from firmcast.push.retry import Delivered, FailureReason, RetryAt
from firmcast.push.scheduling.breaker import BreakerPolicy
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.push.scheduling.lane_limits import LaneLimits
from firmcast.push.scheduling.spill import LoadRequest

START = datetime(2026, 11, 24, tzinfo=UTC)
STATES, RESULTS, OTHERS = SubscriptionId("states"), SubscriptionId("results"), SubscriptionId("others")


def place(url: str, application: str = "app") -> Place:
    return Place(application_id=ApplicationId(application), url=url)


def test_one_url_of_one_application_is_one_group() -> None:
    groups = CallbackGroups()
    assert groups.arrange({STATES: place("a"), RESULTS: place("a"), OTHERS: place("b")}) == []
    assert groups.group_of(STATES) is None
    assert [set(group.subscription_ids) for group in groups.begin()] == [{STATES, RESULTS}, {OTHERS}]
    together = groups.group_of(STATES)
    assert together == groups.group_of(RESULTS) != groups.group_of(OTHERS)
    assert together is not None
    assert groups.subscriptions_of(together) == {STATES, RESULTS}


def test_one_url_of_two_applications_is_two_groups() -> None:
    groups = CallbackGroups()
    groups.arrange({STATES: place("a", "one"), RESULTS: place("a", "two")})
    assert len(groups.begin()) == 2
    assert groups.begun_of({ApplicationId("two")}) == [groups.group_of(RESULTS)]


def test_news_that_move_nothing_end_nothing() -> None:
    groups = CallbackGroups()
    groups.arrange({STATES: place("a")})
    groups.begin()
    before = groups.group_of(STATES)
    assert groups.arrange({STATES: place("a"), RESULTS: None}) == []
    assert (groups.begin(), groups.group_of(STATES)) == ([], before)


def test_a_subscription_that_moves_ends_both_groups_and_leaves_the_third_alone() -> None:
    groups = CallbackGroups()
    more = SubscriptionId("more")
    groups.arrange({STATES: place("a"), RESULTS: place("a"), OTHERS: place("b"), more: place("c")})
    old_a, old_b, old_c = (group.group_id for group in groups.begin())
    assert groups.arrange({RESULTS: place("b")}) == [old_a, old_b]
    assert [set(group.subscription_ids) for group in groups.begin()] == [{STATES}, {RESULTS, OTHERS}]
    assert groups.group_of(more) == old_c
    assert groups.subscriptions_of(old_a) == frozenset()


def test_the_last_subscription_of_a_group_leaves_none_behind() -> None:
    groups = CallbackGroups()
    groups.arrange({STATES: place("a")})
    (group,) = groups.begin()
    assert groups.arrange({STATES: None}) == [group.group_id]
    assert (groups.begin(), groups.group_of(STATES)) == ([], None)


def test_a_group_waits_for_attempts_that_it_might_overtake() -> None:
    groups = CallbackGroups()
    groups.arrange({STATES: place("a"), RESULTS: place("b")})
    old_a, old_b = (group.group_id for group in groups.begin())
    for group_id in (old_a, old_a, old_b):
        groups.attempt_begins(group_id)
    groups.arrange({STATES: place("c")})
    assert groups.begin() == [], "what was sent to the old place may fail, and then comes first at the new one"
    groups.arrange({OTHERS: place("a"), STATES: place("b")})
    assert groups.begin() == []
    assert not groups.attempt_ended(old_a)
    assert groups.attempt_ended(old_a)
    assert [group.place for group in groups.begin()] == [place("a")]
    assert groups.attempt_ended(old_b)
    assert [set(group.subscription_ids) for group in groups.begin()] == [{STATES, RESULTS}]


# ---------------------------------------------------------------------- by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    subscription_id: SubscriptionId
    device_id: DeviceId
    event_id: EventId
    trouble: Trouble | None = None
    replay: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    sendable: Sendable[Row]
    place: Place


SUBSCRIPTIONS = [STATES, RESULTS, OTHERS]
PLACES = [place("a"), place("b")]
DEVICES = [DeviceId(name) for name in ("1", "2")]


class World:
    """Driver, store and receivers."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        self.steady = seed % 3 == 0
        self.failing = chance.choice([0.1, 0.5])
        window = chance.randint(1, 10)
        self.groups = CallbackGroups()
        self.lanes: Lanes[Row] = Lanes(
            limits=LaneLimits(
                in_flight=chance.randint(2, 8),
                reserved=chance.randint(0, 1),
                window_rows=window,
                total_rows=2 * window,
                least_rows=1,
                open_rows=2,
                load_rows=chance.randint(1, 6),
            ),
            breaker_policy=BreakerPolicy(failures=3, failing_lanes=4),
            concurrency_policy=ConcurrencyPolicy(least=1, start=chance.randint(1, 6), restart=1, most=6),
            application_of=self.groups.application_of,
            draw=chance.random,
            group_of=lambda row: self.groups.group_of(row.subscription_id),
        )
        self.now = START
        self.next_event = 1
        self.places: dict[SubscriptionId, Place] = {}
        self.store: dict[SubscriptionId, dict[EventId, Row]] = defaultdict(dict)
        self.unannounced: list[Row] = []
        self.reads: list[tuple[LoadRequest, list[Row] | None]] = []
        self.flying: list[Flight] = []
        self.seen: set[EventId] = set()
        self.first_arrivals: dict[tuple[Place, DeviceId], list[EventId]] = defaultdict(list)
        self.arrange({STATES: PLACES[0], RESULTS: PLACES[0], OTHERS: PLACES[1]})

    def arrange(self, places: dict[SubscriptionId, Place | None]) -> None:
        for subscription, where in places.items():
            self.places.pop(subscription, None)
            if where is None:
                self.store.pop(subscription, None)
            else:
                self.places[subscription] = where
        for group_id in self.groups.arrange(places):
            self.lanes.drop_group(group_id)
        self.begin()

    def begin(self) -> None:
        for group in self.groups.begin():
            self.lanes.add_backlog(group.group_id)
            self.lanes.hasten(group.group_id, self.now)

    def change(self) -> None:
        if self.steady:
            return
        changed = self.chance.sample(SUBSCRIPTIONS, self.chance.randint(1, 3))
        self.announce()
        self.arrange({subscription: self.chance.choice([*PLACES, *PLACES, None]) for subscription in changed})

    def commit(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            subscription = self.chance.choice(SUBSCRIPTIONS)
            if subscription in self.places:
                event = EventId(self.next_event)
                self.next_event += 1
                row = Row(subscription_id=subscription, device_id=self.chance.choice(DEVICES), event_id=event)
                self.store[subscription][event] = row
                self.unannounced.append(row)

    def announce(self) -> None:
        rows, self.unannounced = self.unannounced, []
        self.lanes.offer(rows, self.now)

    def send(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([0, 0, 1, 10]))
        for sendable in self.lanes.take(self.now):
            self.check_departure(sendable.row)
            self.groups.attempt_begins(sendable.group_id)
            self.flying.append(Flight(sendable=sendable, place=self.places[sendable.row.subscription_id]))

    def check_departure(self, row: Row) -> None:
        where = self.places[row.subscription_id]
        assert row.event_id in self.store[row.subscription_id], "sent although it was settled"
        for other in self.flying:
            assert other.sendable.row.event_id != row.event_id, "sent twice at once"
            assert (other.place, other.sendable.row.device_id) != (where, row.device_id), "two of a lane at once"
        if row.event_id not in self.seen:
            lane = [
                item.event_id
                for subscription, rows in self.store.items()
                if self.places.get(subscription) == where
                for item in rows.values()
                if item.device_id == row.device_id
            ]
            assert min(lane) == row.event_id, "an older event of the lane was passed by"
            self.first_arrivals[where, row.device_id].append(row.event_id)
        self.seen.add(row.event_id)

    def answer(self) -> None:
        if self.flying:
            self.settle(self.chance.choice(self.flying), well=self.chance.random() >= self.failing)

    def settle(self, flight: Flight, *, well: bool) -> None:
        self.flying.remove(flight)
        sendable, row = flight.sendable, flight.sendable.row
        rows = self.store[row.subscription_id]
        if well:
            rows.pop(row.event_id, None)
            self.lanes.settle(sendable, Delivered(), self.now)
        else:
            at = self.now + timedelta(seconds=self.chance.randint(1, 60))
            reason = self.chance.choice([FailureReason.CONNECT, FailureReason.SERVER_ERROR])
            if row.event_id in rows:
                trouble = Trouble(attempts=sendable.attempt, first_attempted_at=sendable.first_attempted_at, due_at=at)
                rows[row.event_id] = replace(row, trouble=trouble)
            self.lanes.settle(sendable, RetryAt(at=at, reason=reason), self.now)
        if self.groups.attempt_ended(sendable.group_id):
            self.begin()

    def ask(self) -> None:
        self.reads.extend((request, None) for request in self.lanes.needs_rows())

    def read(self) -> None:
        """Take the snapshot of a read, or hand over one taken before."""
        if self.reads:
            position = self.chance.randrange(len(self.reads))
            request, rows = self.reads[position]
            if rows is None:
                self.reads[position] = (request, self.snapshot(request))
                return
            del self.reads[position]
            self.lanes.loaded(request, rows, self.now)

    def snapshot(self, request: LoadRequest) -> list[Row]:
        members = self.groups.subscriptions_of(request.group_id)
        rows = [row for subscription in members for row in self.store[subscription].values()]
        rows.sort(key=lambda row: row.event_id)
        return [row for row in rows if row.event_id > request.after][: request.limit]

    def step(self) -> None:
        actions = {
            self.commit: 4,
            self.announce: 6,
            self.send: 10,
            self.answer: 8,
            self.ask: 8,
            self.read: 12,
            self.change: 2,
        }
        (action,) = self.chance.choices(list(actions), list(actions.values()))
        action()

    def come_to_rest(self) -> None:
        """All that is left is delivered, in order, without further help."""
        for _ in range(2_000):
            self.announce()
            self.ask()
            for request, rows in self.reads:
                self.lanes.loaded(request, self.snapshot(request) if rows is None else rows, self.now)
            self.reads.clear()
            self.send()
            for flight in list(self.flying):
                self.settle(flight, well=True)
            if not any(self.store.values()):
                break
            self.now = max(self.now, self.lanes.next_timer() or self.now)
        assert not any(self.store.values()), "something was never sent"
        assert (self.lanes.queued, self.lanes.in_flight) == (0, 0)


def run(seed: int) -> None:
    world = World(seed)
    for _ in range(250):
        world.step()
    world.come_to_rest()
    if world.steady:
        assert any(len(arrivals) > 1 for arrivals in world.first_arrivals.values())
        for arrivals in world.first_arrivals.values():
            assert arrivals == sorted(set(arrivals)), "of both subscriptions together, a later event came first"


@pytest.mark.parametrize("block", range(6))
def test_nothing_overtakes_at_one_callback_whatever_becomes_of_the_subscriptions(block: int) -> None:
    for seed in range(block * 60, block * 60 + 60):
        try:
            run(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
