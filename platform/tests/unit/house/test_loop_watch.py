"""How late the event loop comes to what is due is counted by the clock that is given."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from firmcast.metrics import Metrics
from firmcast.platform_metrics import LoopWatch


async def test_a_delay_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    times: Iterator[float] = iter([0.0, 0.1, 1.0, 1.4, 2.0])
    metrics = Metrics()
    watch = LoopWatch(metrics, lambda: next(times))
    looked = asyncio.Event()
    sleep, sleeps = asyncio.sleep, 0

    async def look_at_once(_seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        if sleeps > 2:
            looked.set()
            await sleep(60)

    monkeypatch.setattr(asyncio, "sleep", look_at_once)
    await watch.start()
    await looked.wait()
    await watch.stop()
    samples = {
        (it.name, it.labels.get("le")): it.value
        for family in text_string_to_metric_families((await metrics.exposition()).decode())
        for it in family.samples
    }
    assert samples["firmcast_loop_delay_seconds_bucket", "0.25"] == 1
    assert samples["firmcast_loop_delay_seconds_bucket", "0.5"] == 2
    assert samples["firmcast_loop_delay_seconds_sum", None] == pytest.approx(0.3)
