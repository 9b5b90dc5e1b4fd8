"""Lists over a real connection: pages when they are needed, the total first, an end in any case."""

from urllib.parse import parse_qs

import pytest

from firmcast_sdk import AsyncNorthboundClient, NorthboundClient, NotFoundError
from firmcast_sdk.wire import errors
from firmcast_sdk.wire.device_groups import DeviceGroupMembers
from firmcast_sdk.wire.encoding import encode_response
from firmcast_sdk.wire.errors import encode_error


@pytest.fixture
def members(tricky):
    """The ids of a group's devices, which the platform gives in the pages asked for."""
    ids = [f"device-{number}" for number in range(25)]

    def answer(heard):
        asked = parse_qs(heard.query)
        if asked["devGroupId"] == ["none"]:
            return tricky.say(200, encode_error(errors.DEVICE_GROUP_NOT_FOUND))
        page_no, size = int(asked["pageNo"][0]), int(asked["pageSize"][0])
        page = DeviceGroupMembers(
            total_count=len(ids),
            page_no=page_no,
            page_size=size,
            device_ids=tuple(ids[page_no * size : (page_no + 1) * size]),
        )
        return tricky.say(200, encode_response(page))

    tricky.answer = answer
    return ids


def test_blocking(tricky, tricky_url, members):
    with NorthboundClient(tricky_url, app_id="app", secret="word") as client:
        walk = client.device_group_members("g", page_size=10)
        assert (walk.page_size, tricky.heard) == (10, [])
        assert walk.total() == 25
        assert [next(walk), next(walk)] == members[:2]
        assert len(tricky.heard) == 1
        assert list(walk) == members[2:]
        assert len(tricky.heard) == 3
        assert (list(walk), walk.total()) == ([], 25)
        pages = list(client.device_group_members("g", page_size=20).pages())
        assert [len(page.items) for page in pages] == [20, 5]
        with pytest.raises(NotFoundError):
            next(client.device_group_members("none"))


async def test_asynchronous(tricky, tricky_url, members):
    async with AsyncNorthboundClient(tricky_url, app_id="app", secret="word") as client:
        walk = client.device_group_members("g", page_size=10)
        assert (walk.page_size, tricky.heard) == (10, [])
        assert await walk.total() == 25
        assert [await anext(walk), await anext(walk)] == members[:2]
        assert len(tricky.heard) == 1
        assert [one async for one in walk] == members[2:]
        assert len(tricky.heard) == 3
        assert ([one async for one in walk], await walk.total()) == ([], 25)
        pages = [page async for page in client.device_group_members("g", page_size=20).pages()]
        assert [len(page.items) for page in pages] == [20, 5]
        with pytest.raises(NotFoundError):
            await anext(client.device_group_members("none"))


def test_what_vanishes_while_it_is_read_ends_the_walk_early(tricky, tricky_url, members):
    with NorthboundClient(tricky_url, app_id="app", secret="word") as client:
        walk = client.device_group_members("g", page_size=10)
        first = [next(walk) for _ in range(10)]
        members.clear()
        assert list(walk) == []
        assert (len(first), walk.total()) == (10, 25)


def test_all_can_be_deleted_that_a_list_gives(tricky, tricky_url, members):
    listed = tricky.answer

    def answer(heard):
        if heard.method == "DELETE":
            members.remove(heard.path.rsplit("/", 1)[-1])
            return tricky.say(204)
        return listed(heard)

    tricky.answer = answer
    with NorthboundClient(tricky_url, app_id="app", secret="word") as client:
        for device_id in list(client.device_group_members("g", page_size=10)):
            client.delete_device(device_id)
    assert members == []


def test_an_empty_list(tricky, tricky_url, members):
    members.clear()
    with NorthboundClient(tricky_url, app_id="app", secret="word") as client:
        walk = client.device_group_members("g")
        assert (walk.total(), list(walk)) == (0, [])
    assert len(tricky.heard) == 1
