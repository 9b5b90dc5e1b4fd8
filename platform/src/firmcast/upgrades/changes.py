"""What the state machine decided about many devices is gathered here and written by a few set statements.

Everything goes into the caller's transaction: the rows of the upgrades, the events, the orders, the counts, and what
follows from the counts for the tasks.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from firmcast.db.port import Channel, Transaction
from firmcast.devices import commands
from firmcast.devices.model import CommandKind, NewCommand
from firmcast.events.log import EventLog
from firmcast.events.model import NewEvent
from firmcast.ids import DeviceUpgradeId, TaskId
from firmcast.journal import use_cases as journal
from firmcast.journal.model import DeviceNote
from firmcast.upgrades import course
from firmcast.upgrades.course import Batch
from firmcast.upgrades.model import DeviceUpgrade, Tally, TaskCourse, UpgradePhase, UpgradePolicy
from firmcast.upgrades.noting import note_of
from firmcast.upgrades.state_machine import Decision
from firmcast.upgrades.store import device_upgrades, tasks

UPGRADES_CHANGED = Channel("upgrades")
"""Announced with the new deadlines of devices and of tasks, as aware times."""

Decide = Callable[[DeviceUpgrade], Decision]


@dataclass(slots=True)
class _Change:
    """One upgrade, as it was and as it has become so far."""

    before: DeviceUpgrade | None
    """None for one that is not in the store."""
    now: DeviceUpgrade
    order: CommandKind | None = None
    withdraw: bool = False


class Changes:
    """The decisions of one transaction, in the order in which they were taken."""

    def __init__(self) -> None:
        self._changes: dict[DeviceUpgradeId, _Change] = {}
        self._events: list[NewEvent] = []
        self.notes: list[DeviceNote] = []
        """A line for the journal about each decision."""

    def decide(self, upgrade: DeviceUpgrade, decide: Decide, occurred_at: datetime) -> DeviceUpgrade:
        """Have something decided about an upgrade as it has become so far, and return what it is then."""
        change = self._changes.get(upgrade.device_upgrade_id)
        current = upgrade if change is None else change.now
        decision = decide(current)
        if decision.upgrade == current and decision.command is None and not decision.withdraw and not decision.facts:
            return current
        return self._take(change or self._changed(upgrade, upgrade), decision, occurred_at)

    def begin(self, upgrade: DeviceUpgrade, decide: Decide, occurred_at: datetime) -> DeviceUpgrade:
        """Have the beginning of an upgrade decided that is not in the store, and return what it is then."""
        return self._take(self._changed(None, upgrade), decide(upgrade), occurred_at)

    def begin_again(
        self, ended: DeviceUpgrade, upgrade: DeviceUpgrade, decide: Decide, occurred_at: datetime
    ) -> DeviceUpgrade:
        """Have the beginning of another attempt decided, `upgrade`, in the place of the one that has ended."""
        return self._take(self._changed(ended, upgrade), decide(upgrade), occurred_at)

    def _changed(self, before: DeviceUpgrade | None, upgrade: DeviceUpgrade) -> _Change:
        change = self._changes[upgrade.device_upgrade_id] = _Change(before, upgrade)
        return change

    def _take(self, change: _Change, decision: Decision, occurred_at: datetime) -> DeviceUpgrade:
        self.notes.append(note_of(change.now, decision, occurred_at))
        upgrade = change.now = decision.upgrade
        if decision.command is not None:
            change.order, change.withdraw = decision.command, False
        elif decision.withdraw:
            change.order, change.withdraw = None, True
        self._events += [
            NewEvent(
                application_id=upgrade.application_id,
                device_id=upgrade.device_id,
                task_id=upgrade.task_id,
                device_upgrade_id=upgrade.device_upgrade_id,
                occurred_at=occurred_at,
                synthesised=published.synthesised,
                fact=published.fact,
            )
            for published in decision.facts
        ]
        return upgrade

    async def write(self, tx: Transaction, *, log: EventLog, now: datetime) -> None:
        """Write everything that was decided, and announce the deadlines that are new."""
        await journal.write(tx, self.notes)
        await self.write_unnoted(tx, log=log, now=now)

    async def write_unnoted(self, tx: Transaction, *, log: EventLog, now: datetime) -> None:
        """Do as `write` does, and leave it to the caller to write `notes`."""
        if not self._changes:
            return
        await self._give_orders(tx, now)
        await self._write_upgrades(tx)
        await log.append(tx, self._events)
        await self._count(tx, now)
        tx.announce(UPGRADES_CHANGED, [deadline for change in self._changes.values() for deadline in _earlier(change)])

    async def _write_upgrades(self, tx: Transaction) -> None:
        new, renewed, changed = [], [], []
        for change in self._changes.values():
            if change.before is None:
                new.append(change.now)
            elif change.before.attempt != change.now.attempt:
                renewed.append(change.now)
            else:
                changed.append(change.now)
        await device_upgrades.update(tx, changed)
        await device_upgrades.renew(tx, renewed)
        await device_upgrades.insert(tx, new)

    async def _give_orders(self, tx: Transaction, now: datetime) -> None:
        changes = self._changes.values()
        # What is new has no order that could be withdrawn.
        await commands.withdraw(
            tx, [each.now.device_upgrade_id for each in changes if each.withdraw and each.before is not None]
        )
        orders = [
            NewCommand(
                device_id=each.now.device_id,
                device_upgrade_id=each.now.device_upgrade_id,
                kind=each.order,
                transfer_token=each.now.transfer_token,
            )
            for each in changes
            if each.order is not None
        ]
        if not orders:
            return
        for command in await commands.replace(tx, orders, now):
            change = self._changes[command.device_upgrade_id]
            if change.now.command_kind is not None:
                change.now = replace(change.now, command_id=command.command_id)

    async def _count(self, tx: Transaction, now: datetime) -> None:
        moves: Counter[tuple[TaskId, Tally]] = Counter()
        touched: set[TaskId] = set()
        for change in self._changes.values():
            before, after = change.before, change.now
            if before is None:
                moves[after.task_id, after.tally] += 1
            elif before.tally is not after.tally:
                moves[after.task_id, before.tally] -= 1
                moves[after.task_id, after.tally] += 1
            elif before.phase is not UpgradePhase.SCHEDULED:
                continue
            touched.add(after.task_id)
        await tasks.move_tallies(tx, moves)
        await settle(tx, touched, now)


async def settle(tx: Transaction, task_ids: Collection[TaskId], now: datetime) -> None:
    """Write what follows for tasks that have begun from what their devices count as now."""
    if not task_ids:
        return
    counted = await tasks.tallies(tx, task_ids)
    for task_id, (before, policy) in sorted((await tasks.courses(tx, task_ids)).items()):
        await _write_course(tx, task_id, before, course.started(before, policy, now), policy, counted[task_id], now)


async def record_batch(tx: Transaction, task_id: TaskId, batch: Batch, now: datetime) -> None:
    """Write what follows for a task from a batch of its work."""
    counted = await tasks.tallies(tx, [task_id])
    before, policy = (await tasks.courses(tx, [task_id]))[task_id]
    after = course.worked(course.started(before, policy, now), batch, now)
    await _write_course(tx, task_id, before, after, policy, counted[task_id], now)


async def _write_course(
    tx: Transaction,
    task_id: TaskId,
    before: TaskCourse,
    after: TaskCourse,
    policy: UpgradePolicy,
    tallies: Mapping[Tally, int],
    now: datetime,
) -> None:
    retryable = False
    if after.work is None and course.may_retry(after, policy, now) and not course.open_devices(tallies):
        retryable = bool(await device_upgrades.retryable(tx, task_id, after.round, 1))
    settled = course.settle(after, policy, tallies, now, retryable=retryable)
    if settled != before:
        await tasks.update_course(tx, task_id, settled)
    if settled.work_at is not None and settled.work_at != before.work_at:
        tx.announce(UPGRADES_CHANGED, [settled.work_at])


def _earlier(change: _Change) -> tuple[datetime, ...]:
    """Return the deadline of an upgrade where it is news."""
    deadline = change.now.deadline_at
    is_known = change.before is not None and deadline == change.before.deadline_at
    return () if deadline is None or is_known else (deadline,)
