"""Addresses change, orders are overtaken, the store is full, bytes are short: each has one answer."""

import asyncio
import hashlib

import pytest
from aiocoap.numbers.codes import Code

from firmcast.coap.block import Block
from firmcast.devices import commands
from firmcast.errors import StoreFullError
from firmcast.firmware.package_files import PackageUnreadableError, open_checked
from firmcast.gateway import registration
from firmcast.gateway.images import PackageImages
from firmcast.gateway.live_devices import observation_token
from firmcast.ids import RegistrationId
from firmcast.lwm2m.paths import FIRMWARE_STATE

PACKAGE = bytes(range(256)) * 40


@pytest.fixture
async def known(world):
    return await world.add_device()


@pytest.fixture
async def device(world, known, make_device):
    return await make_device("device-1", world.server)


class _Replies(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.queue.put_nowait(data)


async def notify_from_elsewhere(world, token: bytes, value: bytes) -> bytes:
    """Send a confirmable notification from a socket that nobody knows, and return what comes back."""
    transport, replies = await asyncio.get_running_loop().create_datagram_endpoint(_Replies, remote_addr=world.server)
    # CON 2.05, message id 0x1234, a token of 8 bytes, Observe 7, Content-Format 0.
    transport.sendto(b"\x48\x45\x12\x34" + token + b"\x61\x07\x60\xff" + value)
    try:
        async with asyncio.timeout(5):
            return await replies.queue.get()
    finally:
        transport.close()


async def accept(_uri: str) -> Code:
    """Take the address of a package and do nothing about it."""
    return Code.CHANGED


async def test_a_notification_of_nobody_is_reset(world) -> None:
    assert await notify_from_elsewhere(world, b"\x01\x02\x03\x04\x05\x06\x07\x00", b"2") == b"\x70\x00\x12\x34"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_notification_counts_from_a_new_address_and_after_a_restart(world, known, device, restarted) -> None:
    device.on_uri = accept
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    await device.until_seen("PUT", "/5/0/1")
    if restarted:
        await world.kill()
        await world.start()
    token = observation_token(RegistrationId(device.locations[0][1]), FIRMWARE_STATE)
    assert await notify_from_elsewhere(world, token, b"1") == b"\x60\x00\x12\x34"
    assert (await world.until_told(known, "1"))[0] == "1"


async def test_a_package_follows_a_device_to_its_new_address(world, known, device) -> None:
    device.values["/5/0/9"] = 1
    package = await world.add_package(PACKAGE)
    held = asyncio.Event()

    async def hold(number: int) -> None:
        if number == 4 and device.lives == 1:
            held.set()
            await asyncio.Event().wait()

    device.on_written_block = hold
    await device.register()
    task = await world.upgrade(package, known)
    await held.wait()
    upgrade = await world.device_upgrade(task)
    assert world.gateway.progress(upgrade.device_upgrade_id) == (4096, len(PACKAGE))
    await device.power_off()
    await device.boot()
    assert await device.update() is Code.CHANGED
    told = await world.until_told(known, "succeeded", "failed", any_of=True)
    # This device forgets its observers with its address, so what it goes through has to be read.
    assert [one.removeprefix("*") for one in told] == ["1", "2", "3", "0", "succeeded"]
    assert device.packages == [PACKAGE]
    assert len(device.locations) == 2


async def test_a_package_is_open_to_whoever_has_its_token(world, known, device, make_device) -> None:
    device.on_uri = accept
    package = await world.add_package(PACKAGE)
    await device.register()
    task = await world.upgrade(package, known)
    await device.until(lambda: bool(device.addresses))
    elsewhere = await make_device("second-socket", world.server)
    assert await elsewhere.download(device.addresses[0]) == PACKAGE
    upgrade = await world.device_upgrade(task)
    assert world.gateway.progress(upgrade.device_upgrade_id) == (len(PACKAGE), len(PACKAGE))


async def test_an_order_that_is_overtaken_is_given_up(world, known, device) -> None:
    package = await world.add_package(PACKAGE)
    given_up = asyncio.Event()

    async def never(_uri: str) -> Code:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        raise AssertionError

    device.on_uri = never
    await device.register()
    task = await world.upgrade(package, known)
    await device.until_seen("PUT", "/5/0/1")
    await world.stop_task(task)
    assert await world.until_told(known, "cancelled") == ["cancelled"]
    # The order to go back to Idle takes its place at once, without waiting for the answer that does not come.
    await device.until_seen("PUT", "/5/0/1", times=2)


async def test_orders_wait_for_a_device_that_left(world, known, device) -> None:
    package = await world.add_package(PACKAGE)
    await device.register()
    await device.deregister()
    await world.upgrade(package, known)
    assert await world.database.read(commands.waiting, [known.device_id]) == []
    await device.register()
    assert (await world.until_told(known, "succeeded"))[-1] == "succeeded"
    assert await world.database.read(commands.waiting, [known.device_id]) == []


class _FullStore:
    """A store that takes nothing while it is full."""

    def __init__(self, database) -> None:
        self._database = database
        self.is_full = False

    def __getattr__(self, name: str):
        return getattr(self._database, name)

    async def write(self, use_case, /, *args, **kwargs):
        if self.is_full:
            raise StoreFullError("no space is left")
        return await self._database.write(use_case, *args, **kwargs)


async def test_a_full_store_turns_devices_away_for_now_and_keeps_what_they_told(world, known, device) -> None:
    await world.stop()
    world.database = full = _FullStore(world.database)
    await world.start()

    device.on_uri = accept
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    await device.until_seen("PUT", "/5/0/1")
    full.is_full = True
    await device.change("/5/0/3", 1)
    assert await device.update() is Code.SERVICE_UNAVAILABLE
    assert await device.register() is Code.SERVICE_UNAVAILABLE
    full.is_full = False
    assert await world.until_told(known, "1") == ["1"]


def opening(folder):
    async def open_package(digest, size):
        try:
            return open_checked(folder / digest, digest, size)
        except OSError as error:
            raise PackageUnreadableError from error

    return open_package


async def test_without_room_a_device_is_told_when_to_come_again_and_one_under_way_goes_on(world, known, device) -> None:
    device.on_uri = accept
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    await device.until_seen("PUT", "/5/0/1")
    world.has_room = False
    query = f"?ep={device.endpoint_name}&lt=300&lwm2m=1.1&b=U"
    refused = await device.request(Code.POST, f"/rd{query}", b"</1>,</3>,</5>", content_format=40)
    assert (refused.code, refused.opt.max_age) == (Code.SERVICE_UNAVAILABLE, 60)
    assert await device.update() is Code.CHANGED
    await device.change("/5/0/3", 1)
    assert await world.until_told(known, "1") == ["1"]
    world.has_room = True
    assert await device.register() is Code.CREATED


async def test_when_too_many_wait_for_the_store_who_comes_is_told_to_come_again(
    world, known, device, monkeypatch
) -> None:
    await device.register()
    with monkeypatch.context() as flooded:
        flooded.setattr(registration, "_MOST_WAITING", 0)
        assert await device.update() is Code.SERVICE_UNAVAILABLE
        assert await device.register() is Code.SERVICE_UNAVAILABLE
        assert await device.deregister() is Code.SERVICE_UNAVAILABLE
    assert world.metrics.unwritten.value == 3
    assert await device.update() is Code.CHANGED


async def test_an_image_is_read_in_place_and_shared(tmp_path) -> None:
    digest = hashlib.sha256(PACKAGE).hexdigest()
    (tmp_path / digest).write_bytes(PACKAGE)
    images = PackageImages(opening(tmp_path), open_limit=1)
    body = await images.body(digest, len(PACKAGE))
    assert await images.body(digest, len(PACKAGE)) is body
    (tmp_path / digest).unlink()
    assert body.read(1000, 24) == PACKAGE[1000:1024]
    assert body.etag == bytes.fromhex(digest[:16])
    assert body.build_tail(Block(0, more=False, szx=6), blockwise=True)[1:] == (0, 1024)


@pytest.mark.parametrize("size", [len(PACKAGE) - 1, len(PACKAGE) + 1])
async def test_an_image_of_another_size_is_not_sent(tmp_path, size) -> None:
    digest = hashlib.sha256(PACKAGE).hexdigest()
    (tmp_path / digest).write_bytes(PACKAGE)
    images = PackageImages(opening(tmp_path))
    with pytest.raises(PackageUnreadableError):
        await images.body(digest, size)
    with pytest.raises(PackageUnreadableError):
        await images.check(digest, size)
    with pytest.raises(PackageUnreadableError):
        await images.body("0" * 64, 1)
