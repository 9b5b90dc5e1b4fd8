"""Every text that the vendor has for an end is used for that end, letter by letter; the table is written by hand."""

import pytest

from firmcast.devices.model import CommandKind
from firmcast.upgrades.model import CommandFailure
from firmcast.upgrades.rules import wording
from firmcast.upgrades.state_machine import refuse

VENDORS = {
    "Device Abnormal is not online",
    "Task Conflict",
    "Waiting for the device online timeout",
    "Waiting for report device firmware version timeout",
    "Waiting for device downloaded package timeout",
    "Wait for the device to report upgrade result timeout",
    "Updating timeout and query device version for check timeout",
    "Integrity check failure for new downloaded package",
    "Unsupported package type",
    "Not enough storage for the new firmware package",
    "Out of memory during downloading process",
    "Connection lost during downloading process",
    "Invalid URI",
    "Firmware update failed",
    "The current version is the same as the target version",
    "The task failed to start, unable to find protocol service based on device information",
}
"""All but the one about cell ids, which are not asked for here."""


def never_comes(driver):
    driver.begin(online=False).pass_deadline()


def is_unreachable_until_the_end(driver):
    driver.begin().fail(CommandFailure.UNREACHABLE).pass_deadline()


def does_not_answer_the_inspection(driver):
    driver.begin().pass_deadline().pass_deadline()


def never_has_the_package(driver):
    pass_all(driver.transferring())


def never_tells_a_result(driver):
    pass_all(driver.executing().answer().notify(state=3))


def comes_back_and_is_silent(driver):
    pass_all(driver.executing().answer().notify(state=3).register())


def runs_it_already(driver):
    driver.begin().answer(state=0, result=0, firmware_version="2.0")


def has_no_firmware_object(driver):
    driver.begin().answer(firmware_version="1.0")


def is_in_another_task(driver):
    driver.upgrade = refuse(driver.upgrade, driver.now, driver.limits).upgrade


def result(number):
    def fails(driver):
        driver.transferring().answer().notify(state=1, result=0).notify(state=0, result=number)

    return fails


def loses_every_transfer(number):
    def fails(driver):
        driver.transferring()
        while driver.upgrade.ended_at is None:
            if driver.order is CommandKind.TRANSFER_BY_URI:
                driver.answer().notify(state=1, result=0).notify(state=0, result=number)
            elif driver.order is CommandKind.INSPECT:
                driver.answer(state=0, result=number, firmware_version="1.0", delivery_method=0)
            else:
                driver.pass_deadline()

    return fails


def puts_it_off_for_ever(driver):
    driver.executing().answer().notify(state=2, result=11)
    while driver.upgrade.ended_at is None:
        driver.pass_deadline()
        if driver.order is CommandKind.PROBE:
            driver.answer(state=2, result=11)


def fails_to_install(driver):
    driver.executing().answer().notify(state=3).notify(state=0, result=8)


def comes_back_idle_with_nothing(driver):
    driver.executing().answer().notify(state=3).register().answer(state=0, result=0, firmware_version="1.0")
    while driver.upgrade.ended_at is None:
        driver.pass_deadline()
        if driver.order is CommandKind.PROBE:
            driver.answer(state=0, result=0, firmware_version="1.0")


def keeps_the_package(driver):
    driver.executing().answer().notify(state=3).notify(state=2, result=0)


def drops_the_package(driver):
    driver.transferring(delivery_method=1).answer().answer(state=0, result=0)
    while driver.upgrade.ended_at is None:
        driver.pass_deadline()
        if driver.order is CommandKind.INSPECT:
            driver.answer(state=0, result=0, firmware_version="1.0", delivery_method=1)


def pass_all(driver):
    while driver.upgrade.ended_at is None:
        driver.pass_deadline()


EXACT = [
    (is_unreachable_until_the_end, "Device Abnormal is not online"),
    (is_in_another_task, "Task Conflict"),
    (never_comes, "Waiting for the device online timeout"),
    (does_not_answer_the_inspection, "Waiting for report device firmware version timeout"),
    (never_has_the_package, "Waiting for device downloaded package timeout"),
    (never_tells_a_result, "Wait for the device to report upgrade result timeout"),
    (comes_back_and_is_silent, "Updating timeout and query device version for check timeout"),
    (loses_every_transfer(5), "Integrity check failure for new downloaded package"),
    (result(6), "Unsupported package type"),
    (result(2), "Not enough storage for the new firmware package"),
    (loses_every_transfer(3), "Out of memory during downloading process"),
    (loses_every_transfer(4), "Connection lost during downloading process"),
    (result(7), "Invalid URI"),
    (fails_to_install, "Firmware update failed"),
    (runs_it_already, "The current version is the same as the target version"),
]
WITH_MORE = [
    (has_no_firmware_object, wording.NO_FIRMWARE_OBJECT),
    (comes_back_idle_with_nothing, wording.NO_EVIDENCE),
    (keeps_the_package, wording.PACKAGE_KEPT),
    (puts_it_off_for_ever, wording.DEFERRED_TOO_LONG),
    (drops_the_package, wording.DROPPED),
]


@pytest.mark.parametrize(("happens", "words"), [*EXACT, *WITH_MORE])
def test_an_end_has_its_words(driver, happens, words):
    happens(driver)
    assert driver.upgrade.description == words
    assert words.split(": ")[0] in VENDORS


def test_no_text_of_the_vendor_is_left_unused():
    used = {words.split(": ")[0] for _, words in (*EXACT, *WITH_MORE)}
    assert used == VENDORS


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        (wording.BUSY, "Task Conflict"),
        (wording.OLD_VERSION, "Firmware update failed"),
        (wording.NO_EVIDENCE, "Firmware update failed"),
        (wording.PACKAGE_KEPT, "Firmware update failed"),
        (wording.DROPPED, "Connection lost during downloading process"),
    ],
)
def test_what_tells_more_begins_with_the_vendors_words(words, beginning):
    assert words.startswith(f"{beginning}: ")
    assert beginning in VENDORS
