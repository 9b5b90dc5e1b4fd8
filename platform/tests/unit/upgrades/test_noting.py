"""What is noted of a decision says what was heard, in which phase, and what it led to."""

from datetime import UTC, datetime

import pytest

from firmcast.events.model import Outcome
from firmcast.journal.model import Decision
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeadlinePassed,
    FellAsleep,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    StopRequested,
    TaskBegan,
    TransferProgressed,
)
from firmcast.upgrades.noting import describe_resources, note_of
from firmcast.upgrades.state_machine import advance, put_off, refuse


def noted(driver, told) -> Decision:
    before = driver.upgrade
    decision = advance(before, told, driver.now, driver.limits)
    what = note_of(before, decision, driver.now).note.what
    assert isinstance(what, Decision)
    return what


def test_a_beginning(driver) -> None:
    what = noted(driver, TaskBegan(online=True))
    assert (what.heard, what.told, what.before, what.after) == (
        "task_began", "the device can be talked to", "scheduled", "inspecting",
    )  # fmt: skip
    assert (what.order, what.withdrawn, what.outcome) == ("inspect", False, "")
    assert what.deadline_at is not None
    assert what.phase_ends_at == driver.now + driver.limits.inspecting


def test_an_order_is_told_by_its_kind_with_what_came_back(driver) -> None:
    driver.begin()
    answered = CommandAnswered(
        command_id=driver.upgrade.command_id,
        resources=ResourcesReported(state=0, result=7, firmware_version="1.0", delivery_method=0),
    )
    what = noted(driver, answered)
    assert what.heard == "inspect_answered"
    assert what.told.startswith("state 0 idle, result 7: the device could not use the address")
    assert (what.after, what.order) == ("transferring", "transfer_by_uri")
    failed = CommandFailed(
        command_id=driver.upgrade.command_id, failure=CommandFailure.UNREACHABLE, description="no answer"
    )
    what = noted(driver, failed)
    assert (what.heard, what.told) == ("inspect_failed", "unreachable: no answer")


def test_a_verdict_has_the_words_that_applications_are_told(driver) -> None:
    driver.executing().notify(state=3).register()
    what = noted(
        driver,
        CommandAnswered(
            command_id=driver.upgrade.command_id,
            resources=ResourcesReported(state=0, result=8, firmware_version="1.0"),
        ),
    )
    assert (what.after, what.outcome, what.description) == (
        "closed", Outcome.FAILED.value, "Firmware update failed",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (SessionRenewed(newly_registered=True), "registered"),
        (SessionRenewed(newly_registered=False), "gateway_started"),
        (SessionRenewed(newly_registered=False, was_heard=True), "came_from_another_gateway"),
        (SeenAlive(), "registration_updated"),
        (SeenAlive(updated=False), "woke_up"),
        (FellAsleep(registered_until=datetime(2026, 1, 2, tzinfo=UTC)), "fell_asleep"),
        (ResourcesReported(state=2), "resources_told"),
        (TransferProgressed(finished=False), "first_block"),
        (TransferProgressed(finished=True), "last_block"),
        (StopRequested(), "stop_requested"),
    ],
)
def test_each_input_has_a_word(driver, told, word) -> None:
    assert noted(driver.transferring(), told).heard == word


def test_time_that_is_over_has_one(driver) -> None:
    driver.transferring()
    driver.now = driver.upgrade.deadline_at
    assert noted(driver, DeadlinePassed()).heard == "deadline_passed"


def test_a_way_that_is_given_up_is_named_with_what_was_answered(driver) -> None:
    driver.transferring(delivery_method=2)
    refused = CommandFailed(
        command_id=driver.upgrade.command_id, failure=CommandFailure.REJECTED, description="4.05 not allowed"
    )
    what = noted(driver, refused)
    assert (what.way_given_up, what.why_given_up, what.was_left) == ("coap", "4.05 not allowed", False)
    assert noted(driver.tell(refused), SeenAlive()).way_given_up == ""


def test_a_device_that_is_in_another_upgrade(driver) -> None:
    decision = refuse(driver.upgrade, driver.now, driver.limits)
    what = note_of(driver.upgrade, decision, driver.now).note.what
    assert isinstance(what, Decision)
    assert (what.heard, what.outcome, what.description) == ("device_busy", "failed", "Task Conflict")


def test_a_device_whose_gateway_is_dead(driver) -> None:
    driver.transferring()
    at = driver.upgrade.deadline_at
    what = note_of(driver.upgrade, put_off(driver.upgrade, at, driver.limits), at).note.what
    assert isinstance(what, Decision)
    assert (what.heard, what.before, what.after) == ("gateway_dead", "transferring", "transferring")
    assert what.deadline_at == at + driver.limits.probe


def test_a_state_that_the_object_does_not_name_is_told_as_such() -> None:
    assert describe_resources(ResourcesReported(state=9, result=99)) == (
        "state 9, which is none, result 99: the device reported the unknown result 99"
    )
