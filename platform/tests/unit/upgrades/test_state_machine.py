"""The ways through the table, each by its name; those of real clients are in `test_quirks_of_clients`."""

from datetime import timedelta

import pytest
from msgspec import structs

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
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.lost_packages import LOST_PACKAGES_LIMIT
from firmcast.upgrades.state_machine import TABLE, refuse, try_again

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


def test_a_device_busy_with_somebody_elses_package_is_reset_once_and_then_left(driver):
    foreign = {"state": 1, "result": 0, "firmware_version": OLD, "package_uri": "coap://elsewhere/x"}
    driver.begin().answer(**foreign)
    assert driver.order is RESET
    driver.answer().answer(**foreign)
    assert ended(driver, Outcome.FAILED, "busy")


def test_a_device_that_installs_somebody_elses_package_is_waited_for(driver):
    foreign = {"state": 3, "result": 0, "firmware_version": OLD, "package_uri": "coap://elsewhere/x"}
    driver.begin().answer(**foreign)
    for _ in range(4):
        assert driver.order is None
        driver.pass_deadline()
        assert driver.order is INSPECT
        driver.answer(**foreign)
    assert driver.orders == [INSPECT] * 5
    driver.register().answer(state=0, result=1, firmware_version="1.5", delivery_method=0)
    assert driver.order is BY_URI
    assert driver.upgrade.source_version == "1.5"


def test_who_installs_somebody_elses_package_for_ever_is_given_up_after_the_time_of_an_installation(driver):
    foreign = {"state": 3, "result": 0, "firmware_version": OLD, "package_uri": "coap://elsewhere/x"}
    began = driver.begin().now
    while not driver.ends:
        if driver.order is INSPECT:
            driver.answer(**foreign)
        else:
            driver.pass_deadline()
    assert ended(driver, Outcome.FAILED, "busy")
    assert set(driver.orders) == {INSPECT}
    assert driver.now - began == driver.limits.executing
    assert driver.upgrade.retryable


def test_a_device_may_be_given_an_older_version_than_it_has(driver):
    driver.upgrade = structs.replace(driver.upgrade, target_version="0.9", source_version="1.0")
    driver.executing().answer().notify(state=3).register().answer(state=0, result=1, firmware_version="0.9")
    assert driver.steps == [1, 2, 3, 0]
    assert ended(driver, Outcome.SUCCEEDED)


def test_an_unknown_result_is_a_failure_like_any_other(driver):
    driver.transferring().answer().notify(state=1).notify(result=99).answer(state=0, result=99)
    assert ended(driver, Outcome.FAILED)
    assert driver.orders.count(BY_URI) == 1


@pytest.mark.parametrize("shows", [(2, 3), (3,)])
def test_a_device_that_installs_by_itself_when_it_has_the_package_is_followed(driver, shows):
    driver.transferring().answer().notify(state=1)
    for state in shows:
        driver.notify(state=state)
    if driver.order is EXECUTE:
        driver.fail(description="4.05 Method Not Allowed", state=3, result=0)
    driver.register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert ended(driver, Outcome.SUCCEEDED)


# --- a package that was lost on its way ---------------------------------------------------------------------------


def loses(driver, result=4):
    """Let the device lose the transfer that is under way."""
    driver.notify(state=1, result=0).notify(state=0, result=result)
    return driver


def loses_all(driver, result, **again):
    """Let it lose every transfer."""
    idle = {"state": 0, "result": result, "firmware_version": OLD, "delivery_method": 0, **again}
    while not driver.ends:
        if driver.order is BY_URI:
            loses(driver.answer(), result)
        elif driver.order is INSPECT:
            driver.answer(**idle)
        else:
            driver.pass_deadline()
    return driver


def test_what_broke_off_is_sent_again(driver):
    loses(driver.transferring().answer())
    assert driver.order is INSPECT
    driver.answer(state=0, result=4, firmware_version=OLD, delivery_method=0)
    assert driver.order is BY_URI
    driver.answer().notify(state=1, result=0).notify(state=2)
    assert driver.steps == [1, 0, 1, 2]
    assert driver.order is EXECUTE


@pytest.mark.parametrize(
    ("result", "times"), [(2, 1), (3, 5), (4, 5), (5, 2), (6, 1), (7, 1), (8, 5), (9, 1), (10, 1), (12, 1), (200, 1)]
)
def test_how_often_a_package_is_sent_by_the_reason_for_its_loss(driver, result, times):
    loses_all(driver.transferring(), result)
    assert driver.orders.count(BY_URI) == times
    assert ended(driver, Outcome.FAILED, wording.describe_failure(result))
    assert driver.steps == [1, 0] * times
    assert driver.upgrade.retryable == (result != 10), "whoever wants rounds has asked for them, a canceller has not"


