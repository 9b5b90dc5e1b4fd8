"""Places are given in order, and every one of them comes back."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.gateway.pace import Pace


async def turn_of(pace: Pace, begun: list[int], number: int, until: asyncio.Event) -> None:
    async with pace.turn():
        begun.append(number)
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_begin_and_the_others_in_their_order_behind_them():
    pace, begun, ends = Pace(places=2, patience=60), [], [asyncio.Event() for _ in range(5)]
    tasks = [asyncio.ensure_future(turn_of(pace, begun, number, ends[number])) for number in range(5)]
    await settle()
    assert (begun, len(pace)) == ([0, 1], 3)
    ends[1].set()
    await settle()
    assert begun == [0, 1, 2]
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
    assert begun == [0, 1, 2, 3, 4]


async def test_who_is_slow_makes_room_and_gives_its_place_back_once():
    pace, begun, end = Pace(places=1, patience=0.01), [], asyncio.Event()
    tasks = [asyncio.ensure_future(turn_of(pace, begun, number, end)) for number in range(3)]
    async with asyncio.timeout(5):
        while len(begun) < 3:
            await asyncio.sleep(0.001)
    end.set()
    await asyncio.gather(*tasks)
    assert (pace._free, len(pace)) == (1, 0)


async def test_an_error_gives_the_place_back():
    pace = Pace(places=1, patience=60)
    with pytest.raises(ValueError, match="wrong"):
        async with pace.turn():
            raise ValueError("wrong")
    assert pace._free == 1


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(["begin", "end", "cancel"]), st.integers(0, 9)), max_size=60))
def test_whoever_is_cancelled_takes_no_place_with_it(steps):
    async def play() -> None:
        pace, begun = Pace(places=2, patience=60), []
        running: dict[int, tuple[asyncio.Task[None], asyncio.Event]] = {}
        for step, number in steps:
            if step == "begin" and number not in running:
                end = asyncio.Event()
                running[number] = asyncio.ensure_future(turn_of(pace, begun, number, end)), end
            elif step == "end" and number in running:
                running[number][1].set()
            elif step == "cancel" and number in running:
                running[number][0].cancel()
            if number % 2:
                # Otherwise more than one thing happens in the same turn of the loop.
                await settle()
            running = {each: pair for each, pair in running.items() if not pair[0].done()}
        for task, _ in running.values():
            task.cancel()
        await asyncio.gather(*(task for task, _ in running.values()), return_exceptions=True)
        assert (pace._free, len(pace)) == (2, 0)

    asyncio.run(play())
