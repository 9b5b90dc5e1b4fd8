"""What real clients do, by the number under which it is known; those of the wire are in the gateway's and CoAP's tests.

Numbers 13 and 14 are in `unit/gateway/test_quirks_of_downloads.py`, 15 and 21 in `unit/coap/test_quirks_of_blocks.py`,
11, 17, 18, 19 and 22 in `integration/gateway/test_quirks_on_the_wire.py`.
"""

from datetime import timedelta

import pytest

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.upgrades.model import CommandFailed, CommandFailure, SeenAlive, TransferProgressed, UpgradePhase
from firmcast.upgrades.rules import wording

EXECUTE, INSPECT, PROBE, RESET = CommandKind.EXECUTE, CommandKind.INSPECT, CommandKind.PROBE, CommandKind.RESET
BY_URI, BY_WRITE = CommandKind.TRANSFER_BY_URI, CommandKind.TRANSFER_BY_WRITE
NEW, OLD = "2.0", "1.0"
OURS = "coap://host/fw/token"


def has_ended(driver, outcome, description=""):
    (end,) = driver.ends
    assert (end.outcome, driver.upgrade.phase) == (outcome, UpgradePhase.CLOSED)
    assert description in end.description
    return True


def answer_until_the_end(driver, **resources):
    """Let time pass, and the device answer each look in the same way."""
    while not driver.ends:
        if driver.order in (INSPECT, PROBE):
            driver.answer(**resources)
        elif driver.order is RESET:
            driver.fail(**resources)
        else:
            driver.pass_deadline()
    return driver


def test_quirk_01_final_idle_is_never_notified(driver):
    driver.executing().answer().notify(state=3).register()
    assert driver.order is INSPECT
    driver.answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert has_ended(driver, Outcome.SUCCEEDED)


def test_quirk_02_a_written_package_never_shows_downloading(driver):
    driver.transferring(delivery_method=1)
    assert driver.order is BY_WRITE
    driver.tell(TransferProgressed(finished=False))
    assert (driver.steps, driver.synthesised) == ([1], [1])
    driver.answer().notify(state=2)
    assert driver.steps == [1, 2]
    assert driver.order is EXECUTE


def test_quirk_02_a_device_that_says_idle_while_it_is_written_to_is_written_to_on(driver):
    driver.transferring(delivery_method=1).tell(TransferProgressed(finished=False)).notify(state=0, result=0)
    assert driver.order is BY_WRITE
    driver.answer().answer(state=2, result=0)
    assert driver.orders.count(BY_WRITE) == 1
    assert driver.order is EXECUTE


@pytest.mark.parametrize("first", [{"state": 0}, {"result": 6}])
def test_quirk_03_state_and_result_come_apart(driver, first):
    driver.transferring().answer().notify(state=1).notify(**first)
    assert driver.order is PROBE
    assert driver.ends == []
    driver.answer(state=0, result=6)
    assert driver.steps == [1, 0]
    assert has_ended(driver, Outcome.FAILED, "Unsupported package type")


def test_quirk_03_idle_may_be_shown_before_its_result_is_stored(driver):
    driver.executing().answer().notify(state=3, result=0).notify(state=0).answer(state=0, result=0)
    assert driver.ends == []
    driver.notify(result=1)
    assert driver.order is PROBE
    driver.answer(state=0, result=1, firmware_version=NEW)
    assert has_ended(driver, Outcome.SUCCEEDED)


@pytest.mark.parametrize(("state", "steps"), [(2, [1, 2, 3, 2]), (0, [1, 2, 3, 0])])
def test_quirk_04_a_failed_install_goes_back_to_2_or_to_0(driver, state, steps):
    driver.executing().answer().notify(state=3).notify(state=state)
    assert driver.order is PROBE
    driver.answer(state=state, result=8)
    assert driver.steps == steps
    assert has_ended(driver, Outcome.FAILED, "Firmware update failed")
    assert driver.orders.count(EXECUTE) == 1
    assert (driver.orders[-1] is RESET) == (state == 2)


@pytest.mark.parametrize(("state", "steps"), [(2, [1, 2, 3, 2]), (0, [1, 2, 3, 0])])
def test_quirk_04_a_failed_install_has_been_updating_though_nobody_saw_it(driver, state, steps):
    driver.executing().fail(CommandFailure.UNREACHABLE).notify(state=state, result=8)
    assert (driver.steps, driver.synthesised) == (steps, [3])
    assert has_ended(driver, Outcome.FAILED, "Firmware update failed")


def test_quirk_05_a_deferral_goes_through_updating(driver):
    driver.executing().answer().notify(state=3).notify(state=2)
    assert driver.order is PROBE
    driver.answer(state=2, result=11)
    assert driver.upgrade.description == wording.DEFERRED
    assert driver.ends == []
    driver.notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 2, 3, 0]
    assert has_ended(driver, Outcome.SUCCEEDED)