def test_a_package_that_was_spoilt_in_the_first_round_is_sent_once_in_each_other_one(driver):
    loses_all(driver.transferring(), 5)
    driver.upgrade = try_again(driver.upgrade, driver.now, "another")
    driver.facts.clear()
    driver.orders.clear()
    loses_all(driver.transferring(result=5), 5)
    assert driver.orders.count(BY_URI) == 1


def test_a_device_without_memory_is_given_a_while(driver):
    loses(driver.transferring().answer(), 3)
    assert driver.order is None
    before = driver.now
    driver.pass_deadline()
    assert driver.now - before == driver.limits.probe
    assert driver.order is INSPECT


def test_nothing_is_sent_again_when_it_is_late(driver):
    driver.transferring().answer().notify(state=1, result=0)
    driver.now = driver.upgrade.phase_ends_at
    driver.notify(state=0, result=4)
    assert ended(driver, Outcome.FAILED, "Connection lost during downloading process")


def test_what_we_interrupt_ourselves_is_not_held_against_the_device(driver):
    driver.transferring()
    for _ in range(8):
        driver.answer().notify(state=1, result=0).restart_gateway()
        driver.answer(state=0, result=4, firmware_version=OLD, delivery_method=0)
        assert driver.order is BY_URI


def test_a_written_package_begins_again_where_it_broke_off_even_if_the_device_keeps_its_state(driver):
    stuck = {"state": 1, "result": 0, "firmware_version": OLD, "delivery_method": 1}
    driver.transferring(delivery_method=1).tell(TransferProgressed(finished=False)).fail(CommandFailure.UNREACHABLE)
    driver.pass_deadline().answer(**stuck)
    assert driver.order is RESET
    driver.fail(description="the device stays in state 1").answer(**stuck)
    assert driver.order is BY_WRITE
    driver.answer().answer(state=2, result=0)
    assert driver.order is EXECUTE


def test_a_device_that_fetches_is_looked_at_though_its_answer_to_the_order_is_lost(driver):
    driver.transferring().pass_deadline()
    assert driver.order is BY_URI
    driver.tell(TransferProgressed(finished=False)).tell(TransferProgressed(finished=True)).pass_deadline()
    assert driver.order is INSPECT
    driver.answer(state=2, result=0, firmware_version=OLD, package_uri="coap://host/fw/token")
    assert driver.order is EXECUTE


