"""Devices that fetch, and those that wait until they may."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from firmcast.coap.static_bodies import StaticBody
from firmcast.gateway import fetch_places
from firmcast.gateway.fetch_places import PATIENCE, FetchPlaces
from firmcast.gateway.transfers import Transfer
from firmcast.ids import DeviceId, DeviceUpgradeId, PackageId
from firmcast.upgrades.model import TransferTarget

SIZE = 4096
NUMBERS = count(1)


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    monkeypatch.setattr(fetch_places, "_LOOK_SECONDS", 0.001)
    return Time()


def transfer() -> Transfer:
    number = next(NUMBERS)
    target = TransferTarget(
        device_upgrade_id=DeviceUpgradeId(f"upgrade-{number}"),
        device_id=DeviceId(f"device-{number}"),
        endpoint_name=f"device-{number}",
        package_id=PackageId("package"),
        digest="",
        size=SIZE,
    )
    return Transfer(target, StaticBody(bytes(SIZE), etag=b"etag"))


async def begun(places: FetchPlaces, transfers: list[Transfer]) -> list[asyncio.Task[None]]:
    """Have transfers ordered, one after the other; return when each has a place or waits."""
    tasks = []
    for each in transfers:
        tasks.append(asyncio.create_task(places.take(each)))
        await asyncio.sleep(0)
    return tasks


def let_in(tasks: list[asyncio.Task[None]]) -> list[bool]:
    return [task.done() and not task.cancelled() for task in tasks]


async def let_in_next(task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(5):
        await task


async def test_without_a_limit_nobody_waits(time: Time) -> None:
    tasks = await begun(FetchPlaces(0, time), [transfer() for _ in range(50)])
    assert all(let_in(tasks))


async def test_who_has_the_package_makes_room_in_the_order_of_arrival(time: Time) -> None:
    places, transfers = FetchPlaces(2, time), [transfer() for _ in range(4)]
    tasks = await begun(places, transfers)
    assert let_in(tasks) == [True, True, False, False]
    transfers[1].reached = SIZE
    await let_in_next(tasks[2])
    assert not tasks[3].done()
    transfers[0].is_over = True
    await let_in_next(tasks[3])


async def test_who_lets_it_stand_still_makes_room(time: Time) -> None:
    places, transfers = FetchPlaces(2, time), [transfer() for _ in range(3)]
    tasks = await begun(places, transfers)
    time.now += PATIENCE / 2
    transfers[1].last_at = time.now
    await asyncio.sleep(0.01)
    assert not tasks[2].done()
    time.now += PATIENCE / 2
    await let_in_next(tasks[2])
    (again,) = await begun(places, [transfers[0]])
    assert not again.done(), "the other one moves, and has its place"
    again.cancel()


async def test_an_order_that_comes_to_nothing_makes_room_at_once(time: Time) -> None:
    places, transfers = FetchPlaces(1, time), [transfer(), transfer()]
    tasks = await begun(places, transfers)
    places.leave(transfers[0])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert let_in(tasks) == [True, True]


async def test_one_that_is_ordered_again_keeps_its_place(time: Time) -> None:
    places, first = FetchPlaces(1, time), transfer()
    await begun(places, [first, transfer()])
    time.now += PATIENCE - timedelta(seconds=1)
    (again,) = await begun(places, [first])
    assert again.done()


async def test_who_fetches_without_having_been_let_in_takes_a_place(time: Time) -> None:
    places, transfers = FetchPlaces(2, time), [transfer() for _ in range(4)]
    await begun(places, transfers[:1])
    for each in transfers[1:3]:
        places.fetches(each)
    (task,) = await begun(places, transfers[3:])
    transfers[0].is_over = True
    await asyncio.sleep(0.01)
    assert not task.done(), "two of two fetch still"
    transfers[1].is_over = True
    await let_in_next(task)


async def test_who_fetched_before_the_start_has_a_place_until_it_goes_on_or_is_given_up(time: Time) -> None:
    places, transfers = FetchPlaces(3, time), [transfer() for _ in range(5)]
    places.hold()
    waiting = await begun(places, transfers[3:])
    places.expect(each.target.device_upgrade_id for each in transfers[:3])
    places.open()
    await asyncio.sleep(0.01)
    assert not any(let_in(waiting))
    places.fetches(transfers[0])
    (ordered_anew,) = await begun(places, transfers[1:2])
    assert ordered_anew.done(), "it has its place still"
    time.now += PATIENCE - timedelta(seconds=1)
    transfers[0].last_at = transfers[1].last_at = time.now
    await asyncio.sleep(0.01)
    assert not any(let_in(waiting))
    time.now += timedelta(seconds=1)
    await let_in_next(waiting[0])
    assert not waiting[1].done(), "only one of them was not heard of"
    waiting[1].cancel()
    places.stop()


async def test_nobody_is_let_in_before_it_is_known_who_fetches(time: Time) -> None:
    places = FetchPlaces(1, time)
    places.hold()
    (task,) = await begun(places, [transfer()])
    await asyncio.sleep(0.01)
    assert not task.done()
    places.open()
    await let_in_next(task)


@pytest.mark.parametrize("at_the_same_moment", [False, True])
async def test_who_does_not_wait_any_longer_takes_no_place(time: Time, at_the_same_moment: bool) -> None:
    places, transfers = FetchPlaces(1, time), [transfer() for _ in range(3)]
    tasks = await begun(places, transfers)
    if at_the_same_moment:
        places.leave(transfers[0])
        tasks[1].cancel()
    else:
        tasks[1].cancel()
        await asyncio.sleep(0)
        places.leave(transfers[0])
    await let_in_next(tasks[2])
    assert tasks[1].cancelled()
    places.stop()
