"""A task as a whole: when it is over, when another round is due, and which one word it has."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.upgrades import course
from firmcast.upgrades.course import Batch
from firmcast.upgrades.model import StartMode, Tally, TaskCourse, TaskStatus, TaskWork, UpgradePolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
END = NOW + timedelta(hours=1)
ONCE = UpgradePolicy()
TWICE = UpgradePolicy(retry_limit=1)
IN_WINDOW = UpgradePolicy(start_mode=StartMode.WINDOW, window_start=NOW, window_end=END, retry_limit=1)
LAST = Batch(size=1, cursor=None)


def settle(given=None, policy=ONCE, now=NOW, *, retryable=False, **tallies):
    counted = {Tally[name]: count for name, count in tallies.items()}
    return course.settle(given or TaskCourse(), policy, counted, now, retryable=retryable)


@pytest.mark.parametrize(
    ("tallies", "status"),
    [
        ({"WAITING": 2}, TaskStatus.WAITING),
        ({"WAITING": 1, "PROCESSING": 1}, TaskStatus.PROCESSING),
        ({"WAITING": 1, "SUCCEEDED": 1}, TaskStatus.PROCESSING),
        ({"PROCESSING": 1, "FAILED": 1}, TaskStatus.PROCESSING),
        ({"SUCCEEDED": 2}, TaskStatus.SUCCEEDED),
        ({"SUCCEEDED": 1, "STOPPED": 1}, TaskStatus.STOPPED),
        ({"STOPPED": 1, "FAILED": 1}, TaskStatus.FAILED),
        ({"SUCCEEDED": 9, "TIMED_OUT": 1}, TaskStatus.FAILED),
        ({}, TaskStatus.FAILED),
    ],
)
def test_the_word_for_a_task(tallies, status):
    settled = settle(**tallies)
    assert settled.status is status
    open_ones = tallies.get("WAITING", 0) + tallies.get("PROCESSING", 0)
    assert (settled.ended_at is None) == bool(open_ones)
    assert bool(settled.description) == (not tallies)


def test_a_task_that_was_begun_does_not_wait_again():
    begun = settle(PROCESSING=1)
    assert settle(begun, WAITING=1).status is TaskStatus.PROCESSING


@pytest.mark.parametrize(
    ("policy", "given", "now", "retryable", "retries"),
    [
        (TWICE, TaskCourse(), NOW, True, True),
        (TWICE, TaskCourse(), NOW, False, False),
        (ONCE, TaskCourse(), NOW, True, False),
        (TWICE, TaskCourse(round=2), NOW, True, False),
        (TWICE, TaskCourse(stop_requested_at=NOW), NOW, True, False),
        (IN_WINDOW, TaskCourse(), END - timedelta(microseconds=1), True, True),
        (IN_WINDOW, TaskCourse(), END, True, False),
    ],
)
def test_when_another_round_is_due(policy, given, now, retryable, retries):
    settled = settle(given, policy, now, retryable=retryable, FAILED=1, SUCCEEDED=1)
    if retries:
        assert (settled.work, settled.work_at, settled.status) == (TaskWork.RETRYING, now, TaskStatus.PROCESSING)
        assert settled.ended_at is None
    else:
        assert (settled.work, settled.status, settled.ended_at) == (None, TaskStatus.FAILED, now)


def test_work_keeps_a_task_open_and_a_batch_moves_it_on():
    resolving = course.working(TaskCourse(), TaskWork.RESOLVING, NOW)
    assert settle(resolving).ended_at is None
    further = course.worked(resolving, Batch(size=5, cursor="d"), END)
    assert (further.work, further.work_at, further.cursor, further.round) == (TaskWork.RESOLVING, END, "d", 1)
    done = course.worked(further, LAST, END)
    assert (done.work, done.work_at, done.cursor, done.round) == (None, None, "", 1)


@pytest.mark.parametrize(
    ("cursor", "batch", "round_after"),
    [("", LAST, 2), ("", Batch(size=0, cursor=None), 1), ("begun", Batch(size=0, cursor=None), 2)],
)
def test_a_round_counts_once_a_device_of_it_has_begun(cursor, batch, round_after):
    retrying = TaskCourse(work=TaskWork.RETRYING, work_at=NOW, cursor=cursor)
    assert course.worked(retrying, batch, NOW).round == round_after


def test_a_stop_takes_the_place_of_other_work():
    stopped = course.stopped(course.working(TaskCourse(), TaskWork.RESOLVING, END), NOW)
    assert (stopped.work, stopped.work_at, stopped.stop_requested_at) == (TaskWork.STOPPING, NOW, NOW)
    assert settle(course.worked(stopped, Batch(size=0, cursor=None), NOW)).status is TaskStatus.STOPPED


def test_what_has_ended_stays_as_it_is():
    ended = settle(SUCCEEDED=1)
    assert settle(ended, TWICE, END, retryable=True, FAILED=1) == ended


OUTCOMES = st.sampled_from(["ok", "bad", "conflict", "stopped"])


@given(
    plans=st.lists(st.lists(OUTCOMES, min_size=7, max_size=7), min_size=1, max_size=5),
    retry_limit=st.integers(0, 5),
    stop_before=st.integers(1, 9),
)
def test_rounds_against_an_oracle(plans, retry_limit, stop_before):
    """Each device has a plan: how its first, second … attempt ends. The oracle reads off it what must come out."""
    policy = UpgradePolicy(retry_limit=retry_limit)
    attempts = [1] * len(plans)
    ends = [""] * len(plans)
    open_ones = set(range(len(plans)))
    now_course = TaskCourse()
    tally = {"ok": Tally.SUCCEEDED, "bad": Tally.FAILED, "conflict": Tally.FAILED, "stopped": Tally.STOPPED}
    while now_course.ended_at is None:
        for device in sorted(open_ones):
            ends[device] = plans[device][attempts[device] - 1]
            open_ones.discard(device)
            counted = Counter(tally[end] for number, end in enumerate(ends) if number not in open_ones)
            counted[Tally.PROCESSING] = len(open_ones)
            if now_course.round == stop_before:
                now_course = course.worked(course.stopped(now_course, NOW), LAST, NOW)
            retryable = any(e == "bad" and a == now_course.round for e, a in zip(ends, attempts, strict=True))
            now_course = course.settle(now_course, policy, counted, NOW, retryable=retryable)
            assert (now_course.ended_at is not None or now_course.work is not None) == (not open_ones)
        if now_course.work is TaskWork.RETRYING:
            again = [n for n, end in enumerate(ends) if end == "bad" and attempts[n] == now_course.round]
            assert again
            for device in again:
                attempts[device] += 1
                open_ones.add(device)
            now_course = course.worked(now_course, Batch(size=len(again), cursor=None), NOW)
    for plan, attempt, end in zip(plans, attempts, ends, strict=True):
        bad_at_first = next((n for n, each in enumerate(plan) if each != "bad"), len(plan))
        assert attempt == min(bad_at_first, retry_limit, max(stop_before - 1, 0)) + 1
        assert end == plan[attempt - 1]
    assert now_course.round == max(attempts)
    bad = any(end in ("bad", "conflict") for end in ends)
    expected = TaskStatus.FAILED if bad else TaskStatus.STOPPED if "stopped" in ends else TaskStatus.SUCCEEDED
    assert now_course.status is expected
