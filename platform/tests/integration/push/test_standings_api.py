"""`/v1/subscriptions` over HTTP, in process."""

from datetime import UTC, datetime

import pytest

from firmcast.applications import use_cases as applications
from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.events.model import EventType
from firmcast.ids import SubscriptionId
from firmcast.push import standings
from firmcast.subscriptions import use_cases as subscriptions

URL = "https://192.0.2.1:1/x"
USUAL_DELAYS = [1, 2, 5, 15, 60, 120, 300, 600, 1800]
WEEK = 7 * 24 * 3600


async def audited(world) -> list[tuple[str, dict]]:
    entries, _ = await world.database.read(audit.listed, AuditFilter(), Page())
    return [(entry.action, dict(entry.details)) for entry in reversed(entries)]


async def states(client, query: str = "") -> list[tuple[str, str]]:
    said = (await client.get(f"/v1/subscriptions{query}")).json()
    assert said["total"] == len(said["subscriptions"])
    return [(each["subscription_id"], each["state"]) for each in said["subscriptions"]]


async def test_a_subscription_is_shown_paused_and_resumed(world, client) -> None:
    subscription = await world.subscribe(URL)
    path = f"/v1/subscriptions/{subscription}"
    shown = (await client.get(path)).json()
    assert shown | {"created_at": ""} == {
        "subscription_id": subscription,
        "application_id": world.application_id,
        "notify_type": "fwUpgradeStateChangeNotify",
        "callback_url": URL,
        "created_at": "",
        "state": "active",
        "stopped_at": None,
        "policy": {"retry_delay_seconds": USUAL_DELAYS, "age_limit_seconds": WEEK, "when_given_up": "skip", "own": []},
    }
    paused = (await client.post(f"{path}/pause")).json()
    assert (paused["state"], paused["stopped_at"] > shown["created_at"]) == ("paused", True)
    again = (await client.post(f"{path}/pause")).json()
    assert again == paused, "one that is paused stays so since then"
    assert (await client.get(path)).json() == paused
    assert (await client.post(f"{path}/resume")).json() == shown
    assert (await client.post(f"{path}/resume")).json() == shown
    changes = [("subscription.pause", {}), ("subscription.resume", {"was": "paused"})]
    assert await audited(world) == changes, "what was so already is no change"


async def test_the_list_is_filtered_by_application_and_state(world, client) -> None:
    other = await world.database.write(applications.create, "other", world.sealer, datetime.now(UTC))
    active = await world.subscribe(URL)
    paused = await world.subscribe(URL, EventType.FIRMWARE_UPGRADE_ENDED)
    disabled = await world.subscribe(URL, EventType.DEVICE_ADDED)
    ours, world.application_id = world.application_id, other.application_id
    foreign = await world.subscribe(URL)
    await client.post(f"/v1/subscriptions/{paused}/pause")
    await world.database.write(standings.disable, {disabled: 1_000, foreign: 0}, datetime.now(UTC))
    everything = [(active, "active"), (paused, "paused"), (disabled, "disabled"), (foreign, "active")]
    assert await states(client) == everything
    assert await states(client, f"?application_id={ours}") == everything[:3]
    assert await states(client, "?state=active") == [(active, "active"), (foreign, "active")]
    assert await states(client, "?state=paused") == [(paused, "paused")]
    assert await states(client, f"?state=disabled&application_id={ours}") == [(disabled, "disabled")]
    assert await states(client, f"?state=disabled&application_id={other.application_id}") == []
    page = (await client.get("/v1/subscriptions?page=1&page_size=3")).json()
    assert ([each["subscription_id"] for each in page["subscriptions"]], page["total"]) == ([foreign], 4)


async def test_a_policy_is_set_as_a_whole(world, client) -> None:
    path = f"/v1/subscriptions/{await world.subscribe(URL)}"
    whole = {"retry_delay_seconds": [1, 90], "age_limit_seconds": 3600, "when_given_up": "block"}
    said = await client.put(f"{path}/policy", json=whole)
    assert said.json()["policy"] == {**whole, "own": list(whole)}
    said = await client.put(f"{path}/policy", json={"age_limit_seconds": 60, "retry_delay_seconds": None})
    assert said.json()["policy"] == {
        "retry_delay_seconds": USUAL_DELAYS,
        "age_limit_seconds": 60,
        "when_given_up": "skip",
        "own": ["age_limit_seconds"],
    }
    said = await client.put(f"{path}/policy", json={})
    assert (said.json()["policy"]["own"], said.json()) == ([], (await client.get(path)).json())
    assert await audited(world) == [
        (
            "subscription.set_policy",
            {key: "1 90" if type(value) is list else str(value) for key, value in whole.items()},
        ),
        ("subscription.set_policy", {"age_limit_seconds": "60"}),
        ("subscription.set_policy", {}),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"retry_delay_seconds": []}, "invalid_value"),
        ({"retry_delay_seconds": [0]}, "invalid_request"),
        ({"retry_delay_seconds": [86_401]}, "invalid_request"),
        ({"retry_delay_seconds": [1.5]}, "invalid_request"),
        ({"retry_delay_seconds": [1] * 51}, "invalid_request"),
        ({"retry_delay_seconds": 5}, "invalid_request"),
        ({"age_limit_seconds": 0}, "invalid_request"),
        ({"age_limit_seconds": 10**12}, "invalid_request"),
        ({"age_limit_seconds": "long"}, "invalid_request"),
        ({"age_limit": 60}, "invalid_request"),
        ({"when_given_up": "wait"}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
async def test_a_policy_that_is_none_is_refused_and_changes_nothing(world, client, body: object, code: str) -> None:
    path = f"/v1/subscriptions/{await world.subscribe(URL)}"
    before = (await client.get(path)).json()
    answer = await client.put(f"{path}/policy", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)
    assert (await client.get(path)).json() == before
    assert await audited(world) == []


@pytest.mark.parametrize("call", ["GET ", "POST /pause", "POST /resume", "PUT /policy"])
async def test_one_that_is_no_more_is_not_found(world, client, call: str) -> None:
    method, _, verb = call.partition(" ")
    for identifier in ("nobody", "x" * 300, await removed(world)):
        answer = await client.request(method, f"/v1/subscriptions/{identifier}{verb}", content=b"{}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "not_found")
    assert await audited(world) == []


async def removed(world) -> SubscriptionId:
    subscription = await world.subscribe(URL)
    await world.database.write(subscriptions.remove, world.application_id, [subscription])
    return subscription


@pytest.mark.parametrize("query", ["state=gone", "page=-1", "page_size=1001"])
async def test_a_list_that_cannot_be_is_refused(client, query: str) -> None:
    assert (await client.get(f"/v1/subscriptions?{query}")).status_code == 400
