"""What becomes of the session of a device that reboots, moves, is forgotten, says things twice, late or in disorder."""

import asyncio
import socket

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.message import Message, encode
from firmcast.devices import registrations
from firmcast.errors import StoreUnreachableError
from firmcast.upgrades.model import UpgradePhase

PACKAGE = bytes(range(256)) * 40
SUCCESS = ["1", "2", "3", "0", "succeeded"]


@pytest.fixture
async def known(world):
    return await world.add_device()


@pytest.fixture
async def device(world, known, make_raw):
    """A device that has been told where its package is."""
    made = await make_raw()
    await made.register()
    made.task = await world.upgrade(await world.add_package(PACKAGE), known)
    await made.until_asked(Code.PUT, "/5/0/1")
    return made


def package_path(device) -> str:
    return "/" + device.values["/5/0/1"].split("/", 3)[3]


async def fetch(device, number: int) -> bytes:
    answer = await device.ask(Code.GET, package_path(device), block2=Block(number, more=False, szx=6))
    assert answer.code == Code.CONTENT
    return answer.payload


async def tell(device, *states: str) -> None:
    """Notify of states one after the other."""
    for state in states:
        device.sequence = getattr(device, "sequence", 7) + 1
        told = device.notification("/5/0/3", state, device.sequence)
        assert await device.reply_to(told) is MessageType.ACK


async def install(device) -> None:
    """Do as told, and come back from another address with the new firmware."""
    await device.until_asked(Code.POST, "/5/0/2")
    await tell(device, "3")
    device.values.update({"/5/0/3": "0", "/5/0/5": "1", "/5/0/1": "", "/3/0/3": "2.0"})
    await device.open()
    assert await device.register() == Code.CREATED


async def ended(world, known) -> list[str]:
    told = await world.until_told(known, "succeeded", "failed", any_of=True)
    sequences = [event.sequence for event in await world.stored_events(known)]
    assert sequences == list(range(1, len(sequences) + 1))
    return told


async def test_a_device_that_reboots_after_its_success_is_left_alone(world, known, device) -> None:
    await tell(device, "1", "2")
    await install(device)
    assert await ended(world, known) == SUCCESS
    asked = len(device.asked)
    for _ in range(2):
        await device.open()
        assert await device.register() == Code.CREATED
    assert await device.update() == Code.CHANGED
    assert await world.told(known) == SUCCESS
    assert len(device.asked) == asked


@pytest.mark.parametrize("updated", [False, True])
async def test_a_device_is_spoken_to_where_its_notification_came_from(world, known, device, updated) -> None:
    await tell(device, "1")
    await device.open()
    # The gateway knows nobody at this address; the token tells who it is.
    await tell(device, "2")
    await device.until_asked(Code.POST, "/5/0/2")
    if updated:
        assert await device.update() == Code.CHANGED
    await install(device)
    assert await ended(world, known) == SUCCESS


