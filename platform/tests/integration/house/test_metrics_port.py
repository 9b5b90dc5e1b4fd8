"""A whole platform tells what it counts on a port of its own, in clear, to whoever reaches that address."""

from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from firmcast.app import Platform
from firmcast.settings import GatewaySettings, MetricsSettings, RestSettings, Settings


def settings(folder: Path, metrics: MetricsSettings) -> Settings:
    return Settings(data=folder, rest=RestSettings(port=0), gateway=GatewaySettings(port=0), metrics=metrics)


async def test_metrics_and_health_are_told_without_a_token(tmp_path: Path) -> None:
    platform = await Platform.start(settings(tmp_path, MetricsSettings(port=0)))
    try:
        told = platform.running.as_dict()["metrics"]
        async with httpx2.AsyncClient() as client:
            answer = await client.get(told)
            ready = await client.get(told.replace("/metrics", "/v1/readiness"))
            hidden = await client.get(told.replace("/metrics", "/v1/applications"))
    finally:
        await platform.stop()
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    declared = {described.name for described in platform.metrics.all.described()}
    # What a part has not told is not known on this store.
    assert {name.removesuffix("_total") for name in declared} - names == set()
    samples = {sample.name for family in text_string_to_metric_families(answer.text) for sample in family.samples}
    assert {"firmcast_store_bytes", "firmcast_store_log_bytes", "firmcast_gateway_live_devices"} <= samples
    assert ready.json() == {
        "status": "ready",
        "parts": {"store": True, "gateway": True, "pusher": True, "deliveries": True},
    }
    assert hidden.status_code == 404


async def test_nothing_is_told_in_clear_unless_it_is_wanted(tmp_path: Path) -> None:
    platform = await Platform.start(settings(tmp_path, MetricsSettings()))
    assert "metrics" not in platform.running.as_dict()
    await platform.stop()
