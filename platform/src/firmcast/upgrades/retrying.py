"""When a round of a task has ended for all devices, those that failed in it are begun with again, a batch at a time.

Whom that is about is told by the rows themselves: the devices of this attempt that failed and may end better. A batch
turns them into devices of the next attempt, so whatever is killed in between goes on with the rest.
"""

from datetime import datetime
from typing import Final

from firmcast.db.port import Transaction
from firmcast.events.log import EventLog
from firmcast.ids import new_secret
from firmcast.upgrades import course
from firmcast.upgrades.beginning import beginning
from firmcast.upgrades.changes import Changes
from firmcast.upgrades.course import Batch
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import UpgradeTask
from firmcast.upgrades.state_machine import try_again
from firmcast.upgrades.store import device_upgrades

_BEGUN: Final = "begun"
"""A cursor that points nowhere: it only tells that a batch was done."""


async def begin_again(
    tx: Transaction, task: UpgradeTask, *, log: EventLog, limits: Limits, now: datetime, limit: int
) -> Batch:
    """Begin the next attempt with the next `limit` devices that failed.

    Those that the end of the window finds waiting for it stay as they are.
    """
    if not course.may_retry(task.course, task.policy, now):
        return Batch(size=0, cursor=None)
    failed = await device_upgrades.retryable(tx, task.task_id, task.course.round, limit)
    modes = {task.task_id: task.policy.start_mode}
    start = await beginning(tx, [upgrade.device_id for upgrade in failed], modes, limits=limits, now=now)
    changes = Changes()
    for ended in failed:
        changes.begin_again(ended, try_again(ended, now, new_secret(16)), start.decide, now)
    await changes.write(tx, log=log, now=now)
    return Batch(size=len(failed), cursor=_BEGUN if len(failed) == limit else None)
