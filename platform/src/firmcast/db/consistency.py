"""What must be true of the rows of a store at any moment, whatever crashed: a statement for each finds what breaks it.

Each statement returns a few words about each row at fault, at most as many as asked for.
"""

from dataclasses import dataclass
from typing import Final

from firmcast.db.port import Transaction
from firmcast.db.statement import Statement, portable

SHOWN: Final = 10
"""Rows at fault that are told of each rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Something that is true of a sound store."""

    name: str
    """In words, for a person."""
    breaches: Statement
    """Takes the number of rows that are wanted."""


RULES: Final = (
    Rule(
        name="every delivery has its event",
        # What waits to be sent must be there to be sent, to the lane and with the number of its event.
        breaches=portable(
            "SELECT 'event', delivery.event_id, 'subscription', delivery.subscription_id FROM delivery"
            " LEFT JOIN event ON event.event_id = delivery.event_id WHERE event.event_id IS NULL"
            " OR event.device_id <> delivery.device_id OR event.sequence <> delivery.sequence LIMIT ?1"
        ),
    ),
    Rule(
        name="each subscription has as many deliveries as are counted",
        # By it new work is refused; a node counts anew each hour, and puts it right.
        breaches=portable(
            "SELECT 'subscription', subscription_id, 'has', SUM(present), 'and counted', SUM(counted) FROM"
            " (SELECT subscription_id, COUNT(*) AS present, 0 AS counted FROM delivery GROUP BY subscription_id"
            " UNION ALL SELECT subscription_id, 0, deliveries FROM undelivered) found"
            " GROUP BY subscription_id HAVING SUM(present) <> SUM(counted) LIMIT ?1"
        ),
    ),
    Rule(
        name="every dead letter has its event",
        # A person may want to send it again.
        breaches=portable(
            "SELECT 'event', dead_letter.event_id, 'subscription', dead_letter.subscription_id FROM dead_letter"
            " LEFT JOIN event ON event.event_id = dead_letter.event_id WHERE event.event_id IS NULL"
            " OR event.device_id <> dead_letter.device_id LIMIT ?1"
        ),
    ),
    Rule(
        name="the events of each device are numbered without a gap",
        # Of the old ones some may be left that are still needed; what comes after them is whole.
        breaches=portable(
            "SELECT 'device', device_id, 'events', min(sequence), 'to', max(sequence), 'are', count(*) FROM event"
            " WHERE event_id > coalesce((SELECT through FROM event_forgotten), 0)"
            " GROUP BY device_id HAVING count(*) <> max(sequence) - min(sequence) + 1 LIMIT ?1"
        ),
    ),
    Rule(
        name="the next event of each device has the next number",
        # A number that was given is never given again.
        breaches=portable(
            "SELECT 'device', last.device_id, 'has event', last.sequence, 'and counted', event_stream.last_sequence"
            " FROM (SELECT device_id, max(sequence) AS sequence FROM event GROUP BY device_id) last"
            " LEFT JOIN event_stream ON event_stream.device_id = last.device_id"
            " WHERE event_stream.device_id IS NULL OR event_stream.last_sequence <> last.sequence LIMIT ?1"
        ),
    ),
    Rule(
        name="every device upgrade has its task",
        # Without it nobody could stop it.
        breaches=portable(
            "SELECT 'device upgrade', device_upgrade.device_upgrade_id FROM device_upgrade LEFT JOIN upgrade_task"
            " ON upgrade_task.task_id = device_upgrade.task_id WHERE upgrade_task.task_id IS NULL LIMIT ?1"
        ),
    ),
    Rule(
        name="every open task has its package",
        # A package that an open task needs is not deleted.
        breaches=portable(
            "SELECT 'task', upgrade_task.task_id FROM upgrade_task LEFT JOIN firmware_package"
            " ON firmware_package.package_id = upgrade_task.package_id"
            " WHERE upgrade_task.ended_at IS NULL AND firmware_package.package_id IS NULL LIMIT ?1"
        ),
    ),
    Rule(
        name="the tallies of each task are those of its devices",
        # They move together; an application that is being deleted loses them bit by bit.
        breaches=portable(
            "SELECT 'task', upgrade_task_tally.task_id, upgrade_task_tally.tally, upgrade_task_tally.devices"
            " FROM upgrade_task_tally WHERE upgrade_task_tally.devices <> (SELECT count(*) FROM device_upgrade"
            " WHERE device_upgrade.task_id = upgrade_task_tally.task_id"
            " AND device_upgrade.tally = upgrade_task_tally.tally) AND NOT EXISTS (SELECT 1 FROM upgrade_task"
            " JOIN application ON application.application_id = upgrade_task.application_id"
            " WHERE upgrade_task.task_id = upgrade_task_tally.task_id AND application.deleting = 1) LIMIT ?1"
        ),
    ),
    Rule(
        name="each group has as many members as it counts",
        # They change together, but for those of an application that is being deleted.
        breaches=portable(
            "SELECT 'group', group_id, 'counts', device_count FROM device_group WHERE device_count <>"
            " (SELECT count(*) FROM device_group_member WHERE device_group_member.group_id = device_group.group_id)"
            " AND NOT EXISTS (SELECT 1 FROM application"
            " WHERE application.application_id = device_group.application_id AND application.deleting = 1) LIMIT ?1"
        ),
    ),
    Rule(
        name="every registration has its device",
        # A registration ends with its device.
        breaches=portable(
            "SELECT 'device', registration.device_id FROM registration LEFT JOIN device"
            " ON device.device_id = registration.device_id WHERE device.device_id IS NULL LIMIT ?1"
        ),
    ),
)


async def breaches(tx: Transaction, rule: Rule) -> list[str]:
    """Return some of what breaks a rule, a line for each."""
    return [" ".join(map(str, row)) for row in await tx.fetch(rule.breaches, SHOWN)]
