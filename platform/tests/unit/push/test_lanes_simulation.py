"""The scheduler against an oracle: a store, nodes, receivers that fail, a virtual clock; nothing is ever lost.

The oracle is the dictionary of undelivered rows. Reads are answered from a snapshot taken some time after they were
asked for and handed over later still, as a real store's are; commits are announced late; settled rows leave the store
before the next read. Every second world has several nodes: transactions of theirs overlap, so that events become
visible after others with higher ids, and devices pass from one node to another, with their attempts ended or not.

A run is wholly given by its seed. `LANES_SEED=17 pytest …/test_lanes_simulation.py` runs that one alone.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from firmcast.ids import ApplicationId, DeviceId, EventId
from firmcast.push.lanes import Lanes, Sendable
from firmcast.push.model import RESENT, GroupId, Trouble
from firmcast.push.retry import Blocked, Dead, DeadReason, Delivered, FailureReason, RetryAt, Verdict
from firmcast.push.scheduling.breaker import BreakerPolicy
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.push.scheduling.lane_limits import LaneLimits
from firmcast.push.scheduling.spill import LoadRequest

START = datetime(2026, 11, 24, tzinfo=UTC)
GROUPS = [GroupId(number) for number in (1, 2, 3)]
DEVICES = [DeviceId(name) for name in ("1", "2", "3", "4")]
REASONS = [FailureReason.CONNECT, FailureReason.SERVER_ERROR, FailureReason.LOCAL, FailureReason.TIMEOUT]

RUNS = 10_000
BLOCKS = 20
STEPS = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    group_id: GroupId
    device_id: DeviceId
    event_id: EventId
    trouble: Trouble | None = None
    replay: int = 0
    edition: int = 0

    @property
    def key(self) -> tuple[GroupId, EventId]:
        return self.group_id, self.event_id

    @property
    def lane(self) -> tuple[GroupId, DeviceId]:
        return self.group_id, self.device_id

    @property
    def is_blocked(self) -> bool:
        return self.trouble is not None and self.trouble.blocked


class Node:
    """One process: a scheduler, and what its driver has to remember."""

    def __init__(self, lanes: Lanes[Row]) -> None:
        self.lanes = lanes
        self.unannounced: list[Row] = []
        self.reads: list[tuple[LoadRequest, list[Row] | None]] = []
        self.flying: list[tuple[Sendable[Row], int]] = []  # with the epoch of their device
        self.leaving: set[DeviceId] = set()  # not sent any more, and still ours until their attempts have ended


class World:
    """Nodes, store and receivers."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        window_rows = chance.randint(1, 10)
        self.limits = LaneLimits(
            in_flight=chance.randint(2, 6),
            reserved=chance.randint(0, 1),
            trials=chance.randint(1, 3),
            window_rows=window_rows,
            total_rows=chance.choice([window_rows, 3 * window_rows]),
            least_rows=1,
            open_rows=chance.randint(1, 3),
            load_rows=chance.randint(1, 6),
        )
        self.most = chance.randint(1, 4)
        self.failing = chance.choice([0.05, 0.3, 0.7])
        self.shared = seed % 2 == 1
        self.garbled = chance.choice([0.0, 0.0, 0.1, 1.0])  # of what is announced, how much nobody can read
        self.now = START
        self.next_event = 1
        self.next_edition = 1
        self.store: dict[GroupId, dict[EventId, Row]] = defaultdict(dict)
        self.open: list[list[Row]] = []  # transactions that have their event ids and have not committed
        self.dead: list[Row] = []
        self.delivered: list[Row] = []
        self.dropped: set[GroupId] = set()
        self.paused: set[GroupId] = set()
        self.nodes = [Node(self.fresh_lanes()) for _ in range(2 if self.shared else 1)]
        self.owner = {device: chance.choice(self.nodes) for device in DEVICES}
        self.epoch = dict.fromkeys(DEVICES, 0)
        self.oracle = Oracle(self)

    def fresh_lanes(self) -> Lanes[Row]:
        failures = self.chance.randint(1, 4)
        most = self.chance.randint(1, self.most)
        return Lanes(
            limits=self.limits,
            breaker_policy=BreakerPolicy(failures=failures, failing_lanes=failures + 1, recovery=3),
            concurrency_policy=ConcurrencyPolicy(least=1, start=self.chance.randint(1, most), restart=1, most=most),
            draw=self.chance.random,
            group_of=lambda row: row.group_id,
            application_of=lambda group_id: ApplicationId("even" if group_id % 2 == 0 else "odd"),
        )

    # ---- rows come

    def begin(self, node: Node) -> None:
        """Draw the ids of a transaction; it holds its devices, so no other one has a part of their lanes meanwhile."""
        group = self.chance.choice(GROUPS)
        held = {row.device_id for rows in self.open for row in rows}
        free = [device for device in DEVICES if device not in held]
        if group in self.dropped or not free:
            return
        rows = []
        for _ in range(self.chance.randint(1, 4)):
            device = self.chance.choice(free)
            rows.append(Row(group_id=group, device_id=device, event_id=EventId(self.next_event)))
            self.next_event += 1
        self.open.append(rows)
        if not self.shared:
            self.commit(node)

    def commit(self, _: Node) -> None:
        if not self.open:
            return
        for row in self.open.pop(self.chance.randrange(len(self.open))):
            if row.group_id not in self.dropped:
                self.store[row.group_id][row.event_id] = row
                self.owner[row.device_id].unannounced.append(row)

    def announce(self, node: Node, loaded: Collection[Row] = ()) -> None:
        known = {row.key for row in loaded}
        rows, node.unannounced = [row for row in node.unannounced if row.key not in known], []
        rows = [row for row in rows if row.group_id not in self.dropped and self.is_served(row.device_id, node)]
        if self.shared and rows and self.chance.random() < self.garbled:
            for group in GROUPS:
                if group not in self.dropped:
                    node.lanes.add_backlog(group, unheard=True)
        elif self.shared:
            node.lanes.offer_late([row for row in rows if row.event_id in self.store[row.group_id]], self.now)
        else:
            node.lanes.offer(rows, self.now)

    def is_served(self, device: DeviceId, node: Node) -> bool:
        return self.owner[device] is node and device not in node.leaving

    def send_again(self, _: Node) -> None:
        if not self.dead:
            return
        self.insert_again(self.dead.pop(self.chance.randrange(len(self.dead))))

    def replay(self, _: Node) -> None:
        """Tell some history again, in order; what is on its way stays on its way."""
        groups = sorted({row.group_id for row in self.delivered})
        if not groups:
            return
        group = self.chance.choice(groups)
        told = {row.event_id: row for row in self.delivered if row.group_id == group}
        chosen = sorted(self.chance.sample(sorted(told), min(len(told), self.chance.randint(1, 5))))
        for row in [replace(told[event], replay=1) for event in chosen if event not in self.store[group]]:
            self.insert_again(row)

    def withdraw(self, _: Node) -> None:
        """Cancel the replay of a group: what has not left does not leave any more, unless somebody wants it again."""
        replayed = [row for rows in self.store.values() for row in rows.values() if row.replay > 0]
        group = self.chance.choice(replayed).group_id if replayed else None
        for row in [row for row in replayed if row.group_id == group]:
            del self.store[row.group_id][row.event_id]
            self.owner[row.device_id].lanes.withdraw(row.group_id, row.device_id, row.event_id)
            if self.chance.random() < 0.5:
                self.insert_again(replace(row, trouble=None, replay=RESENT))

    def insert_again(self, row: Row) -> None:
        if row.group_id in self.dropped:
            return
        row = replace(row, edition=self.next_edition)
        self.next_edition += 1
        self.store[row.group_id][row.event_id] = row
        self.oracle.sent_again.add(row.key)
        self.offer_late(row)

    def offer_late(self, row: Row) -> None:
        node = self.owner[row.device_id]
        if row.device_id not in node.leaving:
            node.lanes.offer_late([row], self.now)

    def ask(self, node: Node) -> None:
        node.reads.extend((request, None) for request in node.lanes.needs_rows())

    def read(self, node: Node) -> None:
        """Take the snapshot of a read, or hand over one taken before."""
        if not node.reads:
            return
        position = self.chance.randrange(len(node.reads))
        request, rows = node.reads[position]
        if rows is None:
            node.reads[position] = (request, self.snapshot(node, request))
            return
        del node.reads[position]
        self.hand_over_rows(node, request, rows)

    def hand_over_rows(self, node: Node, request: LoadRequest, rows: list[Row]) -> None:
        """Where transactions overlap, an older row of a lane may have been announced only: it goes first."""
        if self.shared:
            self.announce(node, rows)
        node.lanes.loaded(request, rows, self.now)

    def snapshot(self, node: Node, request: LoadRequest) -> list[Row]:
        rows = self.store[request.group_id]
        mine = (rows[event] for event in sorted(rows) if self.is_served(rows[event].device_id, node))
        return [row for row in mine if row.event_id > request.after][: request.limit]

    # ---- rows go

    def send(self, node: Node) -> None:
        self.now += timedelta(seconds=self.chance.choice([0, 0, 1, 10]))
        for sendable in node.lanes.take(self.now):
            self.oracle.check_departure(node, sendable)
            node.flying.append((sendable, self.epoch[sendable.row.device_id]))
        self.oracle.check_bounds(node)

    def answer(self, node: Node) -> None:
        if node.flying:
            flight = self.chance.choice(node.flying)
            self.settle(node, flight, self.verdict(flight[0].row))

    def verdict(self, row: Row) -> Verdict:
        if self.chance.random() >= self.failing:
            return Delivered()
        drawn = self.chance.random()
        if drawn < 0.1:
            return Dead(reason=DeadReason.GONE, failure=FailureReason.GONE)
        if drawn < 0.2 and not row.edition:  # what is told again blocks nothing
            return Blocked(reason=DeadReason.GONE, failure=FailureReason.GONE)
        if drawn < 0.3:
            return RetryAt(
                at=self.now + timedelta(seconds=7),
                reason=FailureReason.THROTTLED,
                spends_attempt=False,
                holds_callback=True,
            )
        reason = self.chance.choice(REASONS)
        at = self.now + timedelta(seconds=self.chance.randint(1, 60))
        return RetryAt(at=at, reason=reason, spends_attempt=reason is not FailureReason.LOCAL)

    def settle(self, node: Node, flight: tuple[Sendable[Row], int], verdict: Verdict) -> None:
        sendable, epoch = flight
        row = sendable.row
        node.flying.remove(flight)
        node.lanes.settle(sendable, verdict, self.now)
        if self.epoch[row.device_id] == epoch:  # else the record is refused
            self.record(sendable, verdict)

    def record(self, sendable: Sendable[Row], verdict: Verdict) -> None:
        row, rows = sendable.row, self.store[sendable.row.group_id]
        if row.event_id not in rows:
            return
        if rows[row.event_id].edition != row.edition:
            # It was taken back and made anew meanwhile: what became of the former says nothing of this one.
            if isinstance(verdict, Delivered | Dead):
                self.offer_late(rows[row.event_id])
            return
        if isinstance(verdict, RetryAt | Blocked):
            trouble = Trouble(
                attempts=sendable.attempt,
                first_attempted_at=sendable.first_attempted_at,
                due_at=verdict.at if isinstance(verdict, RetryAt) else self.now,
                blocked=isinstance(verdict, Blocked),
            )
            rows[row.event_id] = replace(row, trouble=trouble)
            return
        del rows[row.event_id]
        if isinstance(verdict, Dead):
            self.dead.append(replace(row, trouble=None))
        else:
            self.delivered.append(replace(row, trouble=None))

    # ---- people act

    def unblock(self, _: Node) -> None:
        blocked = [row for rows in self.store.values() for row in rows.values() if row.is_blocked]
        if blocked:
            row = self.chance.choice(blocked)
            if self.chance.random() < 0.5:
                del self.store[row.group_id][row.event_id]
            else:
                self.store[row.group_id][row.event_id] = replace(row, trouble=None)
            self.owner[row.device_id].lanes.unblock(row.group_id, row.device_id)

    def pause_or_resume(self, _: Node) -> None:
        group = self.chance.choice(GROUPS)
        if group in self.paused:
            self.paused.remove(group)
            for node in self.nodes:
                node.lanes.resume(group)
        elif group not in self.dropped:
            self.paused.add(group)
            for node in self.nodes:
                node.lanes.pause(group)

    def drop(self, _: Node) -> None:
        group = GROUPS[-1]
        self.dropped.add(group)
        self.paused.discard(group)
        self.store.pop(group, None)
        for node in self.nodes:
            node.lanes.drop_group(group)

    # ---- nodes come and go

    def restart(self, node: Node) -> None:
        """Forget everything in memory, as a killed process does; others may have its devices meanwhile."""
        position = self.nodes.index(node)
        fresh = self.nodes[position] = Node(self.fresh_lanes())
        for device in DEVICES:
            if self.owner[device] is node:
                self.owner[device] = self.chance.choice(self.nodes)
                self.epoch[device] += 1
        for other in self.nodes if self.shared else [fresh]:
            self.take_up(other)
        for group in self.paused:
            fresh.lanes.pause(group)

    def take_up(self, node: Node) -> None:
        """Read all that the store has of all groups."""
        for group in GROUPS:
            if group not in self.dropped:
                node.lanes.add_backlog(group)

    def hand_over(self, node: Node) -> None:
        """Begin to give devices away: at once, as when a lease was lost, or when their attempts have ended."""
        device = self.chance.choice(DEVICES)
        if not self.shared or not self.is_served(device, node):
            return
        node.leaving.add(device)
        node.lanes.keep_only(lambda device: self.is_served(device, node))
        if self.chance.random() < 0.3:
            self.pass_on(device, node)

    def finish_hand_over(self, node: Node) -> None:
        for device in sorted(node.leaving):
            if node.lanes.in_flight_devices(lambda other, device=device: other == device) == 0:
                assert all(sendable.row.device_id != device for sendable, _ in node.flying)
                self.pass_on(device, node)

    def pass_on(self, device: DeviceId, node: Node) -> None:
        node.leaving.remove(device)
        self.owner[device] = self.chance.choice(self.nodes)
        self.epoch[device] += 1
        self.take_up(self.owner[device])

    # ---- a run

    def step(self) -> None:
        (action,) = self.chance.choices(CHOICES, WEIGHTS)
        action(self, self.chance.choice(self.nodes))

    def come_to_rest(self) -> None:
        """Everything is up again: all that is left is delivered, in order, without further help."""
        while self.open:
            self.commit(self.nodes[0])
        for group in sorted(self.paused):
            for node in self.nodes:
                node.lanes.resume(group)
        self.paused.clear()
        for node in self.nodes:
            for device in sorted(node.leaving):
                self.pass_on(device, node)
        for _ in range(500):
            self.unblock(self.nodes[0])
            for node in self.nodes:
                self.go_on(node)
            if not any(self.store.values()):
                break
            timers = [due for node in self.nodes if (due := node.lanes.next_timer()) is not None]
            self.now = max(self.now, min(timers, default=self.now))
        assert not any(self.store.values()), "something was never sent"
        assert all((node.lanes.queued, node.lanes.in_flight) == (0, 0) for node in self.nodes)

    def go_on(self, node: Node) -> None:
        self.announce(node)
        self.ask(node)
        for request, rows in node.reads:
            self.hand_over_rows(node, request, self.snapshot(node, request) if rows is None else rows)
        node.reads.clear()
        self.send(node)
        for flight in list(node.flying):
            self.settle(node, flight, Delivered())


