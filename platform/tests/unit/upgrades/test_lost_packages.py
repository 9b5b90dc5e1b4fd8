"""A device that has lost its package before it installed it is sent it again, as often as that is sensible."""

from datetime import timedelta

import pytest
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.upgrades.model import CommandFailure, StopRequested, Tally, UpgradePhase
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.lost_packages import LOST_PACKAGES_LIMIT

EXECUTE, INSPECT, PROBE, RESET = CommandKind.EXECUTE, CommandKind.INSPECT, CommandKind.PROBE, CommandKind.RESET
BY_URI, BY_WRITE = CommandKind.TRANSFER_BY_URI, CommandKind.TRANSFER_BY_WRITE
NEW, OLD = "2.0", "1.0"
OURS = "coap://host/fw/token"
EMPTY = {"state": 0, "result": 0, "firmware_version": OLD}
METHODS = pytest.mark.parametrize(("method", "sending"), [(0, BY_URI), (1, BY_WRITE)], ids=["pull", "push"])


def told_to_install(driver, method=0):
    """Bring it to where the order to install waits for an answer."""
    driver.transferring(delivery_method=method).answer()
    if driver.order is PROBE:
        driver.answer(state=2, result=0)
    else:
        driver.notify(state=1, result=0).notify(state=2)
    assert driver.order is EXECUTE
    return driver


def take_again(driver, method=0):
    """Let it be inspected, and sent the package once more."""
    assert driver.order is INSPECT
    driver.answer(**EMPTY, delivery_method=method)
    assert driver.upgrade.phase is UpgradePhase.TRANSFERRING


@METHODS
def test_a_package_that_went_with_the_power_is_sent_again_and_installed(driver, method, sending):
    told_to_install(driver, method).register().answer(**EMPTY, delivery_method=method)
    assert driver.steps == [1, 2, 0]
    take_again(driver, method)
    assert driver.orders.count(sending) == 2
    driver.answer()
    if method:
        driver.answer(state=2, result=0)
    else:
        driver.notify(state=1).notify(state=2)
    assert driver.order is EXECUTE
    driver.answer().notify(state=3).register().answer(state=0, result=1, firmware_version=NEW)
    assert driver.steps == [1, 2, 0, 1, 2, 3, 0]
    assert driver.ends[-1].outcome is Outcome.SUCCEEDED


@METHODS
def test_it_is_sent_again_so_often_and_then_waited_for(driver, method, sending):
    told_to_install(driver, method)
    for _ in range(LOST_PACKAGES_LIMIT):
        driver.register().answer(**EMPTY, delivery_method=method)
        take_again(driver, method)
        driver.answer()
        driver.answer(state=2, result=0) if method else driver.notify(state=1).notify(state=2)
        assert driver.order is EXECUTE
    driver.register()
    while not driver.ends:
        driver.answer(**EMPTY) if driver.order else driver.pass_deadline()
    assert driver.orders.count(sending) == 1 + LOST_PACKAGES_LIMIT
    assert driver.steps == [*[1, 2, 0] * LOST_PACKAGES_LIMIT, 1, 2, 0]
    assert driver.ends[-1].description == wording.NO_EVIDENCE


def test_a_lost_connection_that_is_told_after_a_restart_is_of_the_download(driver):
    told_to_install(driver).register().answer(state=0, result=4, firmware_version=OLD)
    assert driver.ends == []
    take_again(driver)
    assert driver.order is BY_URI


def test_what_is_told_unasked_is_asked_about_first(driver):
    told_to_install(driver).register().fail(CommandFailure.UNREACHABLE).notify(state=0, result=4)
    assert (driver.order, driver.steps) == (PROBE, [1, 2])
    driver.answer(state=0, result=4, firmware_version=OLD)
    assert driver.steps == [1, 2, 0]
    take_again(driver)


def test_who_refuses_the_order_to_install_and_is_idle_is_looked_at_at_once(driver):
    told_to_install(driver).fail(description="4.05 Method Not Allowed", state=0, result=0)
    assert (driver.order, driver.steps) == (INSPECT, [1, 2])
    driver.answer(**EMPTY)
    take_again(driver)
    assert driver.order is BY_URI
    assert driver.steps == [1, 2, 0]


