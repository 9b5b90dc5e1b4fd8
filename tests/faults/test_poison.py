"""Fault 20: an event that no receiver takes, and events that hold what nobody expects."""

import pytest
from tests.faults.calls import manage
from tests.faults.oracle import judge
from tests.faults.processes import Engine, Receiver

STATES, CHANGES = "firmware.state_changed", "device.info_changed"
WANTED = {"/states": STATES, "/changes": CHANGES}
BUDGET = 12
"""So often a body is offered that the receiver cannot take."""


@pytest.mark.takes_long
@pytest.mark.parametrize("status", [413, 415])
async def test_an_event_that_is_never_taken_is_given_up_and_its_lane_goes_on(
    engine: Engine, receiver: Receiver, status: int
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    subscription_id = application.subscribers[0].subscription_id
    await manage(
        engine, application, "PUT", f"/v1/subscriptions/{subscription_id}/policy", json={"retry_delay_seconds": [1]}
    )
    await receiver.behave("/states", "poisoned", status=status)
    await engine.append(application, [("poisoned", STATES), ("well", STATES)])
    await receiver.wait(BUDGET + 1)
    await receiver.behave("/states", "poisoned")
    await engine.append(application, [("poisoned", STATES), ("well", STATES)])
    await engine.settled()
    arrivals = await receiver.all_arrivals()
    given_up = (await engine.ask("dead"))["letters"]
    assert given_up == [["poisoned", 1, "unacceptable"]]
    excused = {(("/states", "poisoned"), 1)}
    judge(arrivals, await engine.log(), WANTED, engine.acknowledged, excused=excused).assert_none()
    attempts = [(it.sequence, it.attempt) for it in arrivals if it.device == "poisoned"]
    # The gap in the numbers is what the receiver sees of it.
    assert attempts == [*((1, number) for number in range(1, BUDGET + 1)), (2, 1)]


UNEXPECTED = (
    "a zero byte: \x00",
    "header lines: \r\nwebhook-id: forged\r\n\r\nPOST / HTTP/1.1",
    "beyond the basic plane: \U0001f600\u202e",
    "a mebibyte: " + "x" * (1 << 20),
)


async def test_whatever_an_event_holds_is_sent_as_it_is(engine: Engine, receiver: Receiver) -> None:
    application = await engine.application(receiver, "application", WANTED)
    for text in UNEXPECTED:
        await engine.ask("name_devices", text=text)
        await engine.append(application, [("device", CHANGES), ("device", STATES), ("device", CHANGES)])
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0