async def test_a_late_notification_from_the_former_address_leads_nobody_back(world, known, device) -> None:
    await tell(device, "1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as former:
        former.bind(("127.0.0.1", 0))
        await asyncio.get_running_loop().run_in_executor(
            None, former.sendto, encode(notification(device, "1")), world.server
        )
        await world.eventually(lambda: world.gateway._live.of(known.device_id).peer == former.getsockname())
        await device.open()
        await tell(device, "1")
        peer = world.gateway._live.of(known.device_id).peer
        assert peer != former.getsockname()
        late = replace_sequence(notification(device, "1"), 3)
        former.sendto(encode(late), world.server)
        await tell(device, "2")
    await device.until_asked(Code.POST, "/5/0/2")
    assert world.gateway._live.of(known.device_id).peer == peer
    assert device.asked[-1].code == Code.POST


def notification(device, state: str) -> Message:
    device.sequence = getattr(device, "sequence", 7) + 1
    return device.notification("/5/0/3", state, device.sequence)


def replace_sequence(message: Message, sequence: int) -> Message:
    others = tuple(option for option in message.options if option[0] != 6)
    return Message(
        message.type,
        message.code,
        message.message_id + 1000,
        message.token,
        tuple(sorted((*others, (6, bytes((sequence,)))))),
        message.payload,
    )


@pytest.mark.parametrize("updated", [False, True])
async def test_a_download_goes_on_from_another_port(world, known, device, updated) -> None:
    await tell(device, "1")
    package = await fetch(device, 0)
    await device.open()
    package += await fetch(device, 1)
    if updated:
        assert await device.update() == Code.CHANGED
    for number in range(2, 10):
        package += await fetch(device, number)
    assert package == PACKAGE
    upgrade = await world.device_upgrade(device.task)
    assert world.gateway.progress(upgrade.device_upgrade_id) == (len(PACKAGE), len(PACKAGE))
    await tell(device, "2")
    await install(device)
    assert await ended(world, known) == SUCCESS
    assert len(device.requests(Code.PUT, "/5/0/1")) == 1


async def test_a_registration_that_was_lost_is_made_anew_in_the_middle(world, known, device) -> None:
    await tell(device, "1")
    await world.until_told(known, "1")
    await world.kill()
    lost = (await world.database.read(registrations.of_devices, [known.device_id], world.clock.now()))[known.device_id]
    await world.database.write(registrations.remove, [lost.registration_id], world.clock.now(), log=world.log)
    await world.start()
    assert await device.update() == Code.NOT_FOUND
    # Nobody knows what it observed, so it is told to stop.
    assert await device.reply_to(notification(device, "1")) is MessageType.RST
    asked = len(device.requests(Code.GET, "/5/0/3"))
    assert await device.register() == Code.CREATED
    await device.until_asked(Code.GET, "/5/0/3", times=asked + 2)
    await tell(device, "2")
    await install(device)
    assert await ended(world, known) == SUCCESS
    assert len(device.requests(Code.PUT, "/5/0/1")) == 1


@pytest.mark.parametrize("came_on", [False, True])
async def test_a_lifetime_that_ends_in_the_middle_costs_nothing_but_time(world, known, make_raw, came_on) -> None:
    device = await make_raw()
    await device.register(lifetime=1)
    task = await world.upgrade(await world.add_package(PACKAGE), known)
    await device.until_asked(Code.PUT, "/5/0/1")
    await tell(device, "1")
    await world.eventually(lambda: world.gateway.device_count == 0)
    assert (await world.device_upgrade(task)).phase is UpgradePhase.TRANSFERRING
    # Blocks are served all the same: the token opens them.
    assert await fetch(device, 0) == PACKAGE[:1024]
    if came_on:
        device.values["/5/0/3"] = "2"
    await device.open()
    assert await device.register() == Code.CREATED
    if not came_on:
        await device.until_asked(Code.GET, "/5/0/5", times=4)
        await tell(device, "2")
    await install(device)
    assert await ended(world, known) == SUCCESS
    assert len(device.requests(Code.PUT, "/5/0/1")) == 1


async def test_what_is_said_twice_late_or_in_disorder_is_told_once_and_in_order(world, known, make_raw) -> None:
    device = await make_raw()
    register = device.make(
        Code.POST,
        "/rd",
        b"</1/0>,</3/0>,</5/0>",
        uri_query=("ep=device-1", "lt=300", "lwm2m=1.1", "b=U"),
        content_format=40,
    )
    made = await device.answer_to(register, repeats=3)
    device.location = made.location_path
    task = await world.upgrade(await world.add_package(PACKAGE), known)

    def answer_twice(request: Message) -> None:
        device._answer(request)
        late.append(request)
        if len(late) > 1:
            # An answer to something else, long answered.
            device._answer(late[-2])

    late: list[Message] = []
    device.on_asked = answer_twice
    await device.until_asked(Code.PUT, "/5/0/1")
    one, two = notification(device, "1"), notification(device, "2")
    for message in (two, one, two, one, one):
        device.send(message)
    assert await device.reply_to(two) is MessageType.ACK
    update = device.make(Code.POST, "/".join(device.location))
    assert (await device.answer_to(update, repeats=3)).code == Code.CHANGED
    await device.until_asked(Code.POST, "/5/0/2")
    await tell(device, "3")
    # Late words of before: a notification that was overtaken, and a registration that is no new one.
    live = world.gateway._live.of(known.device_id)
    device.send(one)
    device.send(register)
    assert await device.update() == Code.CHANGED
    assert world.gateway._live.of(known.device_id) is live
    await install(device)
    assert await ended(world, known) == ["*1", "2", "3", "0", "succeeded"]
    assert len(device.requests(Code.POST, "/5/0/2")) == len(device.requests(Code.PUT, "/5/0/1")) == 1
    device.send(one)
    device.send(two)
    assert await device.update() == Code.CHANGED
    assert await world.told(known) == ["*1", "2", "3", "0", "succeeded"]
    assert (await world.device_upgrade(task)).phase is UpgradePhase.CLOSED


async def test_orders_that_could_not_be_read_are_read_when_the_store_is_back(
    world, known, make_raw, monkeypatch
) -> None:
    """A connection to the database that was cut must not leave a device without a word until it says something."""
    device = await make_raw()
    await device.register()
    read, refused = world.database.read, []

    async def away(use_case, /, *args, **kwargs):
        if len(refused) < 3:
            refused.append(use_case)
            raise StoreUnreachableError("away")
        return await read(use_case, *args, **kwargs)

    task = await world.upgrade(await world.add_package(PACKAGE), known)
    monkeypatch.setattr(world.database, "read", away)
    await device.until_asked(Code.PUT, "/5/0/1")
    assert len(refused) == 3
    # In the midst of a session, too.
    refused.clear()
    await fetch(device, 0)
    for number in range(1, 10):
        await fetch(device, number)
    await tell(device, "1", "2")
    await install(device)
    assert await ended(world, known) == SUCCESS
    assert (await world.device_upgrade(task)).phase is UpgradePhase.CLOSED
