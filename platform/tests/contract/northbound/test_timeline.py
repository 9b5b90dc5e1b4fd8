"""`/v1/devices/{device}/timeline`: what an operator may ask of a device's history."""

import pytest

from firmcast.upgrades.model import SessionRenewed

PATH = "/v1/devices/{}/timeline"
OPERATIONS = "/iodm/northbound/v1.5.0/operations"


@pytest.fixture
async def device_id(world, caller):
    package = await world.upload(caller, version="2.0")
    device_id = await world.register(caller, "node-1")
    body = {"fileId": package["package_id"], "targets": {"devices": [device_id]}}
    await caller.call("POST", f"{OPERATIONS}/firmwareUpgrade", body)
    await world.pass_time(seconds=1)
    await world.report(device_id, SessionRenewed(newly_registered=True))
    return device_id


async def test_a_device_is_explained(world, caller, device_id):
    found = (await world.manage("GET", PATH.format(device_id))).json()
    assert (found["device_id"], found["endpoint_name"]) == (device_id, "node-1")
    assert found["application_id"] == caller.application_id
    (upgrade,) = found["present"]["upgrades"]
    assert (upgrade["phase"], upgrade["order"], found["present"]["registration"]) == ("inspecting", "inspect", None)
    assert found["present"]["text"][0] == "the device is not registered, and never was"
    assert "the order inspect waits for it, until it is registered" in found["present"]["text"]
    assert [entry["kind"] for entry in found["entries"]] == ["decision", "event", "upgrade"]
    began = found["entries"][0]
    assert began["text"].startswith("task began: the device is awaited; scheduled -> waiting; looks again in 1 d")
    assert began["details"]["heard"] == "task_began"
    assert (found["left_out"], found["next"]) == ([], None)
    assert (await world.manage("GET", PATH.format("node-1"))).json() == found


async def test_it_is_paged_filtered_and_turned_round(world, device_id):
    whole = (await world.manage("GET", PATH.format(device_id))).json()["entries"]
    seen, after = [], ""
    while after is not None:
        page = (await world.manage("GET", f"{PATH.format(device_id)}?page_size=1&after={after}")).json()
        seen += page["entries"]
        after = page["next"]
    assert seen == whole
    turned = (await world.manage("GET", f"{PATH.format(device_id)}?oldest_first=true")).json()
    assert turned["entries"] == whole[::-1]
    upgrade = whole[0]["device_upgrade_id"]
    of_upgrade = (await world.manage("GET", f"{PATH.format(device_id)}?upgrade={upgrade}")).json()["entries"]
    assert of_upgrade == [entry for entry in whole if entry["device_upgrade_id"] == upgrade]
    since = (await world.manage("GET", f"{PATH.format(device_id)}?since=2026-01-01T00:00:01Z")).json()["entries"]
    assert since == [entry for entry in whole if entry["at"] >= "2026-01-01T00:00:01"]


@pytest.mark.parametrize(
    "query", ["after=nonsense", "after=1-", "page_size=0", "page_size=1001", "since=yesterday", "oldest_first=perhaps"]
)
async def test_nonsense_is_refused(world, device_id, query):
    answer = await world.manage("GET", f"{PATH.format(device_id)}?{query}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"error_code", "error_desc"}


async def test_an_unknown_device_is_not_found(world):
    answer = await world.manage("GET", PATH.format("nobody"))
    assert (answer.status_code, answer.json()["error_code"]) == (404, "not_found")


async def test_pushes_are_for_those_who_may_see_them(world, device_id):
    async def shown(*scopes):
        made = await world.manage("POST", "/v1/administrators", {"name": "-".join(scopes), "scopes": scopes})
        headers = {"authorization": f"Bearer {made.json()['token']}"}
        return await world.call("GET", PATH.format(device_id), headers=headers)

    assert (await shown("push:read")).status_code == 403
    assert (await shown("upgrades:read")).json()["left_out"] == ["push", "dead_letter"]
    assert (await shown("upgrades:read", "push:read")).json()["left_out"] == []


async def test_a_device_that_is_deleted_takes_its_journal_along(world, caller, device_id, store_dump):
    assert store_dump()["journal_page"]
    answer = await caller.call("DELETE", f"/iocm/app/dm/v1.1.0/devices/{device_id}")
    assert answer.status_code == 204, answer.text
    assert store_dump()["journal_page"] == []