def test_a_device_that_is_idle_after_an_order_without_an_answer_is_told_as_updating_once_it_proves_so(driver):
    driver.executing().fail(description="4.05 method not allowed to the execution of /5/0/2", state=0, result=0)
    assert driver.steps == [1, 2]
    driver.register().answer(state=0, result=0, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert ended(driver, Outcome.SUCCEEDED)


def test_a_result_that_our_own_cancel_has_left_is_no_failure(driver):
    stuck = {"state": 1, "result": 0, "firmware_version": OLD, "delivery_method": 1}
    cancelled = {**stuck, "state": 0, "result": 10}
    driver.transferring(delivery_method=1).tell(TransferProgressed(finished=False)).restart_gateway()
    driver.answer(**stuck)
    assert driver.order is RESET
    driver.notify(result=10).notify(state=0).answer(**cancelled)
    assert (driver.order, driver.ends) == (INSPECT, [])
    driver.answer(**cancelled)
    assert driver.order is BY_WRITE
    driver.answer().answer(state=0, result=10)
    assert ended(driver, Outcome.FAILED, "cancelled")


# --- an installation that is put off ------------------------------------------------------------------------------

PUT_OFF = {"state": 2, "result": 11, "firmware_version": OLD, "package_uri": "coap://host/fw/token"}


def puts_off(driver):
    driver.executing().answer().notify(state=2, result=11)
    return driver


def test_who_puts_the_installation_off_is_told_again_after_a_pause(driver):
    puts_off(driver)
    assert driver.upgrade.description == wording.DEFERRED
    assert driver.order is None
    put_off_at = driver.now
    driver.pass_deadline()
    assert driver.now - put_off_at == driver.limits.deferral_pause
    assert driver.order is INSPECT
    driver.answer(**PUT_OFF)
    assert driver.order is EXECUTE
    assert driver.upgrade.description == ""
    driver.answer().notify(state=3, result=0).register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert ended(driver, Outcome.SUCCEEDED)


def test_the_sight_of_a_deferral_is_never_an_order_to_install(driver):
    puts_off(driver)
    driver.now += driver.limits.deferral_pause * 2
    driver.notify(state=2, result=11)
    assert driver.orders.count(EXECUTE) == 1


def test_half_of_a_deferral_is_asked_about(driver):
    driver.executing().answer().notify(result=11)
    assert driver.order is PROBE
    driver.answer(state=2, result=11, firmware_version=OLD)
    assert driver.upgrade.description == wording.DEFERRED


def plays_for_time(driver):
    while not driver.ends:
        if driver.order in (INSPECT, PROBE):
            driver.answer(**PUT_OFF)
        elif driver.order is EXECUTE:
            driver.answer(state=2, result=11)
        else:
            driver.pass_deadline()
    return driver


def test_a_deferral_has_a_hard_end(driver):
    put_off_at = puts_off(driver).now
    plays_for_time(driver)
    assert driver.upgrade.tally is Tally.TIMED_OUT
    assert ended(driver, Outcome.FAILED, wording.DEFERRED_TOO_LONG)
    assert driver.now - put_off_at == driver.limits.deferral
    assert driver.orders[-2:] == [PROBE, RESET]
    assert driver.orders.count(EXECUTE) == driver.limits.deferral / driver.limits.deferral_pause
    assert driver.upgrade.retryable


def test_a_deferral_ends_with_the_window(driver):
    window_end = driver.now + timedelta(hours=2)
    driver.upgrade = structs.replace(driver.upgrade, window_end=window_end)
    plays_for_time(puts_off(driver))
    assert driver.now == window_end
    assert driver.orders[-1] is RESET
    assert ended(driver, Outcome.CANCELLED, wording.DEFERRED_BEYOND_WINDOW)


def test_who_has_put_it_off_can_be_stopped_and_who_installs_is_stopped_when_it_puts_that_off(driver, make_driver):
    puts_off(driver).tell(StopRequested())
    assert driver.orders[-1] is RESET
    assert ended(driver, Outcome.CANCELLED, "stopped")
    late = make_driver().executing().tell(StopRequested())
    assert late.ends == []
    late.answer().notify(state=2, result=11)
    assert ended(late, Outcome.CANCELLED, "stopped")


def test_who_begins_by_itself_after_a_deferral_has_all_the_time_of_an_installation(driver):
    puts_off(driver)
    driver.now += timedelta(hours=5)
    driver.notify(state=3, result=0)
    assert driver.upgrade.phase_ends_at == driver.now + driver.limits.executing
    driver.register().answer(state=0, result=1, firmware_version=NEW)
    assert ended(driver, Outcome.SUCCEEDED)


def test_who_restarts_after_a_deferral_with_its_package_is_told_again(driver):
    puts_off(driver).register()
    driver.answer(**{**PUT_OFF, "result": 0})
    while driver.order is not EXECUTE:
        if driver.order is INSPECT:
            driver.answer(**{**PUT_OFF, "result": 0})
        driver.pass_deadline()
    assert driver.ends == []


def test_who_drops_a_package_that_it_had_put_off_too_often_is_judged_by_the_evidence(driver):
    puts_off(driver)
    evidence = structs.replace(driver.upgrade.evidence, lost_packages=LOST_PACKAGES_LIMIT)
    driver.upgrade = structs.replace(driver.upgrade, evidence=evidence)
    driver.register().answer(state=0, result=0, firmware_version=OLD)
    began = driver.now
    while not driver.ends:
        driver.pass_deadline()
        if driver.order in (INSPECT, PROBE):
            driver.answer(state=0, result=0, firmware_version=OLD)
    assert ended(driver, Outcome.FAILED, wording.NO_EVIDENCE)
    assert driver.now - began <= driver.limits.verifying + driver.limits.probe


def test_a_device_that_was_sent_the_last_byte_is_looked_at_soon(driver) -> None:
    """Its notification that it has the package may be lost, and it says nothing more."""
    driver.transferring().answer().notify(state=1)
    driver.tell(TransferProgressed(finished=True))
    assert driver.upgrade.deadline_at == driver.now + driver.limits.probe
    driver.pass_deadline()
    assert driver.order is CommandKind.INSPECT
    driver.answer(state=1, result=0)
    assert driver.upgrade.deadline_at == driver.now + driver.limits.probe, "it is still busy with the package"
    driver.pass_deadline().answer(state=2, result=0)
    assert (driver.order, driver.steps) == (CommandKind.EXECUTE, [1, 2])


def test_the_last_byte_of_a_package_that_is_fetched_need_not_have_come(driver) -> None:
    driver.transferring().answer().notify(state=1)
    driver.tell(TransferProgressed(finished=True)).register().answer(state=0, result=0, firmware_version="1.0")
    assert driver.order is CommandKind.TRANSFER_BY_URI
