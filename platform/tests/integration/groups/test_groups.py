"""Device groups in a real store."""

import pytest

from firmcast.db.page import Page
from firmcast.errors import NotFoundError
from firmcast.groups import store, use_cases
from firmcast.groups.model import (
    GroupFullError,
    GroupNameTakenError,
    TooManyDevicesError,
    TooManyGroupsError,
    UnknownDevicesError,
)
from firmcast.ids import ApplicationId, DeviceId, GroupId

OTHER = ApplicationId("other")


@pytest.fixture
def create(database, application_id, now):
    async def make(name, owner=application_id, **said):
        return await database.write(use_cases.create, owner, name, now, **said)

    return make


async def counted(database, group_id):
    """How many members a group has, counted one by one."""
    return len(await database.read(store.members, group_id, Page()))


async def walked(database, group_ids, limit):
    """Every member of these groups, page by page."""
    found = []
    page = await database.read(use_cases.member_page, group_ids, limit=limit)
    while page:
        found += page
        page = await database.read(use_cases.member_page, group_ids, page[-1], limit)
    return found


async def test_a_group_is_found_by_its_owner_only(database, create, application_id, now):
    group = await create("north", description="meters of the north", max_devices=7)
    assert (group.device_count, group.max_devices, group.created_at) == (0, 7, now)
    assert await database.read(use_cases.find, application_id, group.group_id) == group
    assert await database.read(use_cases.by_names, application_id, ["north", "south"]) == {"north": group}
    assert await database.read(use_cases.by_names, OTHER, ["north"]) == {}
    for asking in (use_cases.find, use_cases.members):
        with pytest.raises(NotFoundError):
            await database.read(asking, OTHER, group.group_id)
    for change in (use_cases.modify, use_cases.delete):
        with pytest.raises(NotFoundError):
            await database.write(change, OTHER, group.group_id)
    for change in (use_cases.add_members, use_cases.remove_members):
        with pytest.raises(NotFoundError):
            await database.write(change, OTHER, group.group_id, [])


async def test_a_name_is_taken_once_in_each_application(database, create, application_id):
    group, second = await create("north"), await create("south")
    await create("north", OTHER)
    with pytest.raises(GroupNameTakenError):
        await create("north")
    with pytest.raises(GroupNameTakenError):
        await database.write(use_cases.modify, application_id, second.group_id, name="north")
    again = await database.write(use_cases.modify, application_id, group.group_id, name="north", description="x")
    assert (again.name, again.description) == ("north", "x")
    assert await database.read(use_cases.find, application_id, group.group_id) == again


async def test_an_application_has_as_many_groups_as_it_may(database, create, application_id):
    await create("a", group_limit=2)
    second = await create("b", group_limit=2)
    with pytest.raises(TooManyGroupsError):
        await create("c", group_limit=2)
    await create("c", OTHER, group_limit=2)
    await database.write(use_cases.delete, application_id, second.group_id)
    await create("c", group_limit=2)


async def test_groups_are_listed_the_oldest_first_and_by_name(database, create, application_id):
    groups = [await create(name) for name in ("a", "b", "c")]
    await create("a", OTHER)
    groups.sort(key=lambda group: group.group_id)  # all are of the same moment
    assert await database.read(use_cases.listed, application_id) == (groups, 3)
    assert await database.read(use_cases.listed, application_id, Page(1, 1)) == ([groups[1]], 3)
    named = next(group for group in groups if group.name == "b")
    assert await database.read(use_cases.listed, application_id, name="b") == ([named], 1)
    assert await database.read(use_cases.listed, application_id, Page(1, 1), name="b") == ([], 1)
    assert await database.read(use_cases.listed, application_id, name="nobody") == ([], 0)


async def test_members_come_and_leave_and_are_counted(database, create, application_id, make_devices):
    ids = await make_devices(6)
    group = await create("north", device_ids=ids[:2])
    assert group.device_count == 2
    group = await database.write(use_cases.add_members, application_id, group.group_id, [*ids[1:4], ids[3]])
    assert group.device_count == 4
    found, total = await database.read(use_cases.members, application_id, group.group_id)
    assert (found, total) == (sorted(ids[:4]), 4)
    page, total = await database.read(use_cases.members, application_id, group.group_id, Page(1, 2))
    assert (page, total) == (sorted(ids[:4])[1:3], 4)
    group = await database.write(use_cases.remove_members, application_id, group.group_id, [ids[0], ids[5]])
    assert group.device_count == 3 == await counted(database, group.group_id)
    assert await database.read(use_cases.find, application_id, group.group_id) == group


async def test_a_group_takes_only_devices_of_its_application_and_all_or_none(
    database, create, application_id, make_devices
):
    ids = await make_devices(2)
    theirs = await make_devices(1, OTHER, "theirs")
    group = await create("north", device_ids=ids[:1])
    for strange in (theirs[0], DeviceId("unknown")):
        with pytest.raises(UnknownDevicesError):
            await database.write(use_cases.add_members, application_id, group.group_id, [ids[1], strange])
        with pytest.raises(UnknownDevicesError):
            await database.write(use_cases.remove_members, application_id, group.group_id, [ids[0], strange])
        with pytest.raises(UnknownDevicesError):
            await create("south", device_ids=[strange])
    assert await counted(database, group.group_id) == 1
    assert await database.read(use_cases.by_names, application_id, ["south"]) == {}