def test_who_refuses_the_repeat_of_an_order_that_it_obeyed_is_told_as_updating(driver):
    told_to_install(driver).fail(description="4.05 Method Not Allowed", state=0, result=0)
    driver.answer(**{**EMPTY, "firmware_version": NEW}).register().answer(**{**EMPTY, "firmware_version": NEW})
    assert driver.steps == [1, 2, 3, 0]
    assert driver.ends[-1].outcome is Outcome.SUCCEEDED


def test_who_has_the_package_all_the_same_is_told_to_install(driver):
    told_to_install(driver).register().answer(**EMPTY)
    driver.answer(state=2, result=0, firmware_version=OLD, package_uri=OURS)
    assert driver.order is EXECUTE
    assert driver.steps == [1, 2, 0, 1, 2]


def test_who_kept_the_registration_is_sent_it_again_when_the_time_is_over(driver):
    told_to_install(driver).fail(CommandFailure.UNREACHABLE)
    began = driver.now
    while driver.upgrade.phase is UpgradePhase.EXECUTING:
        driver.answer(**EMPTY) if driver.order else driver.pass_deadline()
    assert driver.now - began == driver.limits.executing
    take_again(driver)
    assert driver.order is BY_URI


@METHODS
def test_who_downloads_again_by_itself_has_the_time_of_a_download(driver, method, sending):
    told_to_install(driver, method).register().answer(state=1, result=0, firmware_version=OLD, package_uri=OURS)
    assert driver.upgrade.phase is UpgradePhase.TRANSFERRING
    assert driver.upgrade.phase_ends_at - driver.now == driver.limits.transferring
    assert driver.steps == [1, 2, 0, 1]
    assert driver.orders.count(sending) == 1
    driver.answer(state=1, result=0, firmware_version=OLD, package_uri=OURS)
    if method:
        # What is written cannot go on: it begins anew.
        assert driver.order is RESET
        return
    driver.notify(state=2)
    assert driver.order is EXECUTE
    assert driver.steps == [1, 2, 0, 1, 2]


def test_who_put_the_installation_off_may_lose_the_package_meanwhile(driver):
    told_to_install(driver).answer().notify(state=2, result=11)
    since = driver.upgrade.evidence.deferred_since
    driver.now += timedelta(minutes=10)
    driver.register().answer(**EMPTY)
    assert driver.steps == [1, 2, 0]
    assert driver.upgrade.description == ""
    take_again(driver)
    driver.answer().notify(state=1, result=0).notify(state=2)
    assert driver.order is EXECUTE
    driver.answer().notify(state=2, result=11)
    assert driver.upgrade.evidence.deferred_since == since, "the time for deferrals is that of all of them"


def test_whose_installation_has_begun_is_not_sent_anything(driver):
    told_to_install(driver).answer().register().answer(**EMPTY)
    assert driver.upgrade.phase is UpgradePhase.VERIFYING
    assert driver.orders.count(BY_URI) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"state": 0, "result": 8, "firmware_version": OLD},
        {"state": 0, "result": 0, "firmware_version": "1.7"},
        {"state": 0, "result": 0, "firmware_version": NEW},
        {"state": 3, "result": 0, "firmware_version": OLD},
        {"state": 2, "result": 0, "firmware_version": OLD},
    ],
)
def test_who_shows_anything_of_an_installation_is_not_sent_anything(driver, told):
    told_to_install(driver).register().answer(**told)
    assert driver.upgrade.phase is not UpgradePhase.TRANSFERRING
    assert driver.orders.count(BY_URI) == 1


def test_who_was_to_be_stopped_is_stopped_when_it_has_nothing_to_install(driver):
    told_to_install(driver).tell(StopRequested()).register().answer(**EMPTY)
    assert driver.upgrade.tally is Tally.STOPPED
    assert driver.steps == [1, 2, 0]


def test_nothing_is_sent_again_after_the_window(driver):
    told_to_install(driver)
    driver.upgrade = structs.replace(driver.upgrade, window_end=driver.now)
    driver.register().answer(**EMPTY)
    assert driver.upgrade.phase is UpgradePhase.VERIFYING
    assert driver.orders.count(BY_URI) == 1
