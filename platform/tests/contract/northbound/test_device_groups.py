"""Device groups, section 7 of the contract page."""

import msgspec
import pytest

from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.groups import use_cases
from firmcast.ids import GroupId

GROUPS = "/iocm/app/devgroup/v1.3.0/devGroups"
MEMBERS = "/iocm/app/dm/v1.2.0/devices/ids"
ADD = "/iocm/app/dm/v1.1.0/devices/addDevGroupTagToDevices"
REMOVE = "/iocm/app/dm/v1.1.0/devices/deleteDevGroupTagFromDevices"
DEVICES = "/iocm/app/dm/v1.4.0/devices"
INVALID = (400, "50400", "The input is invalid.")
NAME_USED = (200, "100602", "The device group name has been used.")
NOT_FOUND = (200, "100603", "The device group is not existed.")
FULL = (200, "100601", "The number of device in the group has reach the max.")
DEVICE_INVALID = (400, "100604", "The device group request parameter is invalid.")
LIMIT_REACHED = (200, "100607", "The devGroup has reached the limit.")
TOO_MANY = (400, "100609", "Too much devices to add.")
NOT_AUTHORISED = (403, "100217", "The application hasn't been authorized.")


async def create(caller, name="quarterNorth", **said):
    answer = await caller.call("POST", GROUPS, {"name": name, **said})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


@pytest.fixture
async def devices(world, caller):
    return sorted([await world.register(caller, f"node-{number}") for number in range(4)])


async def members(caller, group_id):
    answer = await caller.call("GET", f"{MEMBERS}?devGroupId={group_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()["deviceIds"]


async def number_of_groups(caller):
    return (await caller.call("GET", GROUPS)).json()["totalCount"]


@pytest.mark.parametrize("name", ["create_device_group_request.json", "create_device_group_request_nulls.json"])
async def test_a_group_is_made_and_answered_with_200(world, caller, golden, devices, name):
    body = golden(name).replace(b"3e3c1d2a", devices[0].encode()).replace(b"8b20f477", devices[1].encode())
    answer = await caller.call("POST", GROUPS, body)
    expected = (
        golden("device_group.json")
        .replace(b"5f0c9d7e-5b0a-4f55-9b58-2f0e1a6c7d11", answer.json()["id"].encode())
        .replace(b"a8K2pX", caller.application_id.encode())
    )
    assert (answer.status_code, answer.content) == (200, expected)
    assert answer.headers["content-type"] == "application/json"
    assert await members(caller, answer.json()["id"]) == devices[:2]


@pytest.mark.parametrize("name", ["a", "A1", "0" * 50, "quarter_north", "quarter-north"])
async def test_names_that_clients_use_are_taken(caller, name):
    await create(caller, name)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": None},
        {"name": ""},
        {"name": " "},
        {"name": "a" * 51},
        {"name": "two words"},
        {"name": "a/b"},
        {"name": "a\n"},
        {"name": "ü"},
        {"name": []},
        {"description": "a" * 1025},
        {"description": "a\0"},
        {"maxDevNum": -1},
        {"maxDevNum": 2**31},
        {"maxDevNum": "many"},
        {"deviceIds": "a"},
        {"deviceIds": [None]},
        {"deviceIds": ["unknown"]},
    ],
)
async def test_a_group_that_cannot_be_is_refused(caller, refused, changed):
    refused(await caller.call("POST", GROUPS, {"name": "quarterNorth", **changed}), *INVALID)
    assert await number_of_groups(caller) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
async def test_what_is_no_object_is_refused(caller, refused, body):
    group_id = await create(caller)
    for method, path in (("POST", GROUPS), ("PUT", f"{GROUPS}/{group_id}"), ("POST", ADD), ("POST", REMOVE)):
        refused(await caller.call(method, path, body), 400, "100007", "Bad request message.")


async def test_100602_a_name_is_used_once(world, caller, refused):
    await create(caller)
    refused(await caller.call("POST", GROUPS, {"name": "quarterNorth"}), *NAME_USED)
    second = await create(caller, "quarterSouth")
    refused(await caller.call("PUT", f"{GROUPS}/{second}", {"name": "quarterNorth"}), *NAME_USED)
    await create(await world.login("somebody else"))


