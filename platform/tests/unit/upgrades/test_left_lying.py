"""An address that is taken and let lie gives way to the next way; who sleeps, was away or has asked keeps its own."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import Protocol, TransferWay
from firmcast.upgrades.model import CommandFailure, DeadlinePassed, SeenAlive, TransferProgressed, UpgradePhase
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import leaves_it
from firmcast.upgrades.rules.ways import way_of

BY_URI, BY_WRITE, INSPECT, RESET = (
    CommandKind.TRANSFER_BY_URI,
    CommandKind.TRANSFER_BY_WRITE,
    CommandKind.INSPECT,
    CommandKind.RESET,
)
ALL = {"protocols": (0, 2), "delivery_method": 2}
WAIT = timedelta(minutes=5)


@pytest.fixture
def served(driver):
    """A platform that serves HTTP and CoAP, and a device that says that it takes both, and writes."""
    return serve(driver)


def serve(driver):
    driver.limits = replace(driver.limits, protocols=(Protocol.HTTP, Protocol.COAP), fetching=WAIT)
    return driver


def tells(driver, state: int = 0, result: int = 0, **more):
    return driver.answer(state=state, result=result, firmware_version="1.0", **{**ALL, **more})


def present(driver) -> TransferWay | None:
    return way_of(driver.upgrade.evidence)


def left(driver) -> list[tuple[TransferWay, bool]]:
    return [(refused.way, refused.was_left) for refused in driver.upgrade.evidence.refused_ways]


def stay(driver, state: int, duration: timedelta) -> None:
    """Let a device that answers whatever it is asked stay in a state for a time, until it is told to reset."""
    until = driver.now + duration
    while driver.order is not RESET:
        if driver.order is BY_URI:
            driver.answer()
        elif driver.order is not None:
            tells(driver, state)
        elif driver.upgrade.deadline_at > until:
            driver.now = until
            return
        else:
            driver.pass_deadline()


@pytest.mark.parametrize("state", [0, 1])
def test_an_address_that_lies_gives_way_to_the_next_way(served, state: int) -> None:
    began = tells(served.begin()).now
    stay(served, state, timedelta(hours=1))
    assert served.order is RESET
    assert timedelta(0) <= served.now - began - WAIT <= served.limits.probe
    assert left(served) == [(TransferWay.HTTP, True)]
    served.answer(state=0, result=0)
    tells(served)
    assert (served.order, present(served)) == (BY_URI, TransferWay.COAP)
    served.answer().notify(state=1).notify(state=2)
    assert served.upgrade.phase is UpgradePhase.EXECUTING
    assert served.steps == ([1, 0] if state else []) + [1, 2]


def test_each_way_has_a_time_of_its_own_and_the_last_has_the_rest(served) -> None:
    began = tells(served.begin()).now
    for _ in range(2):
        stay(served, 1, timedelta(hours=1))
        served.answer(state=0, result=0)
        tells(served)
    assert served.order is BY_WRITE
    assert served.now - began <= 2 * (WAIT + served.limits.probe)
    served.fail(description="5.01 not implemented to the write of /5/0/0", state=0, result=0)
    assert served.upgrade.description == (
        f"{wording.NO_WAY_LEFT}: fetched by HTTP: {wording.NOT_ASKED_FOR}; fetched by CoAP: {wording.NOT_ASKED_FOR};"
        " written: 5.01 not implemented to the write of /5/0/0"
    )


def test_the_only_way_is_waited_for_to_the_end(served) -> None:
    only = {"protocols": (2,), "delivery_method": 0}
    tells(served.begin(), **only).answer()
    while served.upgrade.phase is not UpgradePhase.CLOSED:
        assert served.order is not RESET
        if served.order is None:
            served.pass_deadline()
        else:
            tells(served, 1, **only)
    assert served.upgrade.description == wording.TIMEOUTS[UpgradePhase.TRANSFERRING]
    assert left(served) == []


@pytest.mark.parametrize("comes_first", [True, False])
def test_one_that_has_asked_for_a_byte_has_all_the_time(served, comes_first: bool) -> None:
    tells(served.begin())
    if comes_first:
        # By HTTP it may come before the answer to the write of the address.
        served.tell(TransferProgressed(finished=False)).answer()
    else:
        served.answer().tell(TransferProgressed(finished=False))
    stay(served, 1, timedelta(minutes=50))
    assert (served.order, left(served)) == (None, [])


def test_sleep_is_no_time_to_ask_in(served) -> None:
    tells(served.begin()).answer()
    for _ in range(4):
        served.now += timedelta(minutes=1)
        served.sleep(timedelta(hours=1))
        tells(served, 1)
    assert left(served) == []
    stay(served, 1, timedelta(minutes=1))
    assert served.order is RESET


@pytest.mark.parametrize("away", ["registers", "restarts", "is silent"])
def test_one_that_was_away_has_its_time_anew(served, away: str) -> None:
    tells(served.begin()).answer()
    served.now += timedelta(minutes=4)
    if away == "registers":
        served.register()
    elif away == "restarts":
        served.restart_gateway()
    else:
        served.tell(SeenAlive()).fail(CommandFailure.UNREACHABLE, description="no answer").tell(SeenAlive())
    tells(served, 1)
    stay(served, 1, timedelta(minutes=4))
    assert left(served) == []
    stay(served, 1, timedelta(minutes=2))
    assert served.order is RESET


def test_one_that_cannot_be_brought_back_has_the_whole_time_and_may_ask_late(served) -> None:
    tells(served.begin())
    stay(served, 1, timedelta(hours=1))
    served.fail(description="the device stays in state 1", state=1, result=0)
    tells(served, 1)
    assert served.order is None
    stay(served, 1, timedelta(hours=1))
    assert served.order is RESET, "it is told again"
    served.fail(description="the device stays in state 1", state=1, result=0)
    tells(served, 1).tell(TransferProgressed(finished=False))
    stay(served, 1, timedelta(minutes=20))
    served.notify(state=2)
    assert served.upgrade.phase is UpgradePhase.EXECUTING


def test_a_loss_is_told_of_by_the_device_and_is_no_lying(served) -> None:
    tells(served.begin())
    for _ in range(4):
        served.answer().notify(state=1)
        served.now += timedelta(minutes=3)
        served.notify(state=0, result=4)
        tells(served, result=4)
        assert (present(served), left(served)) == (TransferWay.HTTP, [])


def test_nothing_is_begun_otherwise_beyond_the_window(served) -> None:
    served.upgrade = structs.replace(served.upgrade, window_end=served.now + timedelta(minutes=6))
    tells(served.begin())
    stay(served, 1, timedelta(hours=1))
    served.now += timedelta(minutes=1)
    served.answer(state=0, result=0)
    tells(served)
    assert (served.orders.count(BY_URI), served.upgrade.description) == (1, wording.WINDOW_TOO_SHORT)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(1, 400)),
        st.tuples(st.just("sleep"), st.integers(1, 86400)),
        st.tuples(st.just("answer"), st.sampled_from([0, 1])),
        st.sampled_from([("deadline", 0), ("asks", 0), ("registers", 0), ("silent", 0)]),
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(steps=STEPS)
def test_a_way_is_left_only_by_who_was_there_awake_and_asked_for_nothing_for_so_long(make_driver, steps) -> None:
    driver = serve(make_driver())
    tells(driver.begin()).answer()
    awake = timedelta(0)
    """Since it took the address, or was last away, or asked."""
    for what, amount in steps:
        if driver.upgrade.phase is not UpgradePhase.TRANSFERRING:
            break
        before = left(driver)
        if what == "time":
            driver.now += timedelta(seconds=amount)
            awake += timedelta(seconds=amount)
            driver.tell(DeadlinePassed())
        elif what == "sleep":
            driver.sleep(timedelta(seconds=amount), lifetime=timedelta(days=2))
        elif what == "asks":
            driver.tell(TransferProgressed(finished=False))
            awake = timedelta(0)
        elif what == "registers":
            driver.register()
            awake = timedelta(0)
        elif what == "silent" and driver.order is not None:
            driver.fail(CommandFailure.UNREACHABLE, description="no answer")
            awake = timedelta(0)
        elif what == "answer" and driver.order in (INSPECT, RESET, CommandKind.PROBE):
            tells(driver, amount)
        elif what == "answer" and driver.order is not None:
            sent = driver.order
            driver.answer()
            awake = timedelta(0) if sent is BY_WRITE else awake
        elif what == "deadline":
            now = driver.now
            driver.pass_deadline()
            awake += driver.now - now
        if left(driver) != before:
            assert awake >= WAIT
            assert not leaves_it(driver.upgrade, driver.now), "it has its time before it is told again"
            awake = timedelta(0)
