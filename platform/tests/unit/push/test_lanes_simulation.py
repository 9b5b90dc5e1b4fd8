"""The scheduler against an oracle: a store, receivers that fail, a virtual clock; whatever happens, nothing is lost.

The oracle is the dictionary of undelivered rows. Reads are answered from a snapshot taken some time after they were
asked for and handed over later still, as a real store's are; commits are announced late; settled rows leave the store
before the next read. A run is wholly given by its seed: `run(seed)` repeats it.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from firmcast.ids import DeviceId, EventId
from firmcast.push.breaker import BreakerPolicy
from firmcast.push.group_lanes import LoadRequest
from firmcast.push.lanes import LaneLimits, Lanes, Sendable
from firmcast.push.model import GroupId, Trouble
from firmcast.push.retry import Dead, DeadReason, Delivered, FailureReason, RetryAt, Verdict

START = datetime(2026, 11, 24, tzinfo=UTC)
GROUPS = [GroupId(number) for number in (1, 2, 3)]
DEVICES = [DeviceId(name) for name in ("1", "2", "3", "4")]
REASONS = [FailureReason.CONNECT, FailureReason.SERVER_ERROR, FailureReason.LOCAL, FailureReason.TIMEOUT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    group_id: GroupId
    device_id: DeviceId
    event_id: EventId
    trouble: Trouble | None = None
    replay: int = 0


class World:
    """Driver, store and receivers of one scheduler."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        window_rows = chance.randint(1, 10)
        self.limits = LaneLimits(
            in_flight=chance.randint(2, 6),
            reserved=chance.randint(0, 1),
            window_rows=window_rows,
            total_rows=chance.choice([window_rows, 3 * window_rows]),
            least_rows=1,
            open_rows=chance.randint(1, 3),
            load_rows=chance.randint(1, 6),
        )
        self.failing = chance.choice([0.05, 0.3, 0.7])
        self.lanes = self.fresh_lanes()
        self.now = START
        self.next_event = 1
        self.store: dict[GroupId, dict[EventId, Row]] = defaultdict(dict)
        self.unannounced: list[Row] = []
        self.reads: list[tuple[LoadRequest, list[Row] | None]] = []
        self.flying: list[Sendable[Row]] = []
        self.arrived: dict[tuple[GroupId, DeviceId], EventId] = {}
        self.seen: set[tuple[GroupId, EventId]] = set()
        self.dead: list[Row] = []
        self.delivered: list[Row] = []
        self.sent_again: set[tuple[GroupId, EventId]] = set()
        self.dropped: set[GroupId] = set()
        self.paused: set[GroupId] = set()

    def fresh_lanes(self) -> Lanes[Row]:
        failures = self.chance.randint(1, 4)
        policy = BreakerPolicy(
            failures=failures, failing_lanes=failures + 1, window=self.chance.randint(1, 4), start_window=1
        )
        return Lanes(
            limits=self.limits, breaker_policy=policy, draw=self.chance.random, group_of=lambda row: row.group_id
        )

    # ---- what the world does

    def commit(self) -> None:
        group = self.chance.choice(GROUPS)
        if group in self.dropped:
            return
        for _ in range(self.chance.randint(1, 4)):
            event = EventId(self.next_event)
            self.next_event += 1
            row = Row(group_id=group, device_id=self.chance.choice(DEVICES), event_id=event)
            self.store[group][event] = row
            self.unannounced.append(row)

    def announce(self) -> None:
        rows, self.unannounced = self.unannounced, []
        self.lanes.offer([row for row in rows if row.group_id not in self.dropped], self.now)

    def send(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([0, 0, 1, 10]))
        for sendable in self.lanes.take(self.now):
            self.check_departure(sendable.row)
            self.flying.append(sendable)
        living = [item for item in self.flying if item.row.group_id not in self.dropped]
        assert len(living) <= self.limits.in_flight

    def check_departure(self, row: Row) -> None:
        lane = (row.group_id, row.device_id)
        key = (row.group_id, row.event_id)
        assert row.group_id not in self.dropped | self.paused
        assert all((other.row.group_id, other.row.device_id) != lane for other in self.flying)
        assert row.event_id in self.store[row.group_id], "sent although it was settled"
        if key not in self.seen and key not in self.sent_again:
            assert self.arrived.get(lane, 0) < row.event_id, "overtaken"
            older = [item for item in self.store[row.group_id].values() if item.device_id == row.device_id]
            fresh = [item.event_id for item in older if (item.group_id, item.event_id) not in self.sent_again]
            assert min(fresh) == row.event_id, "an older event of the lane was passed by"
            self.arrived[lane] = row.event_id
        self.seen.add(key)

    def answer(self) -> None:
        if self.flying:
            self.settle(self.chance.choice(self.flying), self.verdict())

    def verdict(self) -> Verdict:
        if self.chance.random() >= self.failing:
            return Delivered()
        drawn = self.chance.random()
        if drawn < 0.1:
            return Dead(reason=DeadReason.GONE, failure=FailureReason.GONE)
        if drawn < 0.2:
            return RetryAt(
                at=self.now + timedelta(seconds=7),
                reason=FailureReason.THROTTLED,
                spends_attempt=False,
                holds_callback=True,
            )
        reason = self.chance.choice(REASONS)
        at = self.now + timedelta(seconds=self.chance.randint(1, 60))
        return RetryAt(at=at, reason=reason, spends_attempt=reason is not FailureReason.LOCAL)

    def settle(self, sendable: Sendable[Row], verdict: Verdict) -> None:
        row = sendable.row
        self.flying.remove(sendable)
        rows = self.store[row.group_id]
        match verdict:
            case Delivered():
                if rows.pop(row.event_id, None) is not None:
                    self.delivered.append(row)
            case Dead():
                if rows.pop(row.event_id, None) is not None:
                    self.dead.append(replace(row, trouble=None))
            case RetryAt():
                trouble = Trouble(
                    attempts=sendable.attempt - (not verdict.spends_attempt),
                    first_attempted_at=sendable.first_attempted_at,
                    due_at=verdict.at,
                )
                if row.event_id in rows:
                    rows[row.event_id] = replace(row, trouble=trouble)
        self.lanes.settle(sendable, verdict, self.now)

    def send_again(self) -> None:
        if not self.dead:
            return
        row = self.dead.pop(self.chance.randrange(len(self.dead)))
        if row.group_id not in self.dropped:
            self.store[row.group_id][row.event_id] = row
            self.sent_again.add((row.group_id, row.event_id))
            self.lanes.offer_again([row])

    def replay(self) -> None:
        """Tell some history again, in order; what is on its way stays on its way."""
        group = self.chance.choice(GROUPS)
        told = {row.event_id: row for row in self.delivered if row.group_id == group}
        chosen = sorted(self.chance.sample(sorted(told), min(len(told), self.chance.randint(1, 5))))
        again = [replace(told[event], trouble=None, replay=1) for event in chosen if event not in self.store[group]]
        if group not in self.dropped:
            self.store[group].update({row.event_id: row for row in again})
            self.sent_again.update((group, row.event_id) for row in again)
            self.lanes.offer_again(again)

    def withdraw(self) -> None:
        """Cancel the replay of a group: what has not left does not leave any more."""
        group = self.chance.choice(GROUPS)
        for row in [row for row in self.store[group].values() if row.replay]:
            del self.store[group][row.event_id]
            self.lanes.withdraw(group, row.device_id, row.event_id)

    def ask(self) -> None:
        self.reads.extend((request, None) for request in self.lanes.needs_rows())

    def read(self) -> None:
        """Take the snapshot of a read, or hand over one taken before."""
        if not self.reads:
            return
        position = self.chance.randrange(len(self.reads))
        request, rows = self.reads[position]
        if rows is None:
            self.reads[position] = (request, self.snapshot(request))
            return
        del self.reads[position]
        self.lanes.loaded(request, rows, self.now)

    def snapshot(self, request: LoadRequest) -> list[Row]:
        rows = self.store[request.group_id]
        return [rows[event] for event in sorted(rows) if event > request.after][: request.limit]

    def pause_or_resume(self) -> None:
        group = self.chance.choice(GROUPS)
        if group in self.paused:
            self.paused.remove(group)
            self.lanes.resume(group)
        elif group not in self.dropped:
            self.paused.add(group)
            self.lanes.pause(group)

    def drop(self) -> None:
        group = GROUPS[-1]
        if group not in self.dropped:
            self.dropped.add(group)
            self.paused.discard(group)
            self.store.pop(group, None)
            self.lanes.drop_group(group)

    def restart(self) -> None:
        """Forget everything in memory, as a killed process does."""
        self.flying.clear()
        self.reads.clear()
        self.unannounced.clear()
        self.lanes = self.fresh_lanes()
        for group, rows in self.store.items():
            if rows:
                self.lanes.add_backlog(group)
        for group in self.paused:
            self.lanes.pause(group)

    # ---- a run

    def step(self) -> None:
        actions = {
            self.commit: 4,
            self.announce: 6,
            self.send: 10,
            self.answer: 20,
            self.ask: 8,
            self.read: 12,
            self.send_again: 2,
            self.replay: 2,
            self.withdraw: 0.5,
            self.pause_or_resume: 0.6,
            self.drop: 0.02,
            self.restart: 0.3,
        }
        (action,) = self.chance.choices(list(actions), list(actions.values()))
        action()
        most = self.limits.window_rows + self.limits.in_flight + 2 * self.limits.open_rows
        assert self.lanes.queued <= 3 * most

    def come_to_rest(self) -> None:
        """Everything is up again: all that is left is delivered, in order, without further help."""
        for group in sorted(self.paused):
            self.lanes.resume(group)
        self.paused.clear()
        for _ in range(3_000):
            self.announce()
            self.ask()
            for request, rows in self.reads:
                self.lanes.loaded(request, self.snapshot(request) if rows is None else rows, self.now)
            self.reads.clear()
            self.send()
            for sendable in list(self.flying):
                self.settle(sendable, Delivered())
            if not any(self.store.values()):
                break
            self.now = max(self.now, self.lanes.next_timer() or self.now)
        assert not any(self.store.values()), "something was never sent"
        assert (self.lanes.queued, self.lanes.in_flight) == (0, 0)


def run(seed: int, steps: int = 250) -> None:
    world = World(seed)
    for _ in range(steps):
        world.step()
    world.come_to_rest()


@pytest.mark.parametrize("block", range(8))
def test_nothing_is_lost_overtaken_or_sent_twice_at_once(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        try:
            run(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