async def test_100607_the_number_of_groups_has_a_limit(world, caller, refused):
    async def fill(tx):
        for number in range(1000):
            await use_cases.create(tx, caller.application_id, f"g{number}", world.clock.now())

    await world.database.write(fill)
    refused(await caller.call("POST", GROUPS, {"name": "onceMore"}), *LIMIT_REACHED)
    await create(await world.login("somebody else"))


async def test_100609_a_new_group_is_given_no_more_than_it_takes(caller, refused, devices):
    refused(await caller.call("POST", GROUPS, {"name": "g", "maxDevNum": 1, "deviceIds": devices[:2]}), *TOO_MANY)
    too_many = [f"d{number}" for number in range(1001)]
    refused(await caller.call("POST", GROUPS, {"name": "g", "deviceIds": too_many}), *TOO_MANY)
    assert await number_of_groups(caller) == 0
    group_id = await create(caller, maxDevNum=1, deviceIds=[devices[0], devices[0]])
    assert await members(caller, group_id) == devices[:1]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", GROUPS + "/{}", None),
        ("PUT", GROUPS + "/{}", {}),
        ("DELETE", GROUPS + "/{}", None),
        ("GET", MEMBERS + "?devGroupId={}", None),
        ("POST", ADD, {"devGroupId": "{}", "deviceIds": []}),
        ("POST", REMOVE, {"devGroupId": "{}", "deviceIds": []}),
    ],
)
async def test_100603_an_unknown_group_and_another_ones_are_refused_alike(world, caller, refused, method, path, body):
    theirs = await create(await world.login("somebody else"))
    for group_id in ("unknown", theirs):
        given = None if body is None else msgspec.json.encode(body).replace(b"{}", group_id.encode(), 1)
        if body == {}:
            given = b"{}"
        refused(await caller.call(method, path.format(group_id), given), *NOT_FOUND)


async def test_100601_a_full_group_takes_no_more(caller, refused, devices):
    group_id = await create(caller, maxDevNum=2, deviceIds=devices[:2])
    refused(await caller.call("POST", ADD, {"devGroupId": group_id, "deviceIds": devices[2:3]}), *FULL)
    refused(await caller.call("PUT", f"{GROUPS}/{group_id}", {"maxDevNum": 1}), *FULL)
    assert await members(caller, group_id) == devices[:2]


async def test_100604_strange_devices_and_too_many_are_neither_added_nor_removed(world, caller, refused, devices):
    group_id = await create(caller, deviceIds=devices[:1])
    theirs = await world.register(await world.login("somebody else"), "theirs")
    for path in (ADD, REMOVE):
        for strange in (["unknown"], [theirs], [*devices, "unknown"], [str(number) for number in range(1001)]):
            refused(await caller.call("POST", path, {"devGroupId": group_id, "deviceIds": strange}), *DEVICE_INVALID)
    assert await members(caller, group_id) == devices[:1]


@pytest.mark.parametrize("path", [ADD, REMOVE])
@pytest.mark.parametrize("changed", [{"devGroupId": None}, {"devGroupId": ""}, {"deviceIds": None}, {"deviceIds": "a"}])
async def test_members_without_their_group_or_devices_are_refused(caller, refused, devices, path, changed):
    body = {"devGroupId": await create(caller), "deviceIds": devices, **changed}
    refused(await caller.call("POST", path, body), *INVALID)


async def test_members_are_added_and_removed(caller, golden, devices):
    group_id = await create(caller)
    body = (
        golden("device_group_with_devices.json")
        .replace(b"5f0c9d7e-5b0a-4f55-9b58-2f0e1a6c7d11", group_id.encode())
        .replace(b"3e3c1d2a", devices[0].encode())
        .replace(b"8b20f477", devices[1].encode())
    )
    for _ in range(2):
        answer = await caller.call("POST", f"{ADD}?accessAppId={caller.application_id}", body)
        assert (answer.status_code, answer.content) == (200, body)
    assert await members(caller, group_id) == devices[:2]
    for _ in range(2):  # what is gone is not missed: a call whose answer was lost may be made again
        answer = await caller.call("POST", REMOVE, {"devGroupId": group_id, "deviceIds": devices[1:3]})
        # Trap 3: a void call has no body, and names its content type all the same.
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/json"
    assert await members(caller, group_id) == devices[:1]


