"""A whole platform tells what it counts on a port of its own, in clear, to whoever reaches that address."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from firmcast.app import Platform
from firmcast.applications import use_cases as applications
from firmcast.clock import SystemClock
from firmcast.events.log import EventLog
from firmcast.events.model import DeviceDeleted, EventType, NewEvent
from firmcast.ids import DeviceId
from firmcast.platform_metrics import PlatformMetrics
from firmcast.push.envelope import encode_event
from firmcast.push.use_cases import fan_out
from firmcast.sealing import Sealer, load_or_create_key
from firmcast.settings import GatewaySettings, MetricsSettings, RestSettings, Role, Settings
from firmcast.subscriptions import use_cases as subscriptions


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


async def test_a_node_that_does_not_deliver_tells_what_nobody_delivers(
    tmp_path: Path, new_postgres_store: Callable[[], Awaitable[str]]
) -> None:
    roles = frozenset({Role.REST})
    url = SecretStr(await new_postgres_store())
    platform = await Platform.start(
        settings(tmp_path, MetricsSettings(port=0)).model_copy(update={"roles": roles, "database_url": url})
    )
    try:
        made = await platform.database.write(
            applications.create, "metrics", Sealer(load_or_create_key(tmp_path / "sealing-key")), datetime.now(UTC)
        )
        one, event_type = made.application_id, EventType.DEVICE_DELETED
        await platform.database.write(
            subscriptions.subscribe, one, event_type, "https://receiver.example:443/x", datetime.now(UTC)
        )
        log = EventLog(encode=encode_event, projections=[fan_out])
        new = NewEvent(
            application_id=one,
            device_id=DeviceId("d"),
            occurred_at=datetime.now(UTC) - timedelta(hours=1),
            fact=DeviceDeleted(),
        )
        await platform.database.write(log.append, [new])
        gauge = platform.metrics.push.oldest
        async with asyncio.timeout(20):
            while not (told := gauge.read()):
                await asyncio.sleep(0.05)
        ready = await platform._readiness()
        alive = platform.metrics.node.alive.read()
    finally:
        await platform.stop()
    # The page of the metrics is drawn from what is declared before any part runs.
    on_the_page = {described.name for described in PlatformMetrics(SystemClock()).all.described()}
    assert {described.name for described in platform.metrics.all.described()} == on_the_page
    assert alive == 1
    assert told >= 3600
    assert ready == {"store": True, "node": True}
