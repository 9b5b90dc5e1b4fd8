"""Orders that wait for devices."""

import asyncio

import pytest

from firmcast.devices import commands
from firmcast.devices.model import CommandKind, NewCommand
from firmcast.ids import DeviceId, DeviceUpgradeId


def order(device, upgrade, kind=CommandKind.INSPECT):
    return NewCommand(
        device_id=DeviceId(device), device_upgrade_id=DeviceUpgradeId(upgrade), kind=kind, transfer_token="t"
    )


@pytest.fixture
def announced(database):
    """What is announced of new orders, in order."""
    queue = asyncio.Queue()
    database.listen(commands.DEVICE_COMMANDS, lambda items: [queue.put_nowait(item) for item in items])
    return queue


async def test_new_orders_wait_and_are_announced(database, now, announced):
    made = await database.write(commands.replace, [order("a", "1"), order("b", "2")], now)
    assert [command.device_id for command in made] == ["a", "b"]
    assert [await announced.get(), await announced.get()] == made
    assert await database.read(commands.waiting, ["a", "b", "c"]) == made
    assert await database.read(commands.waiting, ["b"]) == made[1:]


async def test_an_order_takes_the_place_of_the_former_under_a_new_number(database, now):
    (first,) = await database.write(commands.replace, [order("a", "1")], now)
    (second,) = await database.write(commands.replace, [order("a", "1", CommandKind.EXECUTE)], now)
    assert second.command_id > first.command_id
    assert await database.read(commands.waiting, ["a"]) == [second]
    await database.write(commands.finish, [first.command_id])
    assert await database.read(commands.waiting, ["a"]) == [second]
    await database.write(commands.finish, [second.command_id])
    (third,) = await database.write(commands.replace, [order("a", "1")], now)
    assert third.command_id > second.command_id


async def test_withdrawn_orders_wait_no_longer(database, now):
    _, kept = await database.write(commands.replace, [order("a", "1"), order("b", "2")], now)
    await database.write(commands.withdraw, [DeviceUpgradeId("1"), DeviceUpgradeId("unknown")])
    assert await database.read(commands.waiting, ["a", "b"]) == [kept]


async def test_empty_batches_do_nothing(database, now):
    assert await database.write(commands.replace, [], now) == []
    await database.write(commands.withdraw, [])
    await database.write(commands.finish, [])
    assert await database.read(commands.waiting, []) == []


def reset(device_id: str, upgrade_id: str):
    return order(device_id, upgrade_id, CommandKind.RESET)


@pytest.mark.parametrize("kind", CommandKind)
def test_a_reset_is_owed_for_so_many_tries_and_nothing_else_is(kind):
    owed = [tries for tries in range(commands.MOST_TRIES + 2) if commands.is_owed(kind, tries)]
    assert owed == (list(range(commands.MOST_TRIES - 1)) if kind is CommandKind.RESET else [])


async def test_what_is_owed_to_a_silent_device_waits_until_it_was_tried_often_enough(database, now):
    owed, check = await database.write(
        commands.replace, [reset("a", "1"), order("b", "check-b", CommandKind.CHECK)], now
    )
    for _ in range(commands.MOST_TRIES - 1):
        await database.write(commands.leave_unanswered, [owed.command_id, check.command_id])
        assert await database.read(commands.waiting, ["a", "b"]) == [owed]
    await database.write(commands.leave_unanswered, [owed.command_id])
    assert await database.read(commands.waiting, ["a"]) == []
    await database.write(commands.leave_unanswered, [owed.command_id])
    await database.write(commands.leave_unanswered, [])


async def test_what_was_tried_gives_way_to_the_next_upgrade_and_what_was_not_goes_first(database, now):
    tried, other = await database.write(commands.replace, [reset("a", "1"), reset("b", "2")], now)
    await database.write(commands.leave_unanswered, [tried.command_id])
    await database.write(commands.replace, [order("a", "check-a", CommandKind.CHECK)], now)
    assert tried in await database.read(commands.waiting, ["a"])
    made = await database.write(commands.replace, [order("a", "3"), order("b", "4")], now)
    waiting = await database.read(commands.waiting, ["a", "b"])
    assert tried not in waiting
    assert waiting[0] == other
    assert waiting[-2:] == made