async def test_a_device_may_be_in_many_groups_and_leaves_them_when_it_is_deleted(caller, devices):
    groups = [await create(caller, name, deviceIds=devices[:2]) for name in ("a", "b")]
    assert (await caller.call("DELETE", f"{DEVICES}/{devices[0]}")).status_code == 204
    for group_id in groups:
        assert await members(caller, group_id) == devices[1:2]
        assert (await caller.call("GET", f"{GROUPS}/{group_id}")).json()["curDevNum"] == 1


async def test_the_members_are_paged(caller, golden, devices):
    group_id = await create(caller, deviceIds=devices)
    answer = await caller.call("GET", MEMBERS, query=f"?&devGroupId={group_id}&pageNo=0&pageSize=2&".encode())
    assert answer.json() == {"totalCount": 4, "pageNo": 0, "pageSize": 2, "deviceIds": devices[:2]}
    assert list(answer.json()) == list(msgspec.json.decode(golden("device_group_members.json")))
    answer = await caller.call("GET", f"{MEMBERS}?devGroupId={group_id}&pageNo=1&pageSize=3")
    assert answer.json() == {"totalCount": 4, "pageNo": 1, "pageSize": 3, "deviceIds": devices[3:]}
    answer = await caller.call("GET", f"{MEMBERS}?devGroupId={group_id}&pageNo=0")
    assert (answer.json()["pageSize"], answer.json()["deviceIds"]) == (10, devices)
    answer = await caller.call("GET", f"{MEMBERS}?devGroupId={group_id}&pageNo=&pageSize=2")
    assert answer.json() == {"totalCount": 4, "pageNo": 0, "pageSize": 4, "deviceIds": devices}


async def test_the_path_of_the_members_is_no_device(caller, refused):
    refused(await caller.call("GET", MEMBERS), *INVALID)


