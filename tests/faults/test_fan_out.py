"""Fault 22: very many callbacks have something to be told at the same moment."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import pytest
from tests.faults.conftest import NewEngine, Scale
from tests.faults.oracle import Arrival, Written, judge
from tests.faults.processes import Application, Receiver

STATES = "firmware.state_changed"
EVENTS_EACH = 20


@pytest.mark.takes_long
async def test_a_thousand_callbacks_have_equal_shares(
    store: dict[str, str], new_engine: NewEngine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    # Two under way of each: where one is told of before the others are there, it cannot have much of an advantage.
    engine = new_engine({**store, "FIRMCAST_PUSH__SUBSCRIPTION_CONCURRENCY": "2"})
    await engine.start()
    callbacks = scale(50, 1_000, 1_000)
    applications = [
        await engine.application(receiver, f"/{number}", {f"/{number}": STATES}) for number in range(callbacks)
    ]
    # Nobody is answered until all of it is there: else the first to come would be the first to be done.
    for application in applications:
        await receiver.behave(application.subscribers[0].path, how="hold")
    await asyncio.gather(*(engine.append(it, events_of(it)) for it in applications))
    while (await engine.ask("metrics"))["firmcast_push_queued"] < callbacks * EVENTS_EACH:
        await asyncio.sleep(0.05)
    before = len(await receiver.all_arrivals())
    await receiver.ask("release")
    await engine.settled()
    arrivals = await receiver.all_arrivals()
    assert_each_has_its_own(applications, arrivals, await engine.log())
    shares = shares_while_all_have_something(arrivals[before:], arrivals[:before])
    least, most = min(shares[it.subscribers[0].path] for it in applications), max(shares.values())
    tell(f"{callbacks} callbacks: while all had something each was told {least} to {most}")
    fair = sum(shares.values()) / callbacks
    assert least >= 0.9 * fair
    assert most <= 1.1 * fair


def events_of(application: Application) -> list[tuple[str, str]]:
    return [(f"{application.application_id}-{number}", STATES) for number in range(EVENTS_EACH)]


def assert_each_has_its_own(
    applications: Sequence[Application], arrivals: Sequence[Arrival], log: Sequence[Written]
) -> None:
    came, written = defaultdict(list), defaultdict(list)
    for arrival in arrivals:
        came[arrival.path].append(arrival)
    for event in log:
        written[event.device.partition("-")[0]].append(event)
    for application in applications:
        path = application.subscribers[0].path
        judge(came[path], written[application.application_id], {path: STATES}).assert_none()


def shares_while_all_have_something(arrivals: Sequence[Arrival], before: Sequence[Arrival]) -> Counter[str]:
    """Count what each callback was told, beside what it had before, until the first had everything."""
    told_before, shares = Counter(it.path for it in before), Counter[str]()
    for arrival in arrivals:
        shares[arrival.path] += 1
        if told_before[arrival.path] + shares[arrival.path] == EVENTS_EACH:
            break
    return shares
