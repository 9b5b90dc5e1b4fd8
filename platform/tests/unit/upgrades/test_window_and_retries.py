"""Nothing begins after the window of a task; another attempt is a new beginning; success is not believed blindly."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades.model import (
    CommandFailure,
    DeadlinePassed,
    Evidence,
    SeenAlive,
    StopRequested,
    Tally,
    TaskBegan,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.rules import wording
from firmcast.upgrades.state_machine import refuse, try_again

OLD, NEW = "1.0", "2.0"
WINDOW = timedelta(minutes=30)
BEGINS = (CommandKind.TRANSFER_BY_URI, CommandKind.TRANSFER_BY_WRITE, CommandKind.EXECUTE)


@pytest.fixture
def windowed(driver):
    driver.upgrade = structs.replace(driver.upgrade, window_end=driver.now + WINDOW)
    driver.end = driver.now + WINDOW
    return driver


def is_stopped(driver, words):
    upgrade = driver.upgrade
    assert (upgrade.phase, upgrade.tally, upgrade.outcome) == (UpgradePhase.CLOSED, Tally.STOPPED, Outcome.CANCELLED)
    assert upgrade.description == words
    assert not upgrade.retryable


def test_whoever_does_not_come_is_stopped_at_its_end(windowed):
    windowed.begin(online=False)
    assert windowed.upgrade.deadline_at == windowed.end
    is_stopped(windowed.pass_deadline(), wording.WINDOW_OVER)


def test_who_is_being_inspected_is_stopped_at_its_end(windowed):
    windowed.now += WINDOW - timedelta(minutes=1)
    windowed.begin()
    assert windowed.upgrade.deadline_at == windowed.end
    is_stopped(windowed.pass_deadline(), wording.WINDOW_TOO_SHORT)


def test_an_inspection_that_is_answered_too_late_begins_nothing(windowed):
    windowed.begin()
    windowed.now += WINDOW
    windowed.answer(state=0, result=0, firmware_version=OLD, protocols=(0,), delivery_method=0)
    is_stopped(windowed, wording.WINDOW_TOO_SHORT)
    assert not set(windowed.orders) & set(BEGINS)


def test_who_is_downloading_is_asked_once_more_and_taken_back(windowed):
    windowed.transferring().answer().notify(state=1, result=0)
    while windowed.upgrade.ended_at is None:
        windowed.pass_deadline()
    is_stopped(windowed, wording.WINDOW_TOO_SHORT)
    assert windowed.orders[-1] is CommandKind.RESET
    assert windowed.upgrade.ended_at == windowed.end + windowed.limits.probe


def test_who_has_the_package_too_late_does_not_install_it(windowed):
    windowed.transferring().answer().notify(state=1, result=0)
    windowed.now += WINDOW
    windowed.notify(state=2, result=0)
    is_stopped(windowed, wording.WINDOW_TOO_SHORT)
    assert windowed.orders[-1] is CommandKind.RESET
    assert windowed.steps == [1, 2]


def test_who_installs_is_left_alone(windowed):
    windowed.executing().answer().notify(state=3)
    windowed.now += WINDOW
    windowed.register().answer(state=0, result=1, firmware_version=NEW)
    assert windowed.upgrade.outcome is Outcome.SUCCEEDED


def test_who_comes_back_with_the_package_too_late_is_not_told_again(windowed):
    windowed.executing().fail(CommandFailure.UNREACHABLE)
    windowed.now += WINDOW
    windowed.register().answer(state=2, result=0, firmware_version=OLD, package_uri="coap://host/fw/token")
    is_stopped(windowed, wording.WINDOW_TOO_SHORT)
    assert windowed.orders[-1] is CommandKind.RESET


def test_what_failed_within_the_window_has_failed_all_the_same(windowed):
    windowed.transferring().answer().notify(state=1, result=0)
    windowed.now += WINDOW
    windowed.notify(state=0, result=5)
    assert windowed.upgrade.tally is Tally.FAILED


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(0, 1200)),
        st.just(("deadline",)),
        st.tuples(
            st.just("answer"),
            st.sampled_from([None, 0, 1, 2, 3]),
            st.sampled_from([0, 1, 5, 8]),
            st.sampled_from([None, OLD, NEW]),
        ),
        st.tuples(st.just("notify"), st.sampled_from([0, 1, 2, 3]), st.sampled_from([None, 0, 1, 5])),
        st.sampled_from([("register",), ("alive",), ("unreachable",), ("stop",)]),
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(steps=STEPS, online=st.booleans())
def test_nothing_is_begun_after_the_end_of_a_window(make_driver, steps, online):
    driver = make_driver()
    driver.upgrade = structs.replace(driver.upgrade, window_end=driver.now + WINDOW)
    end = driver.now + WINDOW
    driver.tell(TaskBegan(online=online))
    for step in steps:
        orders = len(driver.orders)
        match step:
            case ("time", seconds):
                driver.now += timedelta(seconds=seconds)
            case ("deadline",):
                driver.tell(DeadlinePassed())
            case ("answer", state, result, version) if driver.upgrade.command_id is not None:
                told = {"state": state, "result": result, "firmware_version": version, "package_uri": "x/token"}
                driver.answer(**told, delivery_method=0)
            case ("notify", state, result):
                driver.notify(state=state, result=result)
            case ("register",):
                driver.register()
            case ("alive",):
                driver.tell(SeenAlive())
            case ("unreachable",) if driver.upgrade.command_id is not None:
                driver.fail(CommandFailure.UNREACHABLE)
            case ("stop",):
                driver.tell(StopRequested())
        if driver.now >= end:
            assert not set(driver.orders[orders:]) & set(BEGINS)
        upgrade = driver.upgrade
        if upgrade.phase in (UpgradePhase.WAITING, UpgradePhase.INSPECTING, UpgradePhase.TRANSFERRING):
            assert upgrade.phase_ends_at <= end


# --- another attempt ------------------------------------------------------------------------------------------------


def test_another_attempt_begins_from_nothing_under_the_same_id(driver):
    driver.executing().answer().notify(state=3).notify(state=0, result=8)
    ended = driver.upgrade
    assert ended.retryable
    again = try_again(ended, driver.now, "another")
    assert (again.device_upgrade_id, again.attempt, again.transfer_token) == (ended.device_upgrade_id, 2, "another")
    assert (again.phase, again.tally, again.evidence) == (UpgradePhase.SCHEDULED, Tally.WAITING, Evidence())
    assert again.published_state is FirmwareUpdateState.IDLE
    assert (again.outcome, again.ended_at, again.description, again.retryable) == (None, None, "", False)
    driver.upgrade = again
    driver.facts.clear()
    driver.executing().answer().notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert [end.outcome for end in driver.ends] == [Outcome.SUCCEEDED]


def test_what_is_left_of_the_former_attempt_is_not_taken_for_this_one(driver):
    driver.transferring().answer().notify(state=1, result=0)
    while driver.upgrade.ended_at is None:
        driver.pass_deadline()
    driver.upgrade = try_again(driver.upgrade, driver.now, "another")
    driver.begin().answer(state=1, result=0, firmware_version=OLD, package_uri="coap://host/fw/token")
    assert driver.order is CommandKind.RESET


def test_a_conflict_and_a_stop_are_not_tried_again(driver):
    assert not refuse(driver.upgrade, driver.now, driver.limits).upgrade.retryable
    assert not driver.begin(online=False).tell(StopRequested()).upgrade.retryable


# --- success --------------------------------------------------------------------------------------------------------


def told_success(driver, version):
    driver.executing().answer().notify(state=3).register()
    return driver.answer(state=0, result=1, firmware_version=version).upgrade


def test_success_is_believed_of_a_device_whose_version_stays_once_it_has_started_again(driver):
    upgrade = told_success(driver, OLD)
    assert (upgrade.outcome, upgrade.current_version) == (Outcome.SUCCEEDED, OLD)
    assert upgrade.description == "The firmware was updated; the device calls its version '1.0'"


def test_success_with_the_old_version_waits_for_a_start_and_is_believed_in_the_end(driver):
    driver.executing().answer().notify(state=3).notify(state=0, result=1, firmware_version=OLD)
    assert driver.upgrade.outcome is None
    while driver.upgrade.ended_at is None:
        driver.pass_deadline()
        if driver.order is CommandKind.PROBE:
            driver.answer(state=0, result=1, firmware_version=OLD)
    assert driver.upgrade.outcome is Outcome.SUCCEEDED


@pytest.fixture
def strict(driver):
    driver.limits = replace(driver.limits, new_version_required=True)
    return driver


def test_success_is_not_believed_of_a_device_that_runs_what_it_had_where_that_is_required(strict):
    driver = strict
    assert told_success(driver, OLD).outcome is None
    while driver.upgrade.ended_at is None:
        driver.pass_deadline()
        if driver.order is CommandKind.PROBE:
            driver.answer(state=0, result=1, firmware_version=OLD)
    assert (driver.upgrade.outcome, driver.upgrade.description) == (Outcome.FAILED, wording.OLD_VERSION)
    assert driver.upgrade.retryable


def test_a_device_may_need_a_while_to_run_the_new_version(strict):
    driver = strict
    told_success(driver, OLD)
    driver.register().answer(state=0, result=1, firmware_version=NEW)
    assert (driver.upgrade.outcome, driver.upgrade.description) == (Outcome.SUCCEEDED, wording.SUCCEEDED)


def test_a_device_that_calls_its_new_version_otherwise_has_succeeded_and_that_is_said(driver):
    upgrade = told_success(driver, "v2.0-release")
    assert (upgrade.outcome, upgrade.current_version) == (Outcome.SUCCEEDED, "v2.0-release")
    assert upgrade.description == "The firmware was updated; the device calls its version 'v2.0-release'"


def test_a_device_that_tells_no_version_is_believed(driver):
    assert told_success(driver, None).outcome is Outcome.SUCCEEDED


def test_a_version_from_before_the_reboot_does_not_count_after_it(driver):
    driver.executing().answer().notify(firmware_version=OLD).register().answer(state=0, result=1)
    assert driver.upgrade.outcome is Outcome.SUCCEEDED


# --- how long the download took -------------------------------------------------------------------------------------


def test_a_download_takes_from_the_first_byte_to_the_last(driver):
    driver.transferring(delivery_method=1).tell(TransferProgressed(finished=False))
    began = driver.now
    driver.now += timedelta(seconds=40)
    driver.tell(TransferProgressed(finished=True)).answer()
    driver.now += timedelta(seconds=5)
    driver.answer(state=2, result=0)
    evidence = driver.upgrade.evidence
    assert (evidence.download_began_at, evidence.downloaded_at) == (began, began + timedelta(seconds=40))


def test_a_download_that_began_anew_counts_from_its_last_beginning(driver):
    driver.transferring().answer().notify(state=1, result=0)
    driver.now += timedelta(minutes=5)
    driver.register().answer(state=0, result=0, firmware_version=OLD, delivery_method=0).answer()
    assert driver.upgrade.evidence.download_began_at is None
    driver.notify(state=1, result=0)
    began = driver.now
    driver.now += timedelta(seconds=7)
    driver.notify(state=2)
    evidence = driver.upgrade.evidence
    assert (evidence.download_began_at, evidence.downloaded_at) == (began, began + timedelta(seconds=7))
