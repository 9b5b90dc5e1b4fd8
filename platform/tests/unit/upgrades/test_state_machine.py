"""The ways through the table, and the ways of real clients and the mistakes of other servers, each by its name."""

import pytest

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.upgrades.model import (
    CommandFailure,
    Input,
    StopRequested,
    Tally,
    TransferProgressed,
    UpgradePhase,
)
from firmcast.upgrades.state_machine import TABLE, refuse

EXECUTE, INSPECT, PROBE, RESET = CommandKind.EXECUTE, CommandKind.INSPECT, CommandKind.PROBE, CommandKind.RESET
BY_URI, BY_WRITE = CommandKind.TRANSFER_BY_URI, CommandKind.TRANSFER_BY_WRITE
NEW, OLD = "2.0", "1.0"


def test_every_phase_has_a_rule_for_every_input():
    inputs = set(Input.__args__)
    assert set(TABLE) == set(UpgradePhase)
    assert all(set(rules) == inputs for rules in TABLE.values())


def ended(driver, outcome, description=""):
    (end,) = driver.ends
    assert end.outcome is outcome
    assert description in end.description
    assert driver.upgrade.phase is UpgradePhase.CLOSED
    return True


def test_a_package_by_uri_is_told_as_1_2_3_0_and_then_the_result(driver):
    driver.executing()
    assert driver.orders == [INSPECT, BY_URI, EXECUTE]
    driver.answer().notify(state=3).register()
    assert driver.upgrade.phase is UpgradePhase.VERIFYING
    driver.answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert driver.synthesised == []
    assert ended(driver, Outcome.SUCCEEDED)
    assert (driver.ends[0].source_version, driver.ends[0].current_version) == (OLD, NEW)


def test_an_order_to_install_without_an_answer_may_have_been_obeyed(driver):
    driver.executing().fail(CommandFailure.UNREACHABLE)
    assert driver.upgrade.phase is UpgradePhase.EXECUTING
    driver.register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert driver.synthesised == [3]
    assert ended(driver, Outcome.SUCCEEDED)


def test_the_same_version_ends_without_an_upgrade(driver):
    driver.begin().answer(state=0, result=0, firmware_version=NEW)
    assert driver.steps == []
    assert driver.orders == [INSPECT]
    assert ended(driver, Outcome.SUCCEEDED, "same as the target version")


def test_a_device_that_does_not_come_is_given_up(driver):
    driver.begin(online=False)
    assert driver.orders == []
    driver.pass_deadline()
    assert driver.upgrade.tally is Tally.TIMED_OUT
    assert ended(driver, Outcome.FAILED, "Waiting for the device online timeout")


def test_a_device_in_another_upgrade_is_refused(driver):
    decision = refuse(driver.upgrade, driver.now, driver.limits)
    assert decision.upgrade.outcome is Outcome.FAILED
    assert decision.upgrade.description == "Task Conflict"
    assert decision.command is None


def test_a_stop_before_the_install_cleans_up_and_one_after_it_is_too_late(driver, make_driver):
    driver.transferring().answer().notify(state=1).tell(StopRequested())
    assert driver.orders[-1] is RESET
    assert driver.upgrade.tally is Tally.STOPPED
    assert ended(driver, Outcome.CANCELLED)
    late = make_driver().executing().tell(StopRequested())
    assert late.upgrade.phase is UpgradePhase.EXECUTING


def test_a_device_is_probed_before_the_verdict_of_its_silence(driver):
    driver.executing().answer()
    while driver.upgrade.phase is UpgradePhase.EXECUTING and not driver.upgrade.probed:
        driver.pass_deadline()
        if driver.order is INSPECT:
            driver.fail(CommandFailure.UNREACHABLE)
    assert driver.order is PROBE
    driver.pass_deadline()
    assert driver.upgrade.tally is Tally.TIMED_OUT
    assert ended(driver, Outcome.FAILED, "Wait for the device to report upgrade result timeout")


def test_after_a_restart_of_ours_the_device_is_inspected_and_nothing_is_told_twice(driver):
    driver.transferring().answer().notify(state=1).restart_gateway()
    assert driver.order is INSPECT
    driver.answer(state=1, result=0, firmware_version=OLD, package_uri="coap://host/fw/token")
    assert driver.steps == [1]
    driver.notify(state=2)
    assert driver.steps == [1, 2]
    assert driver.order is EXECUTE


def test_an_answer_to_an_order_that_was_replaced_is_old(driver):
    driver.transferring()
    stale = driver.upgrade.command_id
    driver.register()
    before = driver.upgrade
    from firmcast.upgrades.model import CommandAnswered

    driver.tell(CommandAnswered(command_id=stale))
    assert driver.upgrade == before


# --- the ways of real clients -----------------------------------------------------------------------------------


def test_quirk_1_the_last_idle_is_never_notified_but_read_after_the_registration(driver):
    driver.executing().answer().notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert ended(driver, Outcome.SUCCEEDED)


def test_quirk_2_a_written_package_never_shows_state_1(driver):
    driver.transferring(delivery_method=1)
    assert driver.order is BY_WRITE
    driver.tell(TransferProgressed(finished=False))
    assert (driver.steps, driver.synthesised) == ([1], [1])
    driver.answer().notify(state=2)
    assert driver.steps == [1, 2]
    assert driver.order is EXECUTE