async def test_a_group_is_read_changed_and_deleted(caller, golden, devices, refused):
    group_id = await create(caller, description="meters of the north", maxDevNum=5000, deviceIds=devices[:2])
    path = f"{GROUPS}/{group_id}"

    def own(name):
        said = golden(name).replace(b"5f0c9d7e-5b0a-4f55-9b58-2f0e1a6c7d11", group_id.encode())
        return said.replace(b"a8K2pX", caller.application_id.encode())

    answer = await caller.call("GET", f"{path}?accessAppId=")
    assert (answer.status_code, answer.content) == (200, own("device_group_details.json"))
    nothing = {"name": None, "description": None, "maxDevNum": None, "appId": None, "id": "x"}
    answer = await caller.call("PUT", path, nothing)
    assert (answer.status_code, answer.content) == (200, own("device_group.json"))
    answer = await caller.call("PUT", path, golden("modify_device_group_request.json"))
    changed = answer.json()
    assert (changed["name"], changed["description"], changed["maxDevNum"], changed["curDevNum"]) == (
        "quarterSouth",
        "meters of the south",
        0,
        2,
    )
    answer = await caller.call("DELETE", path, headers={"content-length": "0"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json"
    refused(await caller.call("GET", path), *NOT_FOUND)
    refused(await caller.call("DELETE", path), *NOT_FOUND)
    assert (await caller.call("GET", f"{DEVICES}/{devices[0]}")).status_code == 200
    await create(caller, "quarterSouth")


@pytest.mark.parametrize("changed", [{"name": ""}, {"name": "a b"}, {"maxDevNum": -1}, {"description": "a" * 1025}])
async def test_a_change_that_cannot_be_is_refused(caller, refused, changed):
    path = f"{GROUPS}/{await create(caller)}"
    before = (await caller.call("GET", path)).content
    refused(await caller.call("PUT", path, {"description": "new", **changed}), *INVALID)
    assert (await caller.call("GET", path)).content == before


async def test_a_deleted_group_leaves_no_members_behind(world, caller, devices):
    group_id = await create(caller, deviceIds=devices)
    await caller.call("DELETE", f"{GROUPS}/{group_id}")
    assert await world.database.read(use_cases.member_page, [GroupId(group_id)]) == []


async def test_the_list_is_paged_by_one_and_found_by_name(world, caller, golden):
    ids = []
    for name in ("a", "b", "c"):
        ids.append(await create(caller, name))
        world.clock.pass_time(seconds=1)
    await create(await world.login("somebody else"), "theirs")
    first = (await caller.call("GET", f"{GROUPS}?pageNo=0")).json()
    assert list(first) == list(msgspec.json.decode(golden("device_group_list.json"))) == [*first]
    assert (first["totalCount"], first["pageNo"], first["pageSize"]) == (3, 0, 1)
    assert [group["id"] for group in first["list"]] == ids[:1]
    assert first["list"][0]["creator"] == caller.application_id
    second = (await caller.call("GET", GROUPS, query=b"?&pageNo=1&pageSize=2&")).json()
    assert [group["id"] for group in second["list"]] == ids[2:]
    everything = (await caller.call("GET", f"{GROUPS}?pageNo=&pageSize=1")).json()
    assert ([group["id"] for group in everything["list"]], everything["pageSize"]) == (ids, 3)
    named = (await caller.call("GET", f"{GROUPS}?name=b&pageNo=0")).json()
    assert ([group["id"] for group in named["list"]], named["totalCount"]) == ([ids[1]], 1)
    assert (await caller.call("GET", f"{GROUPS}?name=nobody")).json()["list"] == []


@pytest.mark.parametrize(
    "query",
    ["pageNo=-1", "pageNo=x", "pageNo=99999999999999999999", "pageNo=0&pageSize=0", "pageNo=0&pageSize=1001"],
)
async def test_pages_that_cannot_be_are_refused(caller, refused, query):
    group_id = await create(caller)
    refused(await caller.call("GET", f"{GROUPS}?{query}"), *INVALID)
    refused(await caller.call("GET", f"{MEMBERS}?devGroupId={group_id}&{query}"), *INVALID)


async def test_100217_groups_of_other_applications_are_not_authorised(world, caller, refused):
    other = (await world.login("somebody else")).application_id
    group_id = await create(caller)
    body = {"devGroupId": group_id, "deviceIds": []}
    refused(await caller.call("POST", GROUPS, {"name": "a", "appId": other}), *NOT_AUTHORISED)
    for method, path, said in (
        ("GET", f"{GROUPS}?accessAppId={other}", None),
        ("GET", f"{GROUPS}/{group_id}?accessAppId={other}", None),
        ("PUT", f"{GROUPS}/{group_id}?accessAppId={other}", {}),
        ("DELETE", f"{GROUPS}/{group_id}?accessAppId={other}", None),
        ("GET", f"{MEMBERS}?devGroupId={group_id}&appId={other}", None),
        ("GET", f"{MEMBERS}?devGroupId={group_id}&accessAppId={other}", None),
        ("POST", f"{ADD}?accessAppId={other}", body),
        ("POST", f"{REMOVE}?accessAppId={other}", body),
    ):
        refused(await caller.call(method, path, said), *NOT_AUTHORISED)


async def test_every_change_is_recorded_and_no_refusal_is(world, caller, devices):
    group_id = await create(caller, deviceIds=devices[:1])
    await caller.call("POST", ADD, {"devGroupId": group_id, "deviceIds": devices})
    await caller.call("POST", REMOVE, {"devGroupId": group_id, "deviceIds": devices[:1]})
    await caller.call("PUT", f"{GROUPS}/{group_id}", {"name": "other"})
    await caller.call("POST", GROUPS, {"name": "other"})
    await caller.call("POST", ADD, {"devGroupId": group_id, "deviceIds": ["unknown"]})
    await caller.call("DELETE", f"{GROUPS}/{group_id}")
    entries, _ = await world.database.read(audit.listed, AuditFilter(action="group."), Page())
    assert [(entry.action, entry.actor.name, entry.subject) for entry in reversed(entries)] == [
        (f"group.{verb}", caller.application_id, group_id)
        for verb in ("create", "add_devices", "remove_devices", "modify", "delete")
    ]
