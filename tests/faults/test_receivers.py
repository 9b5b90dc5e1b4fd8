"""Faults 6 to 9: what one callback does wrong is its own lanes' trouble, and nobody else's."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from tests.faults.conftest import NewEngine, Scale
from tests.faults.oracle import Arrival, judge, percentile
from tests.faults.processes import Application, Engine, Receiver

STATES = "firmware.state_changed"
WANTED = {"/states": STATES}
LEAST_LATENCY = 0.02
"""Seconds below which a percentile says more of the machine's other work than of ours."""


CACHE_BYTES = 80 << 20
"""What the embedded store's cache of pages and those of its readers may still come to."""


async def steady_load(engine: Engine, application: Application, devices: list[str], seconds: float) -> None:
    """Have an event of each device committed in turn, about 200 in a second."""
    began = asyncio.get_running_loop().time()
    count = 0
    while (passed := asyncio.get_running_loop().time() - began) < seconds:
        while count < passed * 200:
            await engine.append(application, [(devices[count % len(devices)], STATES)])
            count += 1
        await asyncio.sleep(0.005)


def typical_p99(arrivals: Sequence[Arrival]) -> float:
    """Return the median of the 99th percentiles of the latency in each second.

    A percentile of all would be the machine's worst moment, whoever made it.
    """
    seconds: defaultdict[int, list[float]] = defaultdict(list)
    for arrival in arrivals:
        seconds[int(arrival.received_at)].append(arrival.latency)
    return percentile([percentile(latencies, 0.99) for latencies in seconds.values()], 0.5)


