"""Fault 24: nothing but time. What grows in a soak would one day have no room."""

import asyncio
from collections.abc import Callable
from itertools import count

import pytest
from tests.faults.conftest import Scale
from tests.faults.oracle import judge, percentile
from tests.faults.processes import Application, Engine, Receiver

pytestmark = pytest.mark.takes_long

WANTED = {
    "/states": "firmware.state_changed",
    "/results": "firmware.upgrade_ended",
    "/changes": "device.info_changed",
}
DEVICES = 500
PART = 20
PARTS_IN_A_SECOND = 20
MOST_RSS_GROWTH = 24 << 20
"""Bytes from the second quarter of the run to the last; a part of it is the embedded store's cache of pages."""

MOST_LOG_BYTES = 64 << 20


async def load(engine: Engine, application: Application, seconds: float) -> None:
    kinds = list(WANTED.values())
    numbers = count()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for part in range(int(seconds * PARTS_IN_A_SECOND)):
        await asyncio.sleep(max(0.0, began + part / PARTS_IN_A_SECOND - loop.time()))
        drawn = [next(numbers) for _ in range(PART)]
        await engine.append(application, [(f"device-{it % DEVICES}", kinds[it % 7 % 3]) for it in drawn])


@pytest.mark.timeout(7200)
async def test_nothing_grows_with_time(
    engine: Engine, receiver: Receiver, scale: Scale, tell: Callable[[str], None]
) -> None:
    application = await engine.application(receiver, "application", WANTED)
    loading = asyncio.create_task(load(engine, application, scale(5.0, 45.0, 1800.0)))
    samples = []
    while not loading.done():
        samples.append(await engine.ask("health") | await engine.ask("pending"))
        await asyncio.sleep(0.5)
    await loading
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]

    def growth(name: str) -> float:
        return percentile([it[name] for it in late], 0.5) - percentile([it[name] for it in early], 0.5)

    tell(
        f"{len(engine.acknowledged)} events; RSS {growth('rss') / (1 << 20):+.1f} MiB,"
        f" descriptors {growth('descriptors'):+.0f}, backlog {growth('count'):+.0f} rows,"
        f" log at most {max(it['log_bytes'] for it in samples) >> 20} MiB"
    )
    assert growth("rss") < MOST_RSS_GROWTH
    assert growth("descriptors") < 10
    assert growth("count") < PART * PARTS_IN_A_SECOND
    assert max(it["log_bytes"] for it in samples) < MOST_LOG_BYTES
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0
