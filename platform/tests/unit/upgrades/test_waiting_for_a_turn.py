"""A package that is written waits for its turn without using up its device's time, though not for ever."""

from dataclasses import replace
from datetime import timedelta

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.upgrades.model import CommandFailure, Tally, TransferProgressed, UpgradePhase

INSPECT, PROBE, BY_WRITE = CommandKind.INSPECT, CommandKind.PROBE, CommandKind.TRANSFER_BY_WRITE
BY_URI = CommandKind.TRANSFER_BY_URI
IDLE = {"state": 0, "result": 0, "firmware_version": "1.0"}
BEGUN, FINISHED = TransferProgressed(finished=False), TransferProgressed(finished=True)


def until_time_is_up(driver):
    """Let the order wait until the time of the phase is over."""
    while not driver.upgrade.probed:
        assert driver.order is BY_WRITE
        driver.pass_deadline()
    return driver


def wait_on(driver):
    """Let the device show that it is there and ready."""
    assert driver.order is PROBE
    driver.answer(**IDLE)
    assert driver.order is INSPECT
    return driver.answer(**IDLE, protocols=(0,), delivery_method=1)


def test_a_device_that_is_there_waits_on_for_its_turn(driver) -> None:
    began = driver.transferring(delivery_method=1).now
    for _ in range(5):
        wait_on(until_time_is_up(driver))
    assert driver.now - began >= 5 * driver.limits.transferring
    assert (driver.order, driver.upgrade.phase, driver.ends) == (BY_WRITE, UpgradePhase.TRANSFERRING, [])
    driver.tell(BEGUN).tell(FINISHED).answer().notify(state=2, result=0)
    assert driver.upgrade.phase is UpgradePhase.EXECUTING


def test_it_has_all_its_time_from_the_first_block_on(driver) -> None:
    driver.transferring(delivery_method=1)
    driver.now += driver.limits.transferring - timedelta(seconds=1)
    driver.tell(BEGUN)
    assert driver.upgrade.phase_ends_at == driver.now + driver.limits.transferring
    # Once: what begins again and again does not go on for ever.
    driver.fail(CommandFailure.UNREACHABLE).pass_deadline().answer(**IDLE, protocols=(0,), delivery_method=1)
    ends_at = driver.upgrade.phase_ends_at
    driver.now += timedelta(minutes=1)
    assert driver.tell(BEGUN).upgrade.phase_ends_at == ends_at


def test_what_was_begun_with_does_not_wait_on(driver) -> None:
    driver.transferring(delivery_method=1).tell(BEGUN)
    until_time_is_up(driver).answer(**IDLE)
    assert driver.upgrade.tally is Tally.TIMED_OUT


def test_a_device_that_is_not_there_does_not_wait_on(driver) -> None:
    until_time_is_up(driver.transferring(delivery_method=1)).pass_deadline()
    assert driver.upgrade.tally is Tally.TIMED_OUT


def test_a_device_waits_for_its_turn_to_fetch_where_there_are_turns(driver) -> None:
    driver.limits = replace(driver.limits, fetches_in_turn=True)
    began = driver.transferring(delivery_method=0).now
    for _ in range(3):
        while not driver.upgrade.probed:
            assert driver.order is BY_URI
            driver.pass_deadline()
        assert driver.order is PROBE
        driver.answer(**IDLE)
        assert driver.order is INSPECT
        driver.answer(**IDLE, protocols=(0,), delivery_method=0)
    assert driver.now - began >= 3 * driver.limits.transferring
    driver.answer()
    driver.now = driver.upgrade.phase_ends_at - timedelta(seconds=1)
    driver.tell(BEGUN)
    assert driver.upgrade.phase_ends_at == driver.now + driver.limits.transferring, "it has all its time from now on"
    ends_at = driver.upgrade.phase_ends_at
    driver.now += timedelta(minutes=1)
    assert driver.tell(BEGUN).upgrade.phase_ends_at == ends_at


def test_an_address_that_a_device_makes_nothing_of_does_not_wait_on(driver) -> None:
    driver.transferring(delivery_method=0)
    while not driver.upgrade.probed:
        driver.pass_deadline()
    driver.answer(**IDLE)
    assert driver.upgrade.tally is Tally.TIMED_OUT


def test_it_ends_when_the_device_would_not_have_been_waited_for_any_longer(driver) -> None:
    began = driver.transferring(delivery_method=1).now
    while not driver.ends:
        until_time_is_up(driver)
        if driver.now - began < driver.limits.waiting:
            wait_on(driver)
        else:
            driver.answer(**IDLE)
    assert (driver.ends[0].outcome, driver.upgrade.tally) == (Outcome.FAILED, Tally.TIMED_OUT)
