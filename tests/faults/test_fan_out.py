"""Fault 22: very many callbacks have something to be told at the same moment."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import count, takewhile

import pytest
from tests.faults.conftest import NewEngine, Scale
from tests.faults.oracle import Arrival, Written, judge
from tests.faults.processes import Application, Engine, Receiver
from tests.faults.test_receivers import percentile

STATES = "firmware.state_changed"
EVENTS_EACH = 40
INTAKE_SECONDS = 0.15
"""Three times what is wanted of a machine that has nothing else to do."""


@pytest.mark.takes_long
async def test_a_thousand_callbacks_have_equal_shares(
    store: dict[str, str], new_engine: NewEngine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    # Two under way of each: where one is told of before the others are there, it cannot have much of an advantage.
    # Whoever is held must not be given up meanwhile, however long a busy machine takes to make the others.
    patient = {"FIRMCAST_PUSH__SUBSCRIPTION_CONCURRENCY": "2", "FIRMCAST_PUSH__ATTEMPT_TIMEOUT": "300"}
    engine = new_engine({**store, **patient})
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
    bystander = await engine.application(receiver, "/bystander", {"/bystander": STATES})
    quiet = [await commit_seconds(engine, bystander) for _ in range(100)]
    await receiver.ask("release")
    told = asyncio.create_task(receiver.wait(callbacks * EVENTS_EACH))
    busy = [await commit_seconds(engine, bystander) for _ in takewhile(lambda _: not told.done(), count())]
    await told
    await engine.settled()
    arrivals = [it for it in await receiver.all_arrivals() if it.path != "/bystander"]
    assert_each_has_its_own(applications, arrivals, await engine.log())
    tell(f"an event is committed in {in_words(busy)} while all are told, in {in_words(quiet)} before")
    assert percentile(busy, 0.5) < INTAKE_SECONDS
    shares = shares_while_all_have_something(arrivals[before:], arrivals[:before])
    least, most = min(shares[it.subscribers[0].path] for it in applications), max(shares.values())
    tell(f"{callbacks} callbacks: while all had something each was told {least} to {most}")
    fair = sum(shares.values()) / callbacks
    assert least >= 0.9 * fair
    assert most <= 1.1 * fair


async def commit_seconds(engine: Engine, application: Application) -> float:
    """Have one event committed, and return how long its answer took."""
    began = time.perf_counter()
    await engine.append(application, [("bystander", STATES)])
    return time.perf_counter() - began


def in_words(seconds: Sequence[float]) -> str:
    return f"{percentile(seconds, 0.5) * 1000:.1f} ms (p99 {percentile(seconds, 0.99) * 1000:.0f})"


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
