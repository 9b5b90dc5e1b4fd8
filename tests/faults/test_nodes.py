"""Faults 13 and 14: of three nodes that share a PostgreSQL one is killed, or stands still for longer than it may."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence

import pytest
from tests.faults.conftest import Scale, shared_out
from tests.faults.oracle import Arrival, Findings, judge
from tests.faults.processes import Application, Engine, Receiver

pytestmark = pytest.mark.takes_long

STATES = "firmware.state_changed"
WANTED = {"/states": STATES}
DEVICES = [f"device-{number}" for number in range(200)]
TAKE_OVER_SECONDS = 6.0
ONE_RETRY_SECONDS = 2.0


class Load:
    """Events of all devices, committed through the nodes in turn, about 400 a second, until it is stopped."""

    def __init__(self, engines: Sequence[Engine], application: Application) -> None:
        self.engines = list(engines)
        self._application = application
        self._stopped = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        number = 0
        while not self._stopped:
            devices = [DEVICES[(number * 8 + it) % len(DEVICES)] for it in range(8)]
            engine = self.engines[number % len(self.engines)]
            await engine.append(self._application, [(device, STATES) for device in devices])
            number += 1
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self._stopped = True
        await self._task


async def found(engine: Engine, receiver: Receiver, nodes: Sequence[Engine]) -> Findings:
    """Return what the oracle finds once everything is delivered, as one node tells of the store."""
    await engine.settled()
    acknowledged = [message_id for node in nodes for message_id in node.acknowledged]
    return judge(await receiver.all_arrivals(), await engine.log(), WANTED, acknowledged)


def longest_wait(arrivals: Sequence[Arrival]) -> float:
    """Return how long the event waited that waited longest for its first arrival."""
    seen: set[str] = set()
    longest = 0.0
    for arrival in arrivals:
        if arrival.message_id not in seen:
            seen.add(arrival.message_id)
            longest = max(longest, arrival.latency)
    return longest


async def test_a_node_that_is_killed_is_replaced(
    nodes: list[Engine], receiver: Receiver, tell: Callable[[str], None]
) -> None:
    application = await nodes[0].application(receiver, "application", WANTED)
    load = Load(nodes[1:], application)
    await receiver.wait(500)
    await nodes[0].kill()
    killed_at = time.time()
    await receiver.wait(len(await receiver.all_arrivals()) + 5_000)
    await load.stop()
    judged = await found(nodes[1], receiver, nodes)
    judged.assert_none()
    assert judged.duplicates <= nodes[0].most_repeated
    longest = longest_wait(receiver.arrivals)
    tell(f"longest wait {longest:.1f} s, {judged.duplicates} duplicates of {nodes[0].most_repeated} allowed")
    assert longest < TAKE_OVER_SECONDS + ONE_RETRY_SECONDS
    assert max(it.received_at for it in receiver.arrivals) > killed_at


async def test_a_node_that_stood_still_changes_nothing_when_it_wakes(
    nodes: list[Engine], receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    application = await nodes[0].application(receiver, "application", WANTED)
    await receiver.behave("/states", delay=0.02)  # so that it has something under way when it is stopped
    load = Load(nodes[1:], application)
    zombie = nodes[0]
    await receiver.wait(500)
    rounds = scale(1, 2, 5)
    for _ in range(rounds):
        zombie.signal(signal.SIGSTOP)
        zombie.note_kill()  # as much as a kill, and no more, may come twice
        await asyncio.sleep(scale(8.0, 10.0, 20.0))
        zombie.signal(signal.SIGCONT)
        await receiver.wait(len(await receiver.all_arrivals()) + 1_000)
        await shared_out(nodes)
    await load.stop()
    judged = await found(nodes[1], receiver, nodes)
    judged.assert_none()
    told = await zombie.ask("metrics")
    longest = longest_wait(receiver.arrivals)
    tell(
        f"stopped {rounds} times: longest wait {longest:.1f} s, {judged.duplicates} duplicates of"
        f" {zombie.most_repeated} allowed, {told['firmcast_push_refused_outcomes_total']:.0f} late outcomes refused"
    )
    assert judged.duplicates <= zombie.most_repeated
    assert longest < TAKE_OVER_SECONDS + ONE_RETRY_SECONDS
    assert told["firmcast_node_lives_lost"] == rounds


async def test_a_node_that_is_told_to_end_hands_over_without_a_duplicate(
    nodes: list[Engine], receiver: Receiver
) -> None:
    application = await nodes[0].application(receiver, "application", WANTED)
    load = Load(nodes[1:], application)
    await receiver.wait(500)
    nodes[0].terminate()
    assert await nodes[0].ended() == 0
    await receiver.wait(len(await receiver.all_arrivals()) + 1_000)
    await nodes[0].start()
    await receiver.wait(len(await receiver.all_arrivals()) + 2_000)
    await load.stop()
    judged = await found(nodes[1], receiver, nodes)
    judged.assert_none()
    assert judged.duplicates == 0
