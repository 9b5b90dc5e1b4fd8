"""Time is passed in batches: the next devices of tasks that have work to do, and devices whose deadline has come.

A batch is one short transaction, so that what devices and applications ask meanwhile is done between two of them.
"""

from datetime import datetime
from functools import partial
from typing import Final, assert_never

from firmcast.db.columns import from_column
from firmcast.db.port import Transaction
from firmcast.devices import holding
from firmcast.devices.holding import LivingGateways
from firmcast.events.log import EventLog
from firmcast.upgrades import resolution, retrying, stopping
from firmcast.upgrades.beginning import beginning
from firmcast.upgrades.changes import Changes, record_batch
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeadlinePassed, TaskWork, UpgradePhase, UpgradeTask
from firmcast.upgrades.state_machine import advance, put_off
from firmcast.upgrades.store import device_upgrades, tasks

_TASKS_AT_A_TIME: Final = 16


async def pass_time(
    tx: Transaction,
    *,
    log: EventLog,
    limits: Limits,
    now: datetime,
    limit: int,
    living: LivingGateways | None = None,
) -> None:
    """Do what is due by `now`: with `limit` devices of tasks at the most, and with as many whose time is up.

    Where gateways may be dead, `living` says which are not: whose gateway is dead is judged later.
    """
    left = limit
    for task in await tasks.due_work(tx, now, _TASKS_AT_A_TIME):
        if left > 0:
            left -= await _work(tx, task, log=log, limits=limits, now=now, limit=left)
    await _judge(tx, log=log, limits=limits, now=now, limit=limit, living=living)


async def next_deadline(tx: Transaction) -> datetime | None:
    """Return when time is to be passed next; None when nothing has a deadline."""
    found = [await tasks.next_work(tx), await device_upgrades.next_deadline(tx)]
    return min((from_column(each) for each in found if each is not None), default=None)


async def _work(tx: Transaction, task: UpgradeTask, *, log: EventLog, limits: Limits, now: datetime, limit: int) -> int:
    """Do the next batch of a task's work, `limit` devices at the most, and return how many it looked at."""
    assert task.course.work is not None
    match task.course.work:
        case TaskWork.RESOLVING:
            do = resolution.take_members
        case TaskWork.RETRYING:
            do = retrying.begin_again
        case TaskWork.STOPPING:
            do = stopping.stop_devices
        case _:
            assert_never(task.course.work)
    batch = await do(tx, task, log=log, limits=limits, now=now, limit=limit)
    await record_batch(tx, task.task_id, batch, now)
    return batch.size


async def _judge(
    tx: Transaction, *, log: EventLog, limits: Limits, now: datetime, limit: int, living: LivingGateways | None
) -> None:
    due = await device_upgrades.due(tx, now, limit)
    if not due:
        return
    scheduled = [upgrade for upgrade in due if upgrade.phase is UpgradePhase.SCHEDULED]
    told = await tasks.courses(tx, {upgrade.task_id for upgrade in scheduled})
    modes = {task_id: policy.start_mode for task_id, (_, policy) in told.items()}
    start = await beginning(tx, [upgrade.device_id for upgrade in scheduled], modes, limits=limits, now=now)
    alone = set()
    if living is not None:
        alone = await holding.unattended(tx, [upgrade.device_id for upgrade in due], now, living=living)
    pass_deadline = partial(advance, told=DeadlinePassed(), at=now, limits=limits)
    judge_later = partial(put_off, at=now, limits=limits)
    changes = Changes()
    for upgrade in due:
        judge = judge_later if upgrade.device_id in alone else pass_deadline
        decide = start.decide if upgrade.phase is UpgradePhase.SCHEDULED else judge
        changes.decide(upgrade, decide, now)
    await changes.write(tx, log=log, now=now)