@pytest.mark.takes_long
async def test_a_device_that_is_refused_waits_alone(
    engine: Engine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    devices = [f"device-{number}" for number in range(50)]
    seconds = scale(1.0, 5.0, 30.0)
    await steady_load(engine, application, devices, seconds)
    await receiver.behave("/states", "device-0", status=500)
    before = len(await receiver.all_arrivals())
    await steady_load(engine, application, devices, seconds)
    during = len(await receiver.all_arrivals())
    await receiver.behave("/states", "device-0")
    await engine.settled()
    arrivals = await receiver.all_arrivals()
    judge(arrivals, await engine.log(), WANTED, engine.acknowledged).assert_none()
    refused = [it for it in arrivals[before:during] if it.device == "device-0"]
    assert len({it.sequence for it in refused}) == 1, "behind the head of a lane nothing leaves"
    baseline = typical_p99(arrivals[:before])
    others = typical_p99([it for it in arrivals[before:during] if it.device != "device-0"])
    tell(f"p99 of the others {others * 1000:.1f} ms, {baseline * 1000:.1f} ms before")
    assert others < 2 * max(baseline, LEAST_LATENCY)


@pytest.mark.takes_long
async def test_a_black_hole_among_a_hundred_costs_the_others_nothing(
    store: dict[str, str], new_engine: NewEngine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    cap = 16
    engine = new_engine(
        {
            **store,
            "FIRMCAST_PUSH__SUBSCRIPTION_CONCURRENCY": str(cap),
            "FIRMCAST_PUSH__ATTEMPT_TIMEOUT": "2",
        }
    )
    await engine.start()
    wanted = {f"/{number}": STATES for number in range(100)}
    applications = [await engine.application(receiver, path, {path: STATES}) for path in wanted]
    events_each = scale(20, 40, 300)
    well = [float("inf")] * 2

    async def round_of(others: list[Application]) -> float:
        """Return how long all of them take to get their events."""
        came = {path: (await receiver.numbers(path))["arrivals"] for path in paths_of(others)}
        began = time.monotonic()
        await asyncio.gather(*(engine.append(it, events_for(it, events_each)) for it in applications))
        await asyncio.gather(*(receiver.wait(came[path] + events_each, path) for path in came))
        return time.monotonic() - began

    await round_of(applications)
    health = await engine.ask("health")
    for attempt in range(2 * scale(1, 6, 8)):
        # In turn, so that a slow moment of the machine is shared; the best of each is what it can do.
        with_hole = attempt % 2
        await receiver.behave("/0", how="silence" if with_hole else "answer")
        well[with_hole] = min(well[with_hole], await round_of(applications[1:]))
        if with_hole:
            hole = await receiver.numbers("/0")
            assert hole["most_in_flight"] <= cap
            assert hole["in_flight"] >= 1, "it is being tried"
        else:
            await engine.settled()
    await until_one_is_in_flight(receiver, "/0")
    after = await engine.ask("health")
    await receiver.behave("/0")
    await engine.settled()
    log, arrivals = await engine.log(), await receiver.all_arrivals()
    for application in applications:
        path = application.subscribers[0].path
        devices = {device for device, _ in events_for(application, events_each)}
        mine = [it for it in arrivals if it.path == path]
        judge(mine, [event for event in log if event.device in devices], {path: STATES}).assert_none()
    share = well[0] / well[1]
    tell(f"the 99 others kept {share:.0%} of their throughput; RSS {health['rss'] >> 20} to {after['rss'] >> 20} MiB")
    assert share >= 0.95
    assert after["rss"] < health["rss"] + CACHE_BYTES


def paths_of(applications: list[Application]) -> list[str]:
    return [application.subscribers[0].path for application in applications]


def events_for(application: Application, count: int) -> list[tuple[str, str]]:
    return [(f"{application.application_id}-{number % 20}", STATES) for number in range(count)]


async def until_one_is_in_flight(receiver: Receiver, path: str) -> None:
    """Wait until the breaker has opened: no more than the one that probes is under way."""
    while (await receiver.numbers(path))["in_flight"] > 1:
        await asyncio.sleep(0.05)


@pytest.mark.takes_long
async def test_a_callback_that_was_down_is_given_its_backlog_in_order_and_slowly_at_first(
    engine: Engine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    devices = [f"device-{number}" for number in range(50)]
    await steady_load(engine, application, devices, 0.5)
    await engine.settled()
    await receiver.hang_up()
    before = len(await receiver.all_arrivals())
    seconds = scale(2.0, 20.0, 1800.0)
    await steady_load(engine, application, devices, seconds)
    backlog = (await engine.ask("pending"))["count"]
    assert backlog >= 200 * seconds * 0.9
    await receiver.behave("/states", delay=0.02)
    await receiver.listen()
    ages = []
    while (left := await engine.ask("pending"))["count"]:
        ages.append(left["oldest_age"])
        await asyncio.sleep(0.1)
    arrivals = await receiver.all_arrivals()
    found = judge(arrivals, await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0
    # The window widens by one with each success, so no arrival finds more under way than two and what came before it.
    ramp = [it.in_flight for it in arrivals[before:]]
    assert all(in_flight < 2 + number for number, in_flight in enumerate(ramp)), ramp[:50]
    came_back = ages[next(number for number, age in enumerate(ages) if age < max(ages)) :]
    assert all(later <= earlier + 0.3 for earlier, later in pairwise(came_back)), ages
    tell(f"{backlog} events behind an outage of {seconds:.0f} s; at first {ramp[:8]} under way, then {max(ramp)}")


async def test_a_callback_that_asks_for_time_is_left_alone_until_then(
    engine: Engine, receiver: Receiver, scale: Scale
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    seconds = scale(2, 7, 7)
    await receiver.behave("/states", status=429, headers={"Retry-After": str(seconds)})
    await engine.append(application, [("device-0", STATES)])
    await receiver.wait(1)
    until = datetime.now(UTC) + timedelta(seconds=2 * seconds)
    await receiver.behave("/states", status=503, headers={"Retry-After": format_datetime(until, usegmt=True)})
    await engine.append(application, [(f"device-{number}", STATES) for number in range(20)])
    await receiver.wait(2)
    await receiver.behave("/states")
    await engine.settled()
    arrivals = await receiver.all_arrivals()
    judge(arrivals, await engine.log(), WANTED, engine.acknowledged).assert_none()
    first, second, *rest = arrivals
    assert second.received_at - first.received_at >= seconds
    # The date has whole seconds.
    assert min(it.received_at for it in rest) >= until.timestamp() - 1
    assert [it.attempt for it in arrivals] == [1] * len(arrivals), "no attempt is spent on it"
    assert_only_probe_was_held(arrivals)


def assert_only_probe_was_held(arrivals: list[Arrival]) -> None:
    assert [it.status for it in arrivals[:2]] == [429, 503]
    assert all(it.accepted for it in arrivals[2:])
