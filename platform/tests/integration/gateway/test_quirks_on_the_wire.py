"""The quirks of real clients that show in single requests, by their numbers; the others are in `unit/upgrades`."""

import asyncio

import pytest
from aiocoap.numbers.codes import Code

from firmcast.events.model import Outcome

PACKAGE = bytes(range(256)) * 40
TLV, SENML_CBOR = 11542, 112
RESETS = {("PUT", "/5/0/1"), ("POST", "/5/0/10"), ("PUT", "/5/0/0")}


@pytest.fixture
async def known(world):
    return await world.add_device()


@pytest.fixture
async def device(world, known, make_device):
    return await make_device("device-1", world.server)


async def ended(world, known):
    return await world.until_told(known, "succeeded", "failed", any_of=True)


def orders(device):
    """Return what was tried to bring the device back to Idle, in order and without the address of the package."""
    return [request for request in device.seen if request in RESETS]


async def cancel_while_it_downloads(world, known, device):
    """Stop a task while its device fetches the package, and let the device go on when that was carried out."""
    device.values["/5/0/9"] = 2
    package = await world.add_package(PACKAGE)
    reached, stopped = asyncio.Event(), asyncio.Event()

    async def hold(number: int) -> None:
        if number == 4:
            reached.set()
            await stopped.wait()

    device.on_block = hold
    await device.register()
    task = await world.upgrade(package, known)
    await reached.wait()
    device.seen.clear()
    await world.stop_task(task)
    return stopped


class Unwilling:
    """A client that downloads: it answers an empty address with success and does nothing, and knows no Cancel."""

    def __init__(self, device) -> None:
        self.device = device
        self.fed: list[bytes] = []
        self.failed = asyncio.Event()
        self._fetch = device._fetch
        device.on_uri = self.on_uri
        device.on_package = self.on_package
        device.refuse = {("POST", "/5/0/10"): Code.NOT_FOUND}
        device._fetch = self.fetch

    async def on_uri(self, uri: str) -> Code:
        state = self.device.values["/5/0/3"]
        self.device.values["/5/0/1"] = uri
        if not uri and state == 2:
            await self.device._go_idle()
        elif uri and state == 0:
            self.device.spawn(self.fetch(uri))
        return Code.CHANGED

    async def on_package(self, payload: bytes) -> Code:
        if payload == b"\x00" and self.device.values["/5/0/3"] == 2:
            await self.device._go_idle()
        else:
            self.fed.append(payload)
        return Code.CHANGED

    async def fetch(self, uri: str) -> None:
        try:
            await self._fetch(uri)
        except AssertionError:
            # The server answered a block with something else than content.
            await self.device.change("/5/0/3", 0)
            await self.device.change("/5/0/5", 4)
            self.failed.set()


async def test_quirk_11_an_empty_address_is_answered_with_success_and_ignored_in_state_1(world, known, device) -> None:
    client = Unwilling(device)
    stopped = await cancel_while_it_downloads(world, known, device)
    await device.until_seen("POST", "/5/0/10")
    await device.until_seen("GET", "/5/0/9")
    stopped.set()
    # Nothing that it knows stops it, so it gets no further block, and no NUL byte as a piece of its package.
    async with asyncio.timeout(10):
        await client.failed.wait()
    assert client.fed == []
    assert device.packages == []
    assert orders(device) == [("PUT", "/5/0/1"), ("POST", "/5/0/10")]


async def test_quirk_11_a_nul_byte_helps_a_client_that_is_written_to_and_ignores_the_rest(world, known, device) -> None:
    device.values.update({"/5/0/3": 1, "/5/0/9": 1})
    device.refuse = {("POST", "/5/0/10"): Code.NOT_FOUND}

    async def on_uri(_uri: str) -> Code:
        return Code.CHANGED

    device.on_uri = on_uri
    await device.register()
    package = await world.add_package(PACKAGE)
    await world.upgrade(package, known)
    assert (await ended(world, known))[-1] == "succeeded"
    assert orders(device)[:3] == [("PUT", "/5/0/1"), ("POST", "/5/0/10"), ("PUT", "/5/0/0")]


@pytest.mark.parametrize("state", [1, 2])
async def test_quirk_11_an_empty_address_is_enough_for_most(world, known, device, state) -> None:
    device.values.update({"/5/0/3": state, "/5/0/1": "coap://elsewhere/x"})
    device.refuse = {("POST", "/5/0/10"): Code.METHOD_NOT_ALLOWED}
    await device.register()
    package = await world.add_package(PACKAGE)
    await world.upgrade(package, known)
    assert (await ended(world, known))[-1] == "succeeded"
    assert orders(device)[:1] == [("PUT", "/5/0/1")]
    assert ("POST", "/5/0/10") not in device.seen


async def test_quirk_17_names_that_cannot_be_read_before_the_download_are_not_asked_for(world, known, device) -> None:
    await device.register()
    package = await world.add_package(PACKAGE)
    await world.upgrade(package, known)
    assert (await ended(world, known))[-1] == "succeeded"
    assert not {("GET", "/5/0/6"), ("GET", "/5/0/7")} & set(device.seen)


async def test_quirk_18_a_version_that_the_links_do_not_tell_is_not_inferred(world, known, device) -> None:
    # Its links say `</5/0>` and no version, and it knows Cancel (object 1.1) all the same.
    device.values.update({"/5/0/3": 2, "/5/0/1": "coap://elsewhere/x"})
    device.refuse = {("PUT", "/5/0/1"): Code.BAD_REQUEST}
    device.values["/5/0/9"] = 1
    await device.register()
    package = await world.add_package(PACKAGE)
    await world.upgrade(package, known)
    assert (await ended(world, known))[-1] == "succeeded"
    assert ("POST", "/5/0/10") in device.seen


@pytest.mark.parametrize("formats", [(TLV,), (SENML_CBOR,), ()])
async def test_quirk_19_each_client_answers_in_a_format_of_its_own(world, known, device, formats) -> None:
    device.object_formats = formats
    await device.register()
    package = await world.add_package(PACKAGE)
    task = await world.upgrade(package, known)
    assert await ended(world, known) == ["1", "2", "3", "0", "succeeded"]
    upgrade = await world.device_upgrade(task)
    assert (upgrade.outcome, upgrade.source_version) == (Outcome.SUCCEEDED, "1.0")


async def test_quirk_22_a_client_that_is_written_to_is_asked_nothing_until_it_has_the_package(
    world, known, device
) -> None:
    device.values["/5/0/9"] = 1
    held, go_on = asyncio.Event(), asyncio.Event()

    async def hold(number: int) -> None:
        if number == 4:
            held.set()
            await go_on.wait()

    device.on_written_block = hold
    await device.register()
    package = await world.add_package(PACKAGE)
    await world.upgrade(package, known)
    await held.wait()
    device.seen.clear()
    await device.update()
    await device.change("/5/0/5", 0)
    assert device.seen == []
    assert len(world.gateway._live) == 1
    go_on.set()
    assert (await ended(world, known))[-1] == "succeeded"
    assert device.seen[0] == ("PUT", "/5/0/0")
