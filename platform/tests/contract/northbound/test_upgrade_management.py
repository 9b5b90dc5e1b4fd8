"""`/v1/upgrades`: what an operator sees of upgrade tasks, and how they are stopped."""

import pytest
from msgspec import structs

from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import Progress, UpgradePhase
from firmcast.upgrades.store import device_upgrades

OPERATIONS = "/iodm/northbound/v1.5.0/operations"
UPGRADES = "/v1/upgrades"


@pytest.fixture
async def task_id(world, caller):
    package = await world.upload(caller, version="2.0")
    devices = [await world.register(caller, f"node-{number}") for number in range(3)]
    body = {"fileId": package["package_id"], "targets": {"devices": devices}}
    return (await caller.call("POST", f"{OPERATIONS}/firmwareUpgrade", body)).json()["operationId"]


async def test_tasks_of_all_applications_are_listed(world, caller, task_id):
    page = (await world.manage("GET", UPGRADES)).json()
    assert (page["total"], page["page"], page["page_size"]) == (1, 0, 100)
    (task,) = page["tasks"]
    assert (task["task_id"], task["application_id"]) == (task_id, caller.application_id)
    assert (task["status"], task["target_version"], task["round"]) == ("waiting", "2.0", 1)
    assert task["devices"] == {
        "total": 3, "waiting": 3, "processing": 0, "succeeded": 0, "failed": 0, "stopped": 0, "timed_out": 0,
    }  # fmt: skip
    assert (await world.manage("GET", f"{UPGRADES}/{task_id}")).json() == task


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("application_id={application}", 1),
        ("application_id=other", 0),
        ("status=waiting", 1),
        ("status=failed", 0),
        ("device_id={device}", 1),
        ("device_id=other", 0),
        ("page=1", 1),
    ],
)
async def test_tasks_are_filtered(world, caller, task_id, query, total):
    devices = (await world.manage("GET", f"{UPGRADES}/{task_id}/devices")).json()["devices"]
    words = query.format(application=caller.application_id, device=devices[0]["device_id"])
    page = (await world.manage("GET", UPGRADES, query=words.encode())).json()
    assert page["total"] == total
    assert len(page["tasks"]) == (0 if "page=" in query else total)


async def test_devices_of_a_task_are_paged_in_its_order(world, task_id):
    path = f"{UPGRADES}/{task_id}/devices"
    seen = []
    for number in range(2):
        page = (await world.manage("GET", path, query=f"page={number}&page_size=2".encode())).json()
        assert page["total"] == 3
        seen += [device["position"] for device in page["devices"]]
    assert seen == [0, 1, 2]
    assert (await world.manage("GET", path, query=b"counts_as=waiting")).json()["total"] == 3
    assert (await world.manage("GET", path, query=b"counts_as=failed")).json() == {
        "devices": [], "page": 0, "page_size": 100, "total": 0,
    }  # fmt: skip


async def test_a_node_that_sends_nothing_itself_tells_how_far_packages_are(world, task_id):
    path = f"{UPGRADES}/{task_id}/devices"
    waiting = (await world.manage("GET", path)).json()["devices"]
    assert [device["transfer"] for device in waiting] == [None] * 3
    now = world.clock.now()
    (upgrade, *_), _ = await world.database.read(upgrades.device_upgrades, None, task_id)
    on_its_way = structs.replace(upgrade, phase=UpgradePhase.TRANSFERRING, started_at=now)

    async def note(tx):
        await device_upgrades.update(tx, [on_its_way])
        for done in (100, upgrade.bytes_total - 50):
            noted = Progress(
                device_upgrade_id=upgrade.device_upgrade_id, bytes_done=done, bytes_per_second=10, noted_at=now
            )
            await upgrades.note_progress(tx, [noted])

    await world.database.write(note)
    (device, *_) = (await world.manage("GET", path)).json()["devices"]
    assert device["transfer"] == {
        "bytes_done": upgrade.bytes_total - 50,
        "bytes_total": upgrade.bytes_total,
        "bytes_per_second": 10,
        "expected_end": "2026-01-01T00:00:05Z",
        "noted_at": "2026-01-01T00:00:00Z",
    }


async def test_a_stop_ends_a_task_and_is_in_the_audit_once(world, caller, task_id):
    answer = await world.manage("POST", f"{UPGRADES}/{task_id}/stop")
    assert (answer.status_code, answer.json()["status"], answer.json()["devices"]["stopped"]) == (200, "stopped", 3)
    assert answer.json()["stop_requested_at"] == "2026-01-01T00:00:00Z"
    again = await world.manage("POST", f"{UPGRADES}/{task_id}/stop")
    assert again.json() == answer.json()
    entries = (await world.manage("GET", "/v1/audit", query=f"subject={task_id}&action=upgrade.stop".encode())).json()
    assert entries["total"] == 1
    task = (await caller.call("GET", f"{OPERATIONS}/{task_id}")).json()
    assert (task["status"], task["staResult"]["stop"], task["staResult"]["total"]) == ("stop", 3, 3)
    shares = (await caller.call("GET", f"{OPERATIONS}/{task_id}/subOperations")).json()["data"]
    assert {(share["status"], share["detailInfo"]) for share in shares} == {("stop", "The upgrade was stopped")}


@pytest.mark.parametrize(("method", "path"), [("GET", "/{}"), ("GET", "/{}/devices"), ("POST", "/{}/stop")])
async def test_an_unknown_task_is_told(world, task_id, method, path):
    answer = await world.manage(method, UPGRADES + path.format("unknown"))
    assert (answer.status_code, answer.json()["error_code"]) == (404, "not_found")


@pytest.mark.parametrize("query", [b"page=-1", b"page_size=1001", b"page_size=0", b"status=great", b"page=x"])
async def test_questions_that_cannot_be_are_refused(world, query):
    answer = await world.manage("GET", UPGRADES, query=query)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_request")


async def test_nobody_but_an_administrator_is_answered(world, caller, task_id):
    for method, path in (
        ("GET", ""),
        ("GET", f"/{task_id}"),
        ("GET", f"/{task_id}/devices"),
        ("POST", f"/{task_id}/stop"),
    ):
        answer = await caller.call(method, UPGRADES + path)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "unauthorized")
    assert (await world.manage("GET", f"{UPGRADES}/{task_id}")).json()["status"] == "waiting"


@pytest.mark.parametrize(
    ("scopes", "reads", "stops"),
    [(["upgrades:read"], 200, 403), (["upgrades:write"], 403, 200), (["push:read"], 403, 403)],
)
async def test_a_token_allows_what_its_scopes_say(world, task_id, scopes, reads, stops):
    made = await world.manage("POST", "/v1/administrators", {"name": "helper", "scopes": scopes})
    headers = {"authorization": f"Bearer {made.json()['token']}"}
    assert (await world.call("GET", UPGRADES, headers=headers)).status_code == reads
    assert (await world.call("POST", f"{UPGRADES}/{task_id}/stop", headers=headers)).status_code == stops
