"""Devices that fetch, and those that wait until they may."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from firmcast.coap.static_bodies import StaticBody
from firmcast.gateway import fetch_places
from firmcast.gateway.fetch_places import PATIENCE, FetchPlaces
from firmcast.gateway.transfers import Transfer

SIZE = 4096


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
    return Transfer(cast("Any", None), StaticBody(bytes(SIZE), etag=b"etag"))


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
