"""A task is stopped a batch of devices at a time; a device that installs is not interrupted, and ends as it ends."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from firmcast.db.port import Transaction
from firmcast.errors import ConflictError, NotFoundError
from firmcast.events.log import EventLog
from firmcast.ids import ApplicationId, DeviceId, TaskId
from firmcast.upgrades import course
from firmcast.upgrades.changes import UPGRADES_CHANGED, Changes, record_batch
from firmcast.upgrades.course import Batch
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceUpgrade, StopRequested, Tally, UpgradePhase, UpgradeTask
from firmcast.upgrades.state_machine import advance
from firmcast.upgrades.store import device_upgrades, tasks

_FIRST_BATCH: Final = 257
"""More than a task can name, so that no further batch has to look: unless it is for groups, it is stopped when the
call returns."""


async def stop_task(
    tx: Transaction,
    application_id: ApplicationId | None,
    task_id: TaskId,
    *,
    log: EventLog,
    limits: Limits,
    now: datetime,
) -> UpgradeTask:
    """Stop what can still be stopped of a task of the application (of any for None), and return the task.

    Of a large one the engine stops the rest. One that has ended stays as it is; of one that is stopped already, the
    stopping begins anew.

    Raises:
        NotFoundError: there is no such task.
    """
    task = await tasks.find(tx, task_id, application_id)
    if task is None:
        raise NotFoundError("task", task_id)
    if task.ended_at is not None:
        return task
    await tasks.update_course(tx, task_id, course.stopped(task.course, now))
    batch = await stop_devices(tx, await _found(tx, task_id), log=log, limits=limits, now=now, limit=_FIRST_BATCH)
    await record_batch(tx, task_id, batch, now)
    # That there is work now was written before the batch, so to whoever records the batch it is no news.
    tx.announce(UPGRADES_CHANGED, [now])
    return await _found(tx, task_id)


async def stop_devices(
    tx: Transaction, task: UpgradeTask, *, log: EventLog, limits: Limits, now: datetime, limit: int
) -> Batch:
    """Stop the next `limit` devices of a task."""
    # Whoever waits can be stopped, and waits no more; of the others, those that install are passed by.
    waiting = await device_upgrades.of_tally(tx, task.task_id, Tally.WAITING, -1, limit)
    passed = int(task.course.cursor or -1)
    begun = await device_upgrades.of_tally(tx, task.task_id, Tally.PROCESSING, passed, limit - len(waiting))
    await _stop(tx, [*waiting, *begun], log=log, limits=limits, now=now)
    size = len(waiting) + len(begun)
    cursor = str(begun[-1].position if begun else passed)
    return Batch(size=size, cursor=cursor if size == limit else None)


async def release_device(tx: Transaction, device_id: DeviceId, now: datetime, *, log: EventLog, limits: Limits) -> None:
    """Stop what is under way with a device and what is to come, so that it can be forgotten.

    Raises:
        ConflictError: it is installing; that cannot be stopped.
    """
    upgrades = await device_upgrades.open_of_device(tx, device_id)
    if not await _stop(tx, upgrades, log=log, limits=limits, now=now):
        message = f"the device {device_id!r} is installing firmware"
        raise ConflictError(message)
    await device_upgrades.give_up_retries(tx, device_id)


async def _found(tx: Transaction, task_id: TaskId) -> UpgradeTask:
    task = await tasks.find(tx, task_id, None)
    assert task is not None
    return task


async def _stop(
    tx: Transaction, upgrades: Sequence[DeviceUpgrade], *, log: EventLog, limits: Limits, now: datetime
) -> bool:
    """Ask for the end of upgrades; return whether all of them have ended."""
    changes = Changes()
    stop = partial(advance, told=StopRequested(), at=now, limits=limits)
    after = [changes.decide(upgrade, stop, now) for upgrade in upgrades]
    await changes.write(tx, log=log, now=now)
    return all(upgrade.phase is UpgradePhase.CLOSED for upgrade in after)
