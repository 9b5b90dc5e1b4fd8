"""The members of a task's groups are taken into it when it starts, a batch in each transaction, and begun with at once.

How far that is stands in the task's row, written with the devices that it is about: whatever is killed in between goes
on behind the last one, and takes nobody twice. Who joins a group meanwhile is taken when the walk has not come past
its id; who leaves one afterwards stays in the task.
"""

from datetime import datetime

from firmcast.db.port import Transaction
from firmcast.devices import use_cases as devices
from firmcast.devices.model import Device
from firmcast.errors import NotFoundError
from firmcast.events.log import EventLog
from firmcast.firmware import use_cases as firmware
from firmcast.groups import use_cases as groups
from firmcast.ids import DeviceId, GroupId
from firmcast.upgrades.beginning import beginning
from firmcast.upgrades.changes import Changes
from firmcast.upgrades.course import Batch
from firmcast.upgrades.creation import scheduled
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import TargetSelection, UpgradeTask


async def take_members(
    tx: Transaction, task: UpgradeTask, *, log: EventLog, limits: Limits, now: datetime, limit: int
) -> Batch:
    """Take the next `limit` members into the task, those that are what it is for."""
    members = await groups.member_page(tx, await _present(tx, task), DeviceId(task.course.cursor), limit)
    known = await devices.by_ids(tx, task.application_id, members)
    chosen = [known[device_id] for device_id in members if device_id in known and _fits(task.targets, known[device_id])]
    if chosen:
        package = await firmware.find(tx, task.package_id)
        modes = {task.task_id: task.policy.start_mode}
        start = await beginning(tx, [device.device_id for device in chosen], modes, limits=limits, now=now)
        changes = Changes()
        for position, device in enumerate(chosen, start=sum(task.tallies.values())):
            changes.begin(scheduled(task, package, device, position, now), start.decide, now)
        await changes.write(tx, log=log, now=now)
    return Batch(size=len(members), cursor=members[-1] if len(members) == limit else None)


async def _present(tx: Transaction, task: UpgradeTask) -> list[GroupId]:
    """Return the groups of a task that have not been deleted meanwhile."""
    present = []
    for group_id in task.targets.group_ids:
        try:
            await groups.find(tx, task.application_id, group_id)
        except NotFoundError:
            continue
        present.append(group_id)
    return present


def _fits(targets: TargetSelection, device: Device) -> bool:
    """Tell whether a member is what the task is for; of one that is not described, nobody knows that."""
    return (device.device_type, device.model, device.manufacturer_name) == (
        targets.device_type,
        targets.model,
        targets.manufacturer_name,
    )