def test_quirk_06_updating_for_ever_is_ended_by_the_deadline_alone(driver):
    driver.executing().answer().notify(state=3)
    began = driver.now
    answer_until_the_end(driver, state=3, result=0, firmware_version=OLD)
    assert has_ended(driver, Outcome.FAILED, "Wait for the device to report upgrade result timeout")
    assert driver.steps == [1, 2, 3]
    assert driver.now - began == driver.limits.executing
    assert driver.orders[-1] is PROBE, "it was asked once more"


def test_quirk_07_a_refused_scheme_shows_no_state_edge(driver):
    driver.transferring().fail(description="4.00 Bad Request", state=0, result=9)
    assert driver.steps == []
    assert has_ended(driver, Outcome.FAILED, "rotocol")


def test_quirk_07_a_second_refusal_is_not_even_notified(driver):
    driver.transferring(result=9).fail(description="4.00 Bad Request", state=0, result=9)
    assert driver.steps == []
    assert has_ended(driver, Outcome.FAILED, "4.00 Bad Request")


def test_quirk_08_an_address_that_is_not_found_is_result_7(driver):
    driver.transferring().answer().notify(state=1).notify(state=0).notify(result=7).answer(state=0, result=7)
    assert driver.steps == [1, 0]
    assert has_ended(driver, Outcome.FAILED, "Invalid URI")


def test_quirk_08_or_it_is_result_4(driver):
    driver.transferring()
    while not driver.ends:
        driver.answer().notify(state=1, result=0).notify(state=0).answer(state=0, result=4)
        if driver.order is INSPECT:
            driver.answer(state=0, result=4, firmware_version=OLD, delivery_method=0)
    assert driver.orders.count(BY_URI) == 5
    assert has_ended(driver, Outcome.FAILED, "Connection lost during downloading process")


def test_quirk_09_downloading_from_an_unreachable_host_shows_nothing_for_long(driver):
    driver.transferring().answer().notify(state=1, result=0)
    began = driver.now
    answer_until_the_end(driver, state=1, result=0, firmware_version=OLD, package_uri=OURS)
    assert driver.now - began == driver.limits.transferring
    assert has_ended(driver, Outcome.FAILED, "Waiting for device downloaded package timeout")
    assert driver.orders[-2:] == [PROBE, RESET]


def test_quirk_10_an_address_given_twice_over_a_crash_is_refused_while_the_first_is_obeyed(driver):
    driver.transferring().fail(description="4.00 Bad Request", state=1, result=0)
    assert driver.ends == []
    assert driver.steps == [1]


def test_quirk_10_or_it_is_accepted_and_passed_over_so_none_is_given_to_a_device_that_downloads(driver):
    foreign = {"state": 1, "result": 0, "firmware_version": OLD, "package_uri": "coap://elsewhere/x"}
    driver.begin().answer(**foreign)
    answer_until_the_end(driver, **foreign)
    assert not {BY_URI, BY_WRITE} & set(driver.orders)
    assert has_ended(driver, Outcome.FAILED, "busy")


def test_quirk_12_a_device_that_forgets_its_state_succeeds_by_its_version(driver):
    driver.executing().answer().notify(state=3).register().answer(state=0, result=0, firmware_version=NEW)
    assert driver.steps == [1, 2, 3, 0]
    assert has_ended(driver, Outcome.SUCCEEDED)


def test_quirk_12_a_device_that_forgets_its_state_and_runs_the_old_version_is_no_success(driver):
    driver.executing().answer().notify(state=3).register().answer(state=0, result=0, firmware_version=OLD)
    assert driver.ends == []
    answer_until_the_end(driver, state=0, result=0, firmware_version=OLD)
    assert has_ended(driver, Outcome.FAILED, wording.NO_EVIDENCE)


def test_quirk_16_a_sample_that_boots_in_state_1_and_never_changes_is_refused_and_not_written_to(driver):
    # Its Package URI cannot be read, and everything is answered with success.
    stub = {"state": 1, "result": 0, "firmware_version": OLD, "delivery_method": 1}
    answer_until_the_end(driver.begin().answer(**stub), **stub)
    assert driver.orders == [INSPECT, RESET, INSPECT]
    assert has_ended(driver, Outcome.FAILED, "busy")


@pytest.mark.parametrize("stale", [1, 4, 8])
def test_quirk_20_a_stale_result_is_not_news(driver, stale):
    driver.transferring(result=stale).answer().notify(result=stale)
    assert driver.ends == []
    driver.notify(state=1, result=0).notify(state=2)
    assert driver.order is EXECUTE