@pytest.mark.parametrize("first", [{"state": 0}, {"result": 5}])
def test_quirk_3_state_and_result_come_apart_and_neither_alone_is_a_verdict(driver, first):
    driver.transferring().answer().notify(state=1).notify(**first)
    assert driver.order is PROBE
    assert driver.ends == []
    driver.answer(state=0, result=5)
    assert driver.steps == [1, 0]
    assert ended(driver, Outcome.FAILED, "Integrity check failure")


@pytest.mark.parametrize(("state", "steps"), [(2, [1, 2, 3, 2]), (0, [1, 2, 3, 0])])
def test_quirk_4_a_failed_install_goes_back_to_2_or_to_0(driver, state, steps):
    driver.executing().answer().notify(state=3).notify(state=state)
    assert driver.order is PROBE
    driver.answer(state=state, result=8)
    assert driver.steps == steps
    assert ended(driver, Outcome.FAILED, "Firmware update failed")
    assert (driver.orders[-1] is RESET) == (state == 2)


def test_quirk_5_a_deferred_install_goes_on(driver):
    driver.executing().answer().notify(state=3).notify(state=2).answer(state=2, result=11)
    assert driver.ends == []
    driver.notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    assert ended(driver, Outcome.SUCCEEDED)


def test_quirk_6_a_device_that_stays_in_3_is_ended_by_the_deadline_alone(driver):
    driver.executing().answer().notify(state=3)
    for _ in range(100):
        if driver.ends:
            break
        driver.pass_deadline()
        if driver.order in (INSPECT, PROBE):
            driver.answer(state=3, result=0, firmware_version=OLD)
    assert ended(driver, Outcome.FAILED)
    assert driver.steps == [1, 2, 3]


def test_quirk_7_a_refused_uri_shows_no_state_edge(driver):
    driver.transferring().fail(description="4.00 Bad Request", state=0, result=9)
    assert driver.steps == []
    assert ended(driver, Outcome.FAILED, "rotocol")


def test_quirk_8_an_address_that_is_not_found_is_result_7(driver):
    driver.transferring().answer().notify(state=1).notify(state=0).notify(result=7).answer(state=0, result=7)
    assert driver.steps == [1, 0]
    assert ended(driver, Outcome.FAILED, "Invalid URI")


def test_quirk_10_a_uri_given_twice_over_a_crash_is_refused_while_the_first_is_obeyed(driver):
    driver.transferring().fail(description="4.00 Bad Request", state=1, result=0)
    assert driver.ends == []
    assert driver.steps == [1]


def test_quirk_12_a_device_that_forgets_its_state_succeeds_by_its_version(driver):
    driver.executing().answer().notify(state=3).register().answer(state=0, result=0, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert ended(driver, Outcome.SUCCEEDED)


def test_quirk_12_a_device_that_forgets_its_state_and_runs_the_old_version_is_no_success(driver):
    driver.executing().answer().notify(state=3).register().answer(state=0, result=0, firmware_version=OLD)
    assert driver.ends == []
    for _ in range(100):
        if driver.ends:
            break
        driver.pass_deadline()
        if driver.order in (INSPECT, PROBE):
            driver.answer(state=0, result=0, firmware_version=OLD)
    assert ended(driver, Outcome.FAILED)


@pytest.mark.parametrize("stale", [1, 4, 8])
def test_quirk_20_a_result_from_an_earlier_update_is_not_news(driver, stale):
    driver.transferring(result=stale).answer().notify(result=stale)
    assert driver.ends == []
    driver.notify(state=1, result=0).notify(state=2)
    assert driver.order is EXECUTE


def test_a_device_busy_with_somebody_elses_package_is_reset_once_and_then_left(driver):
    foreign = {"state": 1, "result": 0, "firmware_version": OLD, "package_uri": "coap://elsewhere/x"}
    driver.begin().answer(**foreign)
    assert driver.order is RESET
    driver.answer().answer(**foreign)
    assert ended(driver, Outcome.FAILED, "busy")


def test_an_unknown_result_is_a_failure_like_any_other(driver):
    driver.transferring().answer().notify(state=1).notify(result=99).answer(state=0, result=99)
    assert ended(driver, Outcome.FAILED)


# --- mistakes of other servers ----------------------------------------------------------------------------------


def test_peer_bug_install_is_not_ordered_at_every_sight_of_state_2(driver):
    driver.executing()
    for _ in range(5):
        driver.notify(state=2)
    assert driver.orders.count(EXECUTE) == 1


def test_peer_bug_result_0_while_updating_is_not_an_end(driver):
    driver.executing().answer().notify(state=3, result=0).notify(result=0)
    assert driver.ends == []


def test_peer_bug_a_device_that_rebooted_while_downloading_is_sent_the_package_again(driver):
    driver.transferring().answer().notify(state=1).register().answer(state=0, result=0, firmware_version=OLD)
    assert driver.order is BY_URI
    assert driver.ends == []


def test_peer_bug_a_version_reported_before_the_download_closes_nothing(driver):
    driver.transferring().answer().notify(firmware_version=OLD)
    assert driver.ends == []


def test_peer_bug_late_and_repeated_reports_open_nothing_again(driver):
    driver.executing().answer().notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    before, facts = driver.upgrade, len(driver.facts)
    driver.notify(state=1).notify(state=2).notify(result=8).register().restart_gateway().tell(StopRequested())
    assert driver.upgrade == before
    assert len(driver.facts) == facts