class Oracle:
    """What has to hold, told from the store alone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: set[tuple[GroupId, EventId]] = set()
        self.sent_again: set[tuple[GroupId, EventId]] = set()
        self.latest: dict[tuple[GroupId, DeviceId], EventId] = {}

    def check_departure(self, node: Node, sendable: Sendable[Row]) -> None:
        row, world = sendable.row, self.world
        assert row.group_id not in world.dropped | world.paused
        assert world.is_served(row.device_id, node), "sent by a node that had given the device away"
        assert all(other.row.lane != row.lane for other, _ in node.flying), "two of a lane at once"
        assert row.event_id in world.store[row.group_id], "sent although it was settled"
        lane = [item for item in world.store[row.group_id].values() if item.device_id == row.device_id]
        assert not any(item.is_blocked and item.event_id <= row.event_id for item in lane), (
            "sent although it is blocked"
        )
        if row.key not in self.seen and row.key not in self.sent_again:
            assert self.latest.get(row.lane, 0) < row.event_id, "overtaken"
            first = min(item.event_id for item in lane if item.key not in self.sent_again)
            assert first == row.event_id, "an older event of the lane was passed by"
            self.latest[row.lane] = row.event_id
        self.seen.add(row.key)

    def check_bounds(self, node: Node) -> None:
        limits, dropped = self.world.limits, self.world.dropped
        flying = [sendable for sendable, _ in node.flying if sendable.row.group_id not in dropped]
        assert all(
            sum(1 for sendable in flying if sendable.group_id == group) <= self.world.most for group in GROUPS
        ), "more of one callback than it bears"
        assert len(flying) == node.lanes.in_flight <= limits.in_flight
        assert node.lanes.queued <= 3 * (limits.window_rows + limits.in_flight + 2 * limits.open_rows)


ACTIONS: dict[Callable[[World, Node], None], float] = {
    World.send: 10,
    World.answer: 16,
    World.ask: 8,
    World.read: 14,
    World.announce: 6,
    World.begin: 4,
    World.commit: 4,
    World.send_again: 2,
    World.replay: 2,
    World.withdraw: 1,
    World.unblock: 1,
    World.pause_or_resume: 0.6,
    World.hand_over: 0.8,
    World.finish_hand_over: 1,
    World.restart: 0.3,
    World.drop: 0.05,
}
CHOICES, WEIGHTS = list(ACTIONS), list(ACTIONS.values())


def run(seed: int) -> None:
    world = World(seed)
    for _ in range(STEPS):
        world.step()
    world.come_to_rest()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_nothing_is_lost_overtaken_or_sent_twice_at_once(block: int) -> None:
    given = os.environ.get("LANES_SEED")
    seeds = range(block, RUNS, BLOCKS) if given is None else [int(given)] * (block == 0)
    for seed in seeds:
        try:
            run(seed)
        except Exception as error:
            error.add_note(f"LANES_SEED={seed} repeats this run")
            raise
