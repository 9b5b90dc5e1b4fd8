"""What becomes of a task as a whole: it ends when no device is under way and no further round is due, and for good.

A round is one attempt with each of some devices: the first with all of them, each further one with those that failed
in the round before and may end better. Pure; the rows that it speaks of are written by others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from firmcast.upgrades.model import Tally, TaskCourse, TaskStatus, TaskWork, UpgradePolicy
from firmcast.upgrades.rules import wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How far a batch of a task's work came."""

    size: int
    """Devices that it looked at."""
    cursor: str | None
    """Where the next one goes on; None when nothing is left."""


def open_devices(tallies: Mapping[Tally, int]) -> int:
    """Return how many devices of a task have not ended."""
    return tallies.get(Tally.WAITING, 0) + tallies.get(Tally.PROCESSING, 0)


def may_retry(course: TaskCourse, policy: UpgradePolicy, now: datetime) -> bool:
    """Tell whether another round may begin: one is left, nobody has stopped the task, and its window is open."""
    in_window = policy.window_end is None or now < policy.window_end
    return course.round <= policy.retry_limit and course.stop_requested_at is None and in_window


def may_begin(policy: UpgradePolicy, now: datetime) -> bool:
    """Tell whether the turn of a task has come: at once, or when its window opens."""
    return policy.window_start is None or now >= policy.window_start


def started(course: TaskCourse, policy: UpgradePolicy, now: datetime) -> TaskCourse:
    """Return the course of a task with whose devices something was done; it starts once.

    What is stopped of it before its turn has not started it.
    """
    if course.started_at is not None or not may_begin(policy, now):
        return course
    return replace(course, started_at=now)


def working(course: TaskCourse, work: TaskWork, at: datetime) -> TaskCourse:
    """Return the course of a task whose devices are worked on from the first one on, in the place of other work."""
    return replace(course, work=work, work_at=at, cursor="")


def worked(course: TaskCourse, batch: Batch, now: datetime) -> TaskCourse:
    """Return the course after a batch of its work.

    After one that was not the last, its turn comes after that of others who wait. A round that has been begun with any
    device is the present one.
    """
    if batch.cursor is not None:
        return replace(course, work_at=now, cursor=batch.cursor)
    is_next_round = course.work is TaskWork.RETRYING and (batch.size > 0 or course.cursor != "")
    return replace(course, work=None, work_at=None, cursor="", round=course.round + is_next_round)


def stopped(course: TaskCourse, now: datetime) -> TaskCourse:
    """Return the course of a task that somebody stops: whatever else was to be done with its devices is not."""
    return working(replace(course, stop_requested_at=now), TaskWork.STOPPING, now)


def settle(
    course: TaskCourse, policy: UpgradePolicy, tallies: Mapping[Tally, int], now: datetime, *, retryable: bool
) -> TaskCourse:
    """Return what a task is, its devices counting as `tallies`; `retryable` tells whether a retry has any device.

    What ends it is that nothing is open: no device, no work on its devices, no further round.
    """
    if course.ended_at is not None:
        return course
    if course.work is not None or open_devices(tallies):
        return replace(course, status=_under_way(course, tallies) if may_begin(policy, now) else course.status)
    if retryable and may_retry(course, policy, now):
        return replace(working(course, TaskWork.RETRYING, now), status=TaskStatus.PROCESSING)
    return _ended(course, tallies, now)


def _under_way(course: TaskCourse, tallies: Mapping[Tally, int]) -> TaskStatus:
    begun = course.round > 1 or course.work in (TaskWork.RETRYING, TaskWork.STOPPING)
    if begun or sum(tallies.values()) > tallies.get(Tally.WAITING, 0):
        return TaskStatus.PROCESSING
    return course.status


def _ended(course: TaskCourse, tallies: Mapping[Tally, int], now: datetime) -> TaskCourse:
    """Return the course of a task that is over: what went wrong outweighs what went right with the other devices."""
    course = replace(course, ended_at=now)
    if tallies.get(Tally.FAILED, 0) or tallies.get(Tally.TIMED_OUT, 0):
        return replace(course, status=TaskStatus.FAILED)
    if tallies.get(Tally.STOPPED, 0) or (course.stop_requested_at is not None and not any(tallies.values())):
        return replace(course, status=TaskStatus.STOPPED)
    if tallies.get(Tally.SUCCEEDED, 0):
        return replace(course, status=TaskStatus.SUCCEEDED)
    # It did nothing to anybody: whoever reads "success" would think that the devices are upgraded.
    return replace(course, status=TaskStatus.FAILED, description=wording.NOBODY_MATCHES)
