"""What the state machine decided about many devices is gathered here and written by a few set statements.

Everything goes into the caller's transaction: the rows of the upgrades, the events, the orders, the counts.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from firmcast.db.port import Transaction
from firmcast.devices import commands
from firmcast.devices.model import CommandKind, NewCommand
from firmcast.events.log import EventLog
from firmcast.events.model import NewEvent
from firmcast.ids import DeviceUpgradeId, TaskId
from firmcast.upgrades import store
from firmcast.upgrades.model import DeviceUpgrade, Tally, UpgradePhase, status_of
from firmcast.upgrades.state_machine import Decision


@dataclass(slots=True)
class _Change:
    """One upgrade, as it was and as it has become so far."""

    before: DeviceUpgrade
    now: DeviceUpgrade
    order: CommandKind | None = None
    withdraw: bool = False


class Changes:
    """The decisions of one transaction, in the order in which they were taken."""

    def __init__(self) -> None:
        self._changes: dict[DeviceUpgradeId, _Change] = {}
        self._events: list[NewEvent] = []

    def decide(
        self, upgrade: DeviceUpgrade, decide: Callable[[DeviceUpgrade], Decision], occurred_at: datetime
    ) -> DeviceUpgrade:
        """Have something decided about an upgrade as it has become so far, and return what it is then."""
        change = self._changes.get(upgrade.device_upgrade_id)
        current = upgrade if change is None else change.now
        decision = decide(current)
        if decision.upgrade == current and decision.command is None and not decision.withdraw and not decision.facts:
            return current
        if change is None:
            change = self._changes[upgrade.device_upgrade_id] = _Change(upgrade, upgrade)
        change.now = decision.upgrade
        if decision.command is not None:
            change.order, change.withdraw = decision.command, False
        elif decision.withdraw:
            change.order, change.withdraw = None, True
        self._events += [
            NewEvent(
                application_id=current.application_id,
                device_id=current.device_id,
                task_id=current.task_id,
                device_upgrade_id=current.device_upgrade_id,
                occurred_at=occurred_at,
                synthesised=published.synthesised,
                fact=published.fact,
            )
            for published in decision.facts
        ]
        return change.now

    async def write(self, tx: Transaction, *, log: EventLog, now: datetime) -> list[datetime]:
        """Write everything that was decided, and return the deadlines that are new."""
        if not self._changes:
            return []
        await self._give_orders(tx, now)
        await store.update_upgrades(tx, [change.now for change in self._changes.values()])
        await log.append(tx, self._events)
        await self._count(tx, now)
        return [
            change.now.deadline_at
            for change in self._changes.values()
            if change.now.deadline_at is not None and change.now.deadline_at != change.before.deadline_at
        ]

    async def _give_orders(self, tx: Transaction, now: datetime) -> None:
        changes = self._changes.values()
        await commands.withdraw(tx, [each.now.device_upgrade_id for each in changes if each.withdraw])
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
        for command in await commands.replace(tx, orders, now):
            change = self._changes[command.device_upgrade_id]
            if change.now.command_kind is not None:
                change.now = replace(change.now, command_id=command.command_id)

    async def _count(self, tx: Transaction, now: datetime) -> None:
        moves: Counter[tuple[TaskId, Tally]] = Counter()
        touched: set[TaskId] = set()
        for change in self._changes.values():
            before, after = change.before, change.now
            if before.tally is not after.tally:
                moves[after.task_id, before.tally] -= 1
                moves[after.task_id, after.tally] += 1
            if before.tally is not after.tally or before.phase is UpgradePhase.SCHEDULED:
                touched.add(after.task_id)
        if not touched:
            return
        await store.move_tallies(tx, moves)
        for task_id, tallies in sorted((await store.tallies(tx, touched)).items()):
            is_open = tallies.get(Tally.WAITING, 0) + tallies.get(Tally.PROCESSING, 0)
            await store.update_task(tx, task_id, status_of(tallies), now, None if is_open else now)
