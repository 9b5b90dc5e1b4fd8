"""A device whose gateway is dead is not judged by its silence, and has its time once more when somebody holds it."""

from datetime import timedelta

import pytest
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.upgrades.model import FellAsleep, SessionRenewed, UpgradePhase
from firmcast.upgrades.rules.turn import LEFT_ALONE_LIMIT
from firmcast.upgrades.state_machine import put_off

GATEWAY_DIED = SessionRenewed(newly_registered=False, was_unattended=True)


def verifying(driver):
    return driver.executing().register()


PHASES = [
    (lambda driver: driver.begin(), UpgradePhase.INSPECTING),
    (lambda driver: driver.transferring(), UpgradePhase.TRANSFERRING),
    (lambda driver: driver.executing(), UpgradePhase.EXECUTING),
    (verifying, UpgradePhase.VERIFYING),
]


@pytest.mark.parametrize(("bring", "phase"), PHASES)
def test_a_device_that_nobody_could_ask_is_judged_later(driver, bring, phase):
    bring(driver)
    for _ in range(3):
        driver.now = driver.upgrade.deadline_at + timedelta(hours=3)
        decision = put_off(driver.upgrade, driver.now, driver.limits)
        assert (decision.command, decision.withdraw, decision.facts) == (None, False, ())
        assert decision.upgrade == structs.replace(driver.upgrade, deadline_at=driver.now + driver.limits.probe)
        driver.upgrade = decision.upgrade
    early = put_off(driver.upgrade, driver.now, driver.limits)
    assert early.upgrade == driver.upgrade


@pytest.mark.parametrize(("bring", "phase"), PHASES)
@pytest.mark.parametrize("probed", [False, True])
def test_whoever_is_held_again_has_the_time_of_its_phase_once_more(driver, bring, phase, probed):
    bring(driver)
    if probed:
        while not driver.upgrade.probed:
            driver.pass_deadline()
    driver.now += timedelta(hours=10)
    driver.tell(GATEWAY_DIED)
    upgrade = driver.upgrade
    assert (upgrade.phase, upgrade.probed, driver.order) == (phase, False, CommandKind.INSPECT)
    assert upgrade.phase_ends_at == driver.now + driver.limits.of(phase)
    assert driver.now < upgrade.deadline_at <= upgrade.phase_ends_at


def test_gateways_that_die_again_and_again_do_not_keep_an_upgrade_open(driver):
    driver.transferring()
    for _ in range(LEFT_ALONE_LIMIT):
        driver.now += timedelta(hours=1)
        driver.tell(GATEWAY_DIED)
    ends_at = driver.upgrade.phase_ends_at
    driver.now += timedelta(minutes=30)
    driver.tell(GATEWAY_DIED)
    assert driver.upgrade.phase_ends_at == ends_at


def test_a_device_that_comes_back_to_another_gateway_by_itself_has_time_to_prove_itself(driver):
    driver.executing()
    driver.now += timedelta(hours=10)
    driver.tell(SessionRenewed(newly_registered=True, was_unattended=True))
    assert driver.upgrade.phase is UpgradePhase.VERIFYING
    assert driver.upgrade.phase_ends_at == driver.now + driver.limits.verifying


def test_a_device_that_only_goes_over_gains_no_time(driver):
    driver.transferring()
    ends_at = driver.upgrade.phase_ends_at
    driver.now += timedelta(minutes=50)
    driver.restart_gateway()
    assert driver.upgrade.phase_ends_at == ends_at


def test_whoever_slept_meanwhile_goes_on_sleeping_and_is_awake_where_it_shows_itself(driver):
    driver.transferring()
    driver.tell(FellAsleep(registered_until=driver.now + timedelta(hours=20)))
    asleep_since, deadline_at = driver.now, driver.upgrade.deadline_at
    driver.now += timedelta(hours=10)
    driver.tell(GATEWAY_DIED)
    assert driver.upgrade.evidence.asleep_since == asleep_since
    assert driver.upgrade.deadline_at == deadline_at
    assert driver.upgrade.phase_ends_at == driver.now + driver.limits.transferring
    driver.tell(structs.replace(GATEWAY_DIED, was_heard=True))
    assert driver.upgrade.evidence.asleep_since is None
    assert driver.upgrade.phase_ends_at == driver.now + driver.limits.transferring


def test_the_end_of_a_window_is_not_put_off(driver):
    driver.transferring()
    end = driver.now + timedelta(minutes=5)
    driver.upgrade = structs.replace(driver.upgrade, window_end=end, phase_ends_at=end, deadline_at=driver.now)
    later = put_off(driver.upgrade, driver.now + timedelta(minutes=4), driver.limits)
    assert later.upgrade.deadline_at == end
    over = put_off(later.upgrade, end, driver.limits)
    assert over.command is CommandKind.PROBE
    driver.upgrade = structs.replace(driver.upgrade, phase=UpgradePhase.EXECUTING)
    assert put_off(driver.upgrade, end, driver.limits).command is None


def test_whoever_is_waited_for_is_given_up_as_ever(driver):
    driver.begin(online=False)
    over = put_off(driver.upgrade, driver.upgrade.deadline_at, driver.limits)
    assert over.upgrade.phase is UpgradePhase.CLOSED
