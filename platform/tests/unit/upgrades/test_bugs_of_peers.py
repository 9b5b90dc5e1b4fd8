"""Eight ways in which other servers are known to get an upgrade wrong; each test says the mistake, and shows ours.

What of them is about counting and keeping is in `integration/upgrades/test_bugs_of_peers_in_the_store.py`.
"""

from datetime import UTC, datetime

import pytest

from firmcast.devices.model import CommandKind
from firmcast.events.model import FirmwareStateChanged, Outcome
from firmcast.upgrades import course
from firmcast.upgrades.model import (
    StopRequested,
    Tally,
    TaskCourse,
    TaskStatus,
    TaskWork,
    UpgradePhase,
    UpgradePolicy,
)
from firmcast.upgrades.state_machine import try_again

EXECUTE, INSPECT, PROBE = CommandKind.EXECUTE, CommandKind.INSPECT, CommandKind.PROBE
BY_URI, BY_WRITE = CommandKind.TRANSFER_BY_URI, CommandKind.TRANSFER_BY_WRITE
NEW, OLD = "2.0", "1.0"


def test_bug_1_installing_at_every_sight_of_downloaded(driver):
    """A server orders the installation whenever state 2 is notified: with a device that goes back to 2 when an
    installation fails, that is an endless loop of installations."""
    driver.executing()
    for _ in range(5):
        driver.notify(state=2)
    driver.answer().notify(state=3)
    for _ in range(5):
        driver.notify(state=2)
    driver.answer(state=2, result=8)
    for _ in range(5):
        driver.notify(state=2)
    assert driver.orders.count(EXECUTE) == 1
    assert driver.upgrade.outcome is Outcome.FAILED


def test_bug_2_result_0_while_updating_counts_as_updated(driver):
    """A server takes result 0 during an installation for its success, although 0 is what it has to be then."""
    driver.executing().answer().notify(state=3, result=0).notify(result=0)
    assert driver.ends == []
    driver.register().answer(state=3, result=0, firmware_version=OLD)
    driver.register().answer(state=0, result=0, firmware_version=OLD)
    assert driver.ends == []


@pytest.mark.parametrize("result", [10, 11, 12, 200, -1])
@pytest.mark.parametrize("state", [0, 1, 2, 3, 4, 255])
def test_bug_3_results_of_newer_objects_raise(make_driver, result, state):
    """A server knows the results 0 to 9 and fails with an exception at "cancelled" and "deferred", and at any other."""
    for reach in ("transferring", "executing"):
        driver = getattr(make_driver(), reach)().answer()
        driver.notify(result=result).notify(state=state)
        if driver.order in (INSPECT, PROBE):
            driver.answer(state=state, result=result, firmware_version=OLD)
        driver.notify(state=0, result=result)
        if result == 11:
            assert driver.ends == [], "it is put off, which is no end"
        else:
            assert driver.upgrade.outcome is Outcome.FAILED


@pytest.mark.parametrize("method", [0, 1])
def test_bug_4_a_device_that_restarts_while_it_downloads_is_never_sent_the_package_again(driver, method):
    """A server keeps "downloading" in its store and leaves a device alone that registers anew with that status."""
    driver.transferring(delivery_method=method)
    if method == 0:
        driver.answer().notify(state=1)
    driver.register().answer(state=0, result=0, firmware_version=OLD, delivery_method=method)
    assert driver.order is (BY_URI if method == 0 else BY_WRITE)
    assert driver.ends == []


def test_bug_5_only_downloaded_is_kept(driver):
    """A server writes down state 2 and no other, so that 1 and 3 never happened for whoever asks."""
    driver.executing().answer().notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    assert [int(each.fact.state) for each in driver.facts if isinstance(each.fact, FirmwareStateChanged)] == [
        1,
        2,
        3,
        0,
    ]


def test_bug_5_result_0_sets_the_state_to_idle(driver):
    """The same server takes a report of result 0 for the state Idle."""
    driver.executing().answer().notify(state=3).notify(result=0)
    assert driver.steps == [1, 2, 3]


def test_bug_5_a_version_reported_before_the_download_is_a_failed_upgrade(driver):
    """The same server closes an open upgrade as failed when any report of a version differs from the target."""
    driver.transferring().answer().notify(firmware_version=OLD)
    driver.notify(state=1).notify(firmware_version=OLD).notify(state=2).notify(firmware_version=OLD)
    assert driver.ends == []


def test_bug_7_an_upgrade_under_way_has_no_deadline(make_driver):
    """A server waits for ever for a device that has begun and says nothing more."""
    for reach in ("begin", "transferring", "executing"):
        driver = getattr(make_driver(), reach)()
        for _ in range(100):
            if driver.upgrade.phase is UpgradePhase.CLOSED:
                break
            driver.pass_deadline()
        assert driver.upgrade.tally is Tally.TIMED_OUT


def test_bug_7_a_stop_is_taken_back_when_two_things_fail_at_once():
    """The same server undid the halt of a campaign when two of its groups failed in one transaction."""
    now, policy = datetime(2026, 1, 1, tzinfo=UTC), UpgradePolicy(retry_limit=2)
    stopped = course.stopped(TaskCourse(started_at=now), now)
    failed = {Tally.FAILED: 2, Tally.STOPPED: 1}
    for _ in range(2):
        settled = course.settle(stopped, policy, failed, now, retryable=True)
        assert (settled.work, settled.stop_requested_at) == (TaskWork.STOPPING, now)
    worked = course.worked(stopped, course.Batch(size=3, cursor=None), now)
    ended = course.settle(worked, policy, failed, now, retryable=True)
    assert (ended.status, ended.ended_at) == (TaskStatus.FAILED, now)
    assert not course.may_retry(ended, policy, now)


def test_bug_8_the_same_feedback_counts_twice(driver):
    """A server adds one to its counters at every report of an end, also when it is the same report once more."""
    driver.executing().answer().notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    before, facts = driver.upgrade, len(driver.facts)
    for _ in range(3):
        driver.notify(state=0, result=1).register()
    assert (driver.upgrade, len(driver.facts)) == (before, facts)


def test_bug_8_a_late_report_opens_what_has_ended(driver):
    """The same server goes back from an end to "downloading" when that is reported late."""
    driver.executing().answer().notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    before, facts = driver.upgrade, len(driver.facts)
    driver.notify(state=1).notify(state=2).notify(result=8).restart_gateway().tell(StopRequested())
    assert driver.upgrade == before
    assert len(driver.facts) == facts


def test_bug_8_a_device_that_failed_once_is_passed_over_for_ever(driver):
    """The same server skips a device that failed in every later campaign until somebody forces it."""
    driver.executing().answer().notify(state=3).notify(state=0, result=8)
    assert driver.upgrade.retryable
    driver.upgrade = try_again(driver.upgrade, driver.now, "another")
    driver.begin().answer(state=0, result=8, firmware_version=OLD, delivery_method=0)
    assert driver.order is BY_URI