async def test_a_full_group_takes_no_more(database, create, application_id, make_devices):
    ids = await make_devices(4)
    group = await create("north", max_devices=2, device_ids=ids[:2])
    with pytest.raises(GroupFullError):
        await database.write(use_cases.add_members, application_id, group.group_id, [ids[2]])
    assert await counted(database, group.group_id) == 2
    again = await database.write(use_cases.add_members, application_id, group.group_id, ids[:2])
    assert again.device_count == 2
    with pytest.raises(GroupFullError):
        await database.write(use_cases.modify, application_id, group.group_id, max_devices=1)
    await database.write(use_cases.modify, application_id, group.group_id, max_devices=0)
    await database.write(use_cases.add_members, application_id, group.group_id, ids)
    with pytest.raises(TooManyDevicesError):
        await create("south", max_devices=3, device_ids=ids)


async def test_one_call_takes_a_thousand_devices(database, create, application_id):
    group = await create("north")
    ids = [DeviceId(str(number)) for number in range(1001)]
    for change in (use_cases.add_members, use_cases.remove_members):
        with pytest.raises(TooManyDevicesError):
            await database.write(change, application_id, group.group_id, ids)


async def test_a_deleted_device_leaves_every_group(database, create, application_id, make_devices):
    ids = await make_devices(3)
    groups = [await create(name, device_ids=ids[:2]) for name in ("a", "b")]
    await create("c", device_ids=ids[2:])
    await database.write(use_cases.forget_device, ids[0])
    for group in groups:
        left = await database.read(use_cases.find, application_id, group.group_id)
        assert left.device_count == 1 == await counted(database, group.group_id)
    found = await database.read(use_cases.by_names, application_id, ["c"])
    assert found["c"].device_count == 1


async def test_a_deleted_group_is_gone_at_once_and_its_members_in_batches(
    database, create, application_id, make_devices
):
    ids = await make_devices(5)
    group = await create("north", device_ids=ids)
    assert await database.write(use_cases.delete, application_id, group.group_id) == group
    with pytest.raises(NotFoundError):
        await database.read(use_cases.members, application_id, group.group_id)
    removed = [await database.write(use_cases.purge_members, group.group_id, 2) for _ in range(4)]
    assert removed == [2, 2, 1, 0]
    assert await counted(database, group.group_id) == 0
    await create("north")


async def test_an_application_is_forgotten_in_batches(database, create, application_id, make_devices):
    ids = await make_devices(5)
    theirs = await create("theirs", OTHER)
    groups = [await create(name, device_ids=ids) for name in ("a", "b")]
    calls = 1
    while await database.write(use_cases.forget_application, application_id, 2):
        calls += 1
    assert calls == 7
    assert [await counted(database, group.group_id) for group in groups] == [0, 0]
    assert await database.read(use_cases.listed, application_id) == ([], 0)
    assert await database.read(use_cases.listed, OTHER) == ([theirs], 1)


async def test_five_thousand_members_of_groups_that_overlap_are_walked_once_each(
    database, create, application_id, make_devices
):
    ids = await make_devices(5000)
    shares = {"all": ids, "even": ids[::2], "few": ids[:3], "none": []}
    groups = {}
    for name, members in shares.items():
        groups[name] = (await create(name)).group_id
        for start in range(0, len(members), 1000):
            await database.write(use_cases.add_members, application_id, groups[name], members[start : start + 1000])
    assert await walked(database, list(groups.values()), 700) == sorted(ids)
    assert await walked(database, [groups["even"], groups["few"], groups["even"]], 700) == sorted({*ids[::2], *ids[:3]})
    assert await walked(database, [groups["none"], GroupId("unknown")], 700) == []
    assert await walked(database, [], 700) == []
    assert await database.read(use_cases.member_page, [groups["all"]], limit=0) == []
    last, total = await database.read(use_cases.members, application_id, groups["all"], Page(4990, 100))
    assert (last, total) == (sorted(ids)[4990:], 5000)


async def plan(tx, statement, arguments):
    rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {statement.sqlite}", arguments).fetchall()
    return " | ".join(row[3] for row in rows)


@pytest.mark.only_sqlite
@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (store.FIND, ("a", "g")),
        (store.BY_NAMES, ("a", '["n"]')),
        (store.LIST, ("a", 10, 0)),
        (store.COUNT, ("a",)),
        (store.DELETE_MEMBERS, ("g", '["d"]')),
        (store.MOVE_COUNTS_OF_DEVICE, ("d",)),
        (store.DELETE_DEVICE, ("d",)),
        (store.PURGE, ("g", 10)),
        (store.MEMBERS, ("g", 10, 0)),
        (store.NEXT_MEMBERS, ('[["g", "d"]]', 10)),
    ],
)
async def test_it_searches_and_never_scans(database, statement, arguments):
    found = await database.read(plan, statement, arguments)
    assert "SEARCH" in found
    assert "SCAN device_group" not in found
    assert "SCAN m" not in found
    assert "SCAN last" not in found
    assert "TEMP B-TREE" not in found


@pytest.mark.only_sqlite
async def test_a_member_is_found_from_both_sides(database):
    by_group = await database.read(plan, store.NEXT_MEMBERS, ('[["g", "d"]]', 10))
    assert "SEARCH m USING PRIMARY KEY (group_id=? AND device_id>? AND device_id<?)" in by_group
    by_device = await database.read(plan, store.DELETE_DEVICE, ("d",))
    assert "device_group_member_by_device (device_id=?)" in by_device
