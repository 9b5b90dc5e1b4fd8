"""A way that a device does not take is never tried twice, the next one is, and the end tells of all of them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import Protocol, TransferWay
from firmcast.upgrades.model import CommandFailure, ResourcesReported, TransferProgressed, UpgradePhase
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import LOST_TRANSFERS_LIMIT
from firmcast.upgrades.rules.ways import way_of
from firmcast.upgrades.state_machine import try_again

BY_URI, BY_WRITE, INSPECT, RESET = (
    CommandKind.TRANSFER_BY_URI,
    CommandKind.TRANSFER_BY_WRITE,
    CommandKind.INSPECT,
    CommandKind.RESET,
)
ALL = {"protocols": (0, 2, 3), "delivery_method": 2}
REFUSED = "4.00 bad request to the write of /5/0/1"


@pytest.fixture
def served(driver):
    """A platform that serves HTTPS, HTTP and CoAP, and a device that says that it takes all of them, and writes."""
    driver.limits = replace(driver.limits, protocols=(Protocol.HTTPS, Protocol.HTTP, Protocol.COAP))
    return driver


def idle(driver, result: int = 0, **more):
    """Let the device that is inspected be Idle, and list all ways."""
    return driver.answer(state=0, result=result, firmware_version="1.0", **{**ALL, **more})


def present(driver) -> TransferWay | None:
    return way_of(driver.upgrade.evidence)


def tried(driver) -> list[TransferWay]:
    return [refused.way for refused in driver.upgrade.evidence.refused_ways]


def test_each_way_that_is_refused_gives_way_to_the_next(served) -> None:
    idle(served.begin())
    assert (served.order, present(served)) == (BY_URI, TransferWay.HTTPS)
    served.fail(description=REFUSED, state=0, result=9)
    assert served.order is INSPECT
    idle(served, result=9)
    assert (served.order, present(served)) == (BY_URI, TransferWay.HTTP)
    served.fail(description=REFUSED, state=0, result=9)
    idle(served, result=9)
    assert (served.order, present(served)) == (BY_URI, TransferWay.COAP)
    served.fail(description="4.05 method not allowed to the write of /5/0/1")
    idle(served)
    assert (served.order, present(served)) == (BY_WRITE, TransferWay.WRITTEN)
    served.answer().answer(state=2, result=0)
    assert served.upgrade.phase is UpgradePhase.EXECUTING
    assert served.steps == [1, 2]


def test_when_none_is_left_the_end_tells_what_was_answered_to_each(served) -> None:
    idle(served.begin(), protocols=(0, 2))
    for answer in (REFUSED, "4.05 method not allowed to the write of /5/0/1"):
        served.fail(description=answer, state=0, result=9)
        idle(served, result=9, protocols=(0, 2))
    served.fail(description="5.01 not implemented to the write of /5/0/0", state=0, result=0)
    assert served.upgrade.phase is UpgradePhase.CLOSED
    assert served.upgrade.description == (
        f"{wording.NO_WAY_LEFT}: fetched by HTTP: {REFUSED}, result 9;"
        " fetched by CoAP: 4.05 method not allowed to the write of /5/0/1, result 9;"
        " written: 5.01 not implemented to the write of /5/0/0"
    )
    assert served.steps == []
    assert served.upgrade.retryable


def test_the_only_way_fails_as_it_is_and_names_no_other(served) -> None:
    idle(served.begin(), protocols=(0,), delivery_method=0)
    served.fail(description=REFUSED, state=0, result=9)
    assert served.upgrade.description == "The device does not support the protocol of the package address"


@pytest.mark.parametrize("result", [7, 9])
def test_an_address_that_is_taken_and_then_found_useless_gives_way_too(served, result: int) -> None:
    idle(served.begin())
    served.answer().notify(state=1, result=0).notify(state=0, result=result)
    assert served.order is INSPECT
    idle(served, result=result)
    assert (served.order, present(served)) == (BY_URI, TransferWay.HTTP)
    assert tried(served) == [TransferWay.HTTPS]
    assert served.steps == [1, 0]


@pytest.mark.parametrize("result", [0, 3, 4, 8])
def test_a_transfer_that_is_lost_as_often_as_it_may_be_is_made_in_another_way(served, result: int) -> None:
    idle(served.begin())
    for _ in range(5):
        assert present(served) is TransferWay.HTTPS
        served.answer().notify(state=1, result=0).notify(state=0, result=result)
        if served.order is None:
            served.pass_deadline()  # what is out of memory is left alone for a while
        idle(served, result=result)
    assert present(served) is TransferWay.HTTP
    assert served.upgrade.evidence.lost_transfers == 0
    assert "5 times" in served.upgrade.evidence.refused_ways[0].answer


def test_update_failed_is_about_the_package_once_it_was_sent_whole(served) -> None:
    """Zephyr tells it of every download that finds no way, and LiteOS of every one that breaks off."""
    idle(served.begin(), protocols=(0,), delivery_method=0)
    for _ in range(2):
        assert served.order is BY_URI
        served.answer().notify(state=1, result=0)
        served.tell(TransferProgressed(finished=False)).notify(state=0, result=8)
        idle(served, result=8, protocols=(0,), delivery_method=0)
    served.answer().notify(state=1, result=0)
    served.tell(TransferProgressed(finished=False)).tell(TransferProgressed(finished=True))
    served.notify(state=0, result=8)
    assert served.upgrade.phase is UpgradePhase.CLOSED
    assert served.upgrade.description == wording.describe_failure(8)


def test_update_failed_of_every_download_ends_with_those_words(served) -> None:
    idle(served.begin(), protocols=(0,), delivery_method=0)
    times = 0
    while served.order is BY_URI:
        times += 1
        served.answer().notify(state=1, result=0).notify(state=0, result=8)
        if served.order is INSPECT:
            idle(served, result=8, protocols=(0,), delivery_method=0)
    assert times == LOST_TRANSFERS_LIMIT
    assert served.upgrade.description == wording.describe_failure(8)


@pytest.mark.parametrize("result", [2, 5, 6])
def test_what_is_said_of_the_package_is_no_matter_of_the_way(served, result: int) -> None:
    idle(served.begin())
    served.fail(description=REFUSED, state=0, result=9)
    idle(served, result=9)
    attempts = 2 if result == 5 else 1
    for _ in range(attempts):
        served.answer().notify(state=1, result=0).notify(state=0, result=result)
        if served.order is INSPECT:
            idle(served, result=result)
    assert served.upgrade.description == wording.describe_failure(result)
    assert tried(served) == [TransferWay.HTTPS]


def test_a_written_package_that_is_refused_in_the_middle_is_dropped_first_and_then_fetched(served) -> None:
    served.limits = replace(served.limits, prefer_write=True)
    idle(served.begin())
    assert served.order is BY_WRITE
    served.fail(description="4.08 request entity incomplete to the write of /5/0/0", state=1, result=0)
    served.answer(state=1, result=0, **ALL)
    assert served.order is RESET
    served.answer(state=0, result=0)
    idle(served)
    assert (served.order, present(served)) == (BY_URI, TransferWay.HTTPS)
    assert served.steps == [1, 0]


def test_a_written_package_of_which_blocks_are_missing_again_and_again_goes_anew_where_there_is_no_other_way(driver):
    push_only = {"delivery_method": 1, "firmware_version": "1.0"}
    driver.begin().answer(state=0, result=0, **push_only)
    missing = {"description": "4.08 request entity incomplete to the write of /5/0/0", "state": 0, "result": 0}
    times = 0
    while driver.order is BY_WRITE:
        times += 1
        driver.tell(TransferProgressed(finished=False)).fail(CommandFailure.BROKEN_OFF, **missing)
        assert driver.order is INSPECT
        driver.answer(state=0, result=0, **push_only)
    assert times == LOST_TRANSFERS_LIMIT
    assert driver.upgrade.description == wording.DROPPED


def test_a_device_that_misses_blocks_before_it_took_any_has_refused_the_package(driver):
    driver.begin().answer(state=0, result=0, delivery_method=1, firmware_version="1.0")
    driver.fail(CommandFailure.BROKEN_OFF, description="4.08 request entity incomplete", state=0, result=0)
    assert driver.upgrade.phase is UpgradePhase.CLOSED
    assert "refused the package" in driver.upgrade.description


def test_a_package_that_came_whole_though_a_repeated_block_seemed_to_be_missing_is_installed(driver):
    driver.begin().answer(state=0, result=0, delivery_method=1, firmware_version="1.0")
    driver.fail(CommandFailure.BROKEN_OFF, state=2, result=0)
    assert driver.order is CommandKind.EXECUTE


def test_an_address_given_twice_over_a_crash_is_not_refused(served) -> None:
    idle(served.begin())
    served.fail(description=REFUSED, state=1, result=0)
    assert (tried(served), served.order) == ([], None)


def test_what_did_not_work_before_is_tried_last(served) -> None:
    avoided = (TransferWay.HTTPS, TransferWay.HTTP, TransferWay.COAP)
    idle(served.begin(), avoided_ways=avoided)
    assert present(served) is TransferWay.WRITTEN
    served.fail(description="4.05 method not allowed to the write of /5/0/0", state=0, result=0)
    idle(served, avoided_ways=avoided)
    assert present(served) is TransferWay.HTTPS


def test_a_restart_and_a_registration_forget_nothing(served) -> None:
    idle(served.begin())
    served.fail(description=REFUSED, state=0, result=9)
    idle(served.restart_gateway(), result=9)
    assert present(served) is TransferWay.HTTP
    idle(served.register(), result=9)
    assert (present(served), tried(served)) == (TransferWay.HTTP, [TransferWay.HTTPS])


def test_another_attempt_tries_all_ways(served) -> None:
    idle(served.begin(), protocols=(2,), delivery_method=0)
    served.fail(description=REFUSED, state=0, result=0)
    served.upgrade = try_again(served.upgrade, served.now, "another-token")
    assert served.upgrade.evidence.refused_ways == ()


def test_nothing_is_sent_otherwise_when_the_time_is_over(served) -> None:
    idle(served.begin())
    served.now += timedelta(hours=2)
    served.fail(description=REFUSED, state=0, result=0)
    assert served.upgrade.phase is UpgradePhase.CLOSED
    assert served.upgrade.description.startswith("The device refused the address of the package")


def test_a_device_that_lists_other_ways_meanwhile_is_sent_what_it_lists_now(served) -> None:
    idle(served.begin())
    served.fail(description=REFUSED, state=0, result=9)
    idle(served, protocols=(3,), delivery_method=0)
    assert served.upgrade.description == f"{wording.NO_WAY_LEFT}: fetched by HTTPS: {REFUSED}, result 9"


def test_a_device_whose_secure_ways_do_not_work_is_not_led_to_one_in_clear(served) -> None:
    served.limits = replace(served.limits, http_in_clear=True)
    listed = {"protocols": (2, 3), "delivery_method": 0, "is_secure": True}
    idle(served.begin(), **listed)
    assert present(served) is TransferWay.HTTPS
    served.fail(description=REFUSED, state=0, result=9)
    assert served.upgrade.phase is UpgradePhase.CLOSED
    assert TransferWay.HTTP not in tried(served)


def test_a_device_with_a_session_that_lists_http_alone_is_told_which_setting_helps(served) -> None:
    listed = {"protocols": (2,), "delivery_method": 0, "is_secure": True}
    idle(served.begin(), **listed)
    assert served.upgrade.description == (
        "Unsupported protocol: the device fetches packages only, and by none that is offered to it: it takes HTTP, and"
        " is offered HTTPS; a device with a secure session is offered HTTP, which is in clear, only if"
        " upgrades.http_in_clear allows it"
    )


ANSWERS = st.sampled_from(
    [
        ("failed", CommandFailure.REJECTED, ResourcesReported(state=0, result=9)),
        ("failed", CommandFailure.REJECTED, ResourcesReported(state=0, result=0)),
        ("failed", CommandFailure.REJECTED, ResourcesReported(state=1, result=0)),
        ("failed", CommandFailure.REJECTED, ResourcesReported()),
        ("failed", CommandFailure.UNREACHABLE, ResourcesReported()),
        ("answered", None, ResourcesReported(state=0, result=0, **ALL)),
        ("answered", None, ResourcesReported(state=0, result=4, **ALL)),
        ("answered", None, ResourcesReported(state=0, result=7, **ALL)),
        ("answered", None, ResourcesReported(state=1, result=0, **ALL)),
        ("registers", None, None),
        ("restarts", None, None),
        ("waits", None, None),
    ]
)


@settings(max_examples=200)
@given(answers=st.lists(ANSWERS, max_size=60), prefer_write=st.booleans())
def test_no_way_is_tried_again_once_it_was_refused(make_driver, answers, prefer_write: bool) -> None:
    driver = make_driver()
    http_too = (Protocol.HTTPS, Protocol.HTTP, Protocol.COAP)
    driver.limits = replace(driver.limits, protocols=http_too, prefer_write=prefer_write)
    driver.begin()
    refused: tuple = ()
    for how, failure, resources in answers:
        if driver.upgrade.phase is UpgradePhase.CLOSED:
            break
        given_up, orders = {each.way for each in refused}, len(driver.orders)
        if how == "registers":
            driver.register()
        elif how == "restarts":
            driver.restart_gateway()
        elif driver.order is None or how == "waits":
            driver.pass_deadline()
        elif how == "failed":
            driver.fail(failure, **fields_of(resources))
        else:
            driver.answer(**fields_of(resources))
        evidence = driver.upgrade.evidence
        if {BY_URI, BY_WRITE} & set(driver.orders[orders:]):
            assert present(driver) not in given_up
            assert present(driver) not in tried(driver)
        if driver.upgrade.phase is not UpgradePhase.CLOSED:
            assert evidence.refused_ways[: len(refused)] == refused, "nothing is forgotten"
        refused = evidence.refused_ways
        assert len({each.way for each in refused}) == len(refused)


def fields_of(resources: ResourcesReported) -> dict:
    names = ("state", "result", "protocols", "delivery_method")
    return {name: getattr(resources, name) for name in names}
