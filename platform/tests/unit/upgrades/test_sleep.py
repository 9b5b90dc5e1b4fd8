"""What becomes of the time of a device in queue mode while it sleeps."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.upgrades.model import CommandFailure, DeadlinePassed, SeenAlive, StopRequested, Tally, UpgradePhase

EXECUTE, INSPECT, PROBE = CommandKind.EXECUTE, CommandKind.INSPECT, CommandKind.PROBE
NEW, OLD = "2.0", "1.0"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def left(driver):
    return driver.upgrade.phase_ends_at - driver.now


def test_who_sleeps_before_it_is_inspected_has_all_the_time_for_that_when_it_wakes(driver):
    driver.begin()
    driver.sleep(5 * HOUR)
    assert driver.upgrade.phase is UpgradePhase.INSPECTING
    assert driver.order is INSPECT
    assert left(driver) == driver.limits.inspecting
    assert driver.upgrade.deadline_at == driver.upgrade.phase_ends_at


def test_a_download_that_is_slept_through_costs_no_time(driver):
    driver.transferring().answer().notify(state=1)
    driver.now += timedelta(minutes=30)
    for _ in range(10):
        driver.sleep(HOUR)
    assert driver.upgrade.phase is UpgradePhase.TRANSFERRING
    assert left(driver) == driver.limits.transferring - timedelta(minutes=30)


def test_an_order_to_install_that_was_not_heard_waits_with_its_time(driver):
    driver.executing()
    assert driver.order is EXECUTE
    driver.sleep(5 * HOUR)
    assert driver.order is EXECUTE
    assert left(driver) == driver.limits.executing


def test_who_installs_does_so_while_it_sleeps_and_is_asked_before_the_verdict(driver):
    driver.executing().answer().notify(state=3)
    driver.fall_asleep()
    driver.now += 5 * HOUR
    driver.tell(DeadlinePassed())
    assert driver.ends == []
    driver.tell(SeenAlive())
    assert driver.order is PROBE
    assert driver.upgrade.deadline_at == driver.now + driver.limits.probe
    driver.answer(state=3, result=0, firmware_version=OLD)
    assert driver.ends[0].outcome is Outcome.FAILED
    assert driver.upgrade.tally is Tally.TIMED_OUT


def test_whoever_registers_whenever_it_wakes_is_told_to_install_all_the_same(driver):
    driver.executing().fall_asleep()
    driver.now += 5 * HOUR
    driver.register().answer(state=2, result=0, firmware_version=OLD, package_uri="coap://host/fw/token")
    assert driver.order is EXECUTE
    assert left(driver) == driver.limits.executing


def test_whoever_comes_back_from_an_installation_has_time_to_tell_of_it(driver):
    driver.executing().answer().notify(state=3).fall_asleep()
    driver.now += 5 * HOUR
    driver.register()
    assert driver.upgrade.phase is UpgradePhase.VERIFYING
    assert driver.limits.verifying <= left(driver) <= driver.limits.verifying + driver.limits.executing
    driver.answer(state=0, result=0, firmware_version=OLD)
    assert driver.ends == []


def test_who_comes_back_again_and_again_sleeps_no_longer_than_others(driver):
    driver.executing().answer().notify(state=3)
    for _ in range(7):
        driver.fall_asleep(lifetime=2 * DAY)
        driver.now += DAY
        driver.register().answer(state=3, result=0, firmware_version=OLD)
    assert driver.upgrade.evidence.slept == driver.limits.sleeping
    assert driver.fall_asleep(lifetime=2 * DAY).upgrade.evidence.asleep_since is None


def test_the_probe_of_a_device_that_installed_in_its_sleep_finds_the_success(driver):
    driver.executing().answer().notify(state=3).sleep(5 * HOUR)
    assert driver.order is PROBE
    driver.answer(state=0, result=1, firmware_version=NEW)
    assert driver.ends[0].outcome is Outcome.SUCCEEDED
    assert driver.steps == [1, 2, 3, 0]


def test_a_probe_that_was_slept_through_waits_for_the_next_window(driver):
    driver.executing().answer().notify(state=3)
    while driver.order is not PROBE:
        driver.pass_deadline()
        if driver.order is INSPECT:
            driver.answer(state=3, result=0, firmware_version=OLD)
    driver.now += driver.limits.probe / 2
    driver.sleep(5 * HOUR)
    assert driver.order is PROBE
    assert driver.upgrade.deadline_at == driver.now + driver.limits.probe
    driver.pass_deadline()
    assert driver.upgrade.tally is Tally.TIMED_OUT


def test_whose_registration_ends_is_away_and_not_asleep(driver):
    driver.executing().answer().notify(state=3)
    driver.fall_asleep(lifetime=2 * HOUR)
    assert driver.upgrade.deadline_at == driver.now + 2 * HOUR
    driver.pass_deadline()
    assert driver.order is PROBE
    driver.pass_deadline()
    assert driver.upgrade.tally is Tally.TIMED_OUT


def test_who_is_away_has_what_was_left_of_the_time_of_a_transfer(driver):
    driver.transferring().answer().notify(state=1)
    driver.fall_asleep(lifetime=2 * HOUR).pass_deadline()
    assert driver.order is INSPECT
    assert left(driver) == driver.limits.transferring
    assert driver.upgrade.deadline_at < driver.upgrade.phase_ends_at


def test_sleep_counts_up_to_a_limit_within_a_phase(driver):
    driver.transferring().answer().notify(state=1)
    for _ in range(7):
        driver.sleep(DAY, lifetime=2 * DAY)
    assert left(driver) == driver.limits.transferring
    before = driver.upgrade
    driver.fall_asleep(lifetime=2 * DAY)
    assert driver.upgrade == before


def test_a_window_of_a_task_is_not_drawn_out(driver):
    driver.upgrade = structs.replace(driver.upgrade, window_end=driver.now + 2 * HOUR)
    driver.transferring().answer().notify(state=1).sleep(HOUR)
    assert driver.upgrade.phase_ends_at == driver.upgrade.window_end
    driver.sleep(2 * HOUR)
    assert driver.order is INSPECT or driver.order is PROBE
    driver.answer(state=1, result=0, firmware_version=OLD)
    assert driver.upgrade.tally is Tally.STOPPED


def test_it_is_told_twice_and_slept_once(driver):
    driver.transferring().answer().notify(state=1)
    driver.fall_asleep()
    driver.now += HOUR
    driver.fall_asleep().sleep(HOUR)
    assert left(driver) == driver.limits.transferring


def test_what_is_no_sign_of_life_wakes_nobody(driver):
    driver.transferring()
    driver.fall_asleep().fail(CommandFailure.UNREACHABLE, "the device fell asleep").restart_gateway()
    asleep = driver.upgrade
    assert asleep.evidence.asleep_since == driver.now
    assert asleep.deadline_at == driver.now + DAY
    driver.tell(StopRequested())
    assert driver.upgrade.tally is Tally.STOPPED


@pytest.mark.parametrize("phase", ["scheduled", "waiting", "closed"])
def test_nobody_waits_for_a_device_to_wake_of_which_nothing_is_wanted(driver, phase):
    if phase != "scheduled":
        driver.begin(online=False)
    if phase == "closed":
        driver.pass_deadline()
    before = driver.upgrade
    assert before.phase.value == phase
    assert driver.fall_asleep().upgrade == before


@settings(max_examples=60, deadline=None)
@given(
    sleeps=st.lists(st.integers(1, 4 * 3600), min_size=1, max_size=40),
    heard=st.lists(st.booleans(), min_size=40, max_size=40),
    by_write=st.booleans(),
)
def test_whoever_answers_now_and_then_is_upgraded_however_long_it_sleeps(make_driver, sleeps, heard, by_write):
    """The device hears some of its orders, one in each window; what it was told to do it does before it sleeps."""
    driver = make_driver()
    device = {"state": 0, "result": 0, "firmware_version": OLD}
    driver.begin()
    for duration, hears in zip(sleeps, heard, strict=False):
        driver.fall_asleep(lifetime=DAY)
        driver.now += timedelta(seconds=duration)
        driver.tell(DeadlinePassed()).tell(SeenAlive())
        if driver.ends:
            break
        if hears and driver.order is not None:
            _carry_out(driver, device, by_write=by_write)
    while not driver.ends:
        if driver.order is None:
            driver.sleep(HOUR)
        else:
            _carry_out(driver, device, by_write=by_write)
    assert driver.ends[0].outcome is Outcome.SUCCEEDED
    assert driver.steps == [1, 2, 3, 0]


def _carry_out(driver, device, *, by_write):
    kind = driver.order
    abilities = {"protocols": (0,), "delivery_method": 1 if by_write else 0}
    if kind in (INSPECT, PROBE):
        driver.answer(**device, **(abilities if kind is INSPECT else {}))
    elif kind is EXECUTE:
        device.update(state=0, result=1, firmware_version=NEW)
        driver.answer()
    else:
        device.update(state=2, package_uri="" if by_write else "coap://host/fw/token")
        driver.answer()
