"""Fault 18: the wall clock is set forward and back, while the platform runs and between two of its lives."""

import asyncio

import pytest
from tests.faults.conftest import NewEngine
from tests.faults.oracle import CLOCK_TOLERANCE, Arrival, judge
from tests.faults.processes import Engine, Receiver

pytestmark = pytest.mark.takes_long

STATES = "firmware.state_changed"
WANTED = {"/states": STATES}
HOUR = 3600.0
LONGEST_WAIT = 10.0
"""Seconds; the second wait of the schedule is at most two, and after a start nothing waits for more than five."""


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_clock_that_is_set_hurries_and_delays_nothing(engine: Engine, receiver: Receiver, jump: float) -> None:
    application = await engine.application(receiver, "application", WANTED)
    await receiver.behave("/states", status=500)
    await engine.append(application, [("device", STATES)])
    await receiver.wait(1)
    await engine.ask("jump", seconds=jump)
    async with asyncio.timeout(LONGEST_WAIT):
        await receiver.wait(3)
    await receiver.behave("/states")
    await engine.append(application, [("device", STATES)])
    async with asyncio.timeout(LONGEST_WAIT):
        await engine.settled()
    first, second, third, *rest = await receiver.all_arrivals()
    # Half of each wait of the schedule, one second and two, is drawn.
    assert second.received_at - first.received_at >= 0.45
    assert third.received_at - second.received_at >= 0.95
    assert_signed_by_the_wall_clock([first])
    assert_signed_by_the_wall_clock([second, third, *rest], ahead=jump)
    assert [it.sequence for it in rest] == [1, 2]


async def test_what_was_due_by_a_clock_that_was_wrong_is_not_lost(
    store: dict[str, str], new_engine: NewEngine, receiver: Receiver
) -> None:
    engine = new_engine(store)
    await engine.start(environment={"FAULTS_CLOCK_AHEAD": str(HOUR)})
    application = await engine.application(receiver, "application", WANTED)
    await receiver.behave("/states", status=500)
    await engine.append(application, [(f"device-{number}", STATES) for number in range(10)])
    await receiver.wait(10)
    # In the second life every due time lies an hour ahead.
    await engine.kill()
    came = len(await receiver.all_arrivals())
    await receiver.behave("/states")
    await engine.start()
    async with asyncio.timeout(LONGEST_WAIT):
        await engine.settled()
    arrivals = await receiver.all_arrivals()
    judge(arrivals, await engine.log(), WANTED, engine.acknowledged).assert_none(but="stale")
    assert_signed_by_the_wall_clock(arrivals[:came], ahead=HOUR)
    assert_signed_by_the_wall_clock(arrivals[came:])


def assert_signed_by_the_wall_clock(arrivals: list[Arrival], *, ahead: float = 0.0) -> None:
    for arrival in arrivals:
        assert arrival.signed_with
        assert abs(arrival.received_at + ahead - arrival.timestamp) < CLOCK_TOLERANCE, arrival