def test_quirk_20_a_killed_device_comes_back_with_its_old_address_and_result_4(driver):
    left = {"state": 0, "result": 4, "firmware_version": OLD, "package_uri": OURS, "delivery_method": 0}
    driver.transferring().answer().notify(state=1, result=0).register().answer(**left)
    assert driver.order is BY_URI
    assert driver.upgrade.evidence.baseline_result == 4
    driver.answer().notify(result=4)
    assert driver.ends == []
    driver.notify(state=1, result=0).notify(state=2)
    assert driver.order is EXECUTE


def test_quirk_22_a_device_that_is_written_to_is_asked_nothing_else(driver):
    driver.transferring(delivery_method=1).tell(TransferProgressed(finished=False))
    while driver.now + driver.limits.between_checks(UpgradePhase.TRANSFERRING) < driver.upgrade.phase_ends_at:
        driver.tell(SeenAlive()).pass_deadline()
        assert driver.order is BY_WRITE
    assert driver.orders == [INSPECT, BY_WRITE]


@pytest.mark.parametrize("method", [0, 1])
def test_quirk_23_a_new_registration_in_the_middle_is_no_end(driver, method):
    driver.transferring(delivery_method=method)
    if method == 0:
        driver.answer().notify(state=1, result=0)
    for _ in range(3):
        driver.register()
        assert driver.order is INSPECT
        driver.answer(state=method ^ 1, result=0, firmware_version=OLD, package_uri=OURS, delivery_method=method)
    assert driver.ends == []
    if method == 1:
        assert driver.order is BY_WRITE
        driver.answer()
    driver.notify(state=2, result=0).answer()
    driver.register().answer(state=3, result=0, firmware_version=OLD)
    assert driver.ends == []
    driver.register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.orders.count(EXECUTE) == 1
    assert has_ended(driver, Outcome.SUCCEEDED)


def test_quirk_23_an_update_that_is_lost_between_two_orders_repeats_nothing(driver):
    driver.executing().fail(CommandFailure.UNREACHABLE).register()
    driver.answer(state=3, result=0, firmware_version=OLD)
    assert driver.orders.count(EXECUTE) == 1


def test_a_refusal_to_install_is_believed_the_third_time(driver):
    """LiteOS refuses until its word that it has the package is acknowledged; others mean it."""
    driver.executing()
    refused = {"description": "4.00 bad request to the execution of /5/0/2", "state": 2, "result": 0}
    for repetition in (1, 2):
        driver.fail(**refused)
        assert driver.upgrade.evidence.refused_executions == repetition
        began = driver.now
        driver.pass_deadline()
        assert driver.now - began <= timedelta(seconds=15)
        driver.answer(state=2, result=0)
        assert driver.order is EXECUTE
    driver.fail(**refused)
    assert "4.00 bad request to the execution of /5/0/2" in driver.upgrade.description
    assert driver.upgrade.phase is UpgradePhase.CLOSED
    assert driver.orders.count(EXECUTE) == 3


def test_a_refusal_to_install_that_passes_is_no_end(driver):
    driver.executing().fail(description="4.00 bad request", state=2, result=0).pass_deadline()
    driver.answer(state=2, result=0).answer().notify(state=3).register()
    driver.answer(state=0, result=1, firmware_version="2.0")
    assert driver.upgrade.outcome is Outcome.SUCCEEDED
    assert driver.steps == [1, 2, 3, 0]


def test_a_device_that_is_busy_when_it_is_first_looked_at_is_asked_again_soon(driver):
    driver.begin()
    for _ in range(3):
        told = CommandFailed(
            command_id=driver.upgrade.command_id,
            failure=CommandFailure.UNREACHABLE,
            description="5.03 service unavailable",
            is_busy=True,
        )
        driver.tell(told)
        assert driver.upgrade.phase is UpgradePhase.WAITING
        assert driver.upgrade.deadline_at == driver.now + driver.limits.probe
        driver.pass_deadline()
        assert (driver.upgrade.phase, driver.order) == (UpgradePhase.INSPECTING, INSPECT)
    driver.answer(state=0, result=0, firmware_version=OLD)
    assert driver.order is BY_URI


@pytest.mark.parametrize("forgets", [True, False])
def test_an_address_of_before_is_taken_back_before_a_package_is_written(driver, forgets):
    old = {"package_uri": "coap://host/fw/of-another-time", "delivery_method": 1, "firmware_version": OLD}
    driver.begin().answer(state=0, result=4, **old)
    assert driver.order is RESET
    driver.answer()
    assert driver.order is INSPECT
    driver.answer(state=0, result=0, **(old | {"package_uri": ""} if forgets else old))
    assert driver.order is BY_WRITE
    assert driver.orders.count(RESET) == 1
