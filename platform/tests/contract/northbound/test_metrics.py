"""`/metrics` is read with a token that allows it, and counts requests by the path as it was declared."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from firmcast.metrics import Metrics
from firmcast.rest.metrics import CountedApplication, HttpMetrics


async def test_it_is_text_that_prometheus_reads(world) -> None:
    answer = await world.manage("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert "process_resident_memory_bytes" in names


@pytest.mark.parametrize(
    ("scopes", "status"), [(["metrics:read"], 200), (["push:read", "audit:read"], 403), (None, 401)]
)
async def test_a_token_needs_its_scope(world, scopes, status) -> None:
    headers = {}
    if scopes is not None:
        made = await world.manage("POST", "/v1/administrators", {"name": "prometheus", "scopes": scopes})
        headers["authorization"] = f"Bearer {made.json()['token']}"
    answer = await world.call("GET", "/metrics", headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert set(answer.json()) == {"error_code", "error_desc"}


@pytest.fixture
def counted(world):
    metrics = Metrics()
    clock = world.clock
    application = CountedApplication(world.asgi, world.calls, HttpMetrics(metrics, clock.monotonic))
    return replace(world, asgi=application), metrics


async def requests(metrics: Metrics) -> dict[tuple[str, ...], float]:
    text = (await metrics.exposition()).decode()
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "firmcast_http_requests_total"
    }


async def test_requests_are_counted_by_route_and_status(counted) -> None:
    world, metrics = counted
    await world.manage("GET", "/v1/applications/one")
    await world.manage("GET", "/v1/applications/two")
    await world.call("GET", "/v1/applications/two")
    await world.call("GET", "/v1/health")
    assert await requests(metrics) == {
        ("GET", "/v1/applications/{application_id}", "404"): 2,
        ("GET", "/v1/applications/{application_id}", "401"): 1,
        ("GET", "/v1/health", "200"): 1,
    }


async def test_a_guesser_makes_no_labels(counted) -> None:
    world, metrics = counted
    for number in range(100):
        await world.call(f"M{number}", f"/nowhere/{number}")
    await world.call("PUT", "/v1/health")
    found = await requests(metrics)
    assert found["none", "none", "404"] == 100
    assert len(found) <= 2


async def test_who_waits_for_events_does_not_make_the_platform_look_slow(counted, caller) -> None:
    world, metrics = counted
    assert (await world.call("GET", "/v1/events", headers=caller.headers)).status_code == 200
    assert ("GET", "/v1/events", "200") in await requests(metrics)
    assert b"firmcast_http_request_seconds_count 0" in await metrics.exposition()
    await world.call("GET", "/v1/health")
    assert b"firmcast_http_request_seconds_count 1" in await metrics.exposition()
