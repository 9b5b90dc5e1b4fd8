"""What clients on node-coap do differently, played by one of hand-written datagrams.

What they do was seen when the clients themselves were upgraded; `docs/explanation/real-clients.md` says it in words.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from small_client import (
    CHANGED,
    CONTENT,
    FORMAT,
    GET,
    OBSERVE,
    POST,
    PUT,
    TLV,
    URI_PATH,
    URI_QUERY,
    Datagram,
    Pairs,
    SmallClient,
    number_of,
    read,
)

from firmcast.profiles import use_cases as profiles
from firmcast.profiles.model import NO_ANSWER
from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.limits import limits_of

ACCEPT = 17
LWM2M_JSON = 11543
TEXT, LINK_FORMAT = b"", b"\x28"
PACKAGE = bytes(range(250)) * 5
"""More than one block."""


class NodeClient(SmallClient):
    """It leaves every request unanswered that names a format it does not know, and one that ends an observation.

    An answer of its has no format, its objects cannot be read whole, and each block that it is written is all to it.
    """

    def __init__(self, name: str, server: tuple[str, int], *, delivery_method: int = 0, binding: bytes = b"U") -> None:
        super().__init__(name, server, fetches=True, loses=lambda: False)
        self.binding = binding
        self.values["/5/0/9"] = delivery_method
        self.written: list[bytes] = []
        self.passed_over: list[Datagram] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        asked = read(data)
        unknown = any(accept not in (TEXT, LINK_FORMAT) for accept in asked.all(ACCEPT))
        if asked.code == GET and (unknown or asked.all(OBSERVE) == [b"\x01"]):
            self.passed_over.append(asked)
        else:
            super().datagram_received(data, addr)

    def _answer(self, asked: Datagram) -> tuple[int, list[tuple[int, bytes]], bytes]:
        if (asked.code, asked.path) == (PUT, "/5/0/0"):
            self.written.append(asked.payload)
            return CHANGED, [], b""
        if (asked.code, asked.path) == (PUT, "/5/0/1") and self.values["/5/0/9"] != 1:
            return self._take_address(asked.payload.decode()), [], b""
        code, options, payload = super()._answer(asked)
        return code, [option for option in options if option[0] == OBSERVE], payload

    async def _ask(self, code: int, options: Pairs, payload: bytes = b"") -> Datagram:
        is_registration = code == POST and (URI_PATH, b"rd") in options
        more = [(URI_QUERY, b"b=" + self.binding)] if is_registration else []
        return await super()._ask(code, [*options, *more], payload)

    async def update(self) -> None:
        await self._ask(POST, [(URI_PATH, part.encode()) for part in self.registrations[-1].split("/")])

    async def _start_anew(self) -> None:
        """Begin another life at another port, without having ended its registration."""
        self.values |= {"/3/0/3": "2.0", "/5/0/3": 0, "/5/0/5": 1}
        assert self._transport is not None
        self._transport.close()
        self._transport = None
        await self.boot()


class CoapNode(SmallClient):
    """It gives an instance of a resource the type of the resource of that number in TLV, and not in the JSON of 1.0.

    An object instance in TLV has its own number around it, and a base name in JSON has no slash at its end.
    """

    def __init__(self, name: str, server: tuple[str, int]) -> None:
        super().__init__(name, server, fetches=True, loses=lambda: False)
        self.addresses: list[str] = []

    def _answer(self, asked: Datagram) -> tuple[int, list[tuple[int, bytes]], bytes]:
        if (asked.code, asked.path) == (GET, "/5/0"):
            # Multiple resource 8 with the instance 0.
            nonsense = b"\x88\x08\x0f\x48\x00\x0c_unreadable_"
            inner = self._tlv("/5/0/") + nonsense
            return CONTENT, [(FORMAT, number_of(TLV))], bytes((0x08, 0, len(inner))) + inner
        if (asked.code, asked.path) == (GET, "/5/0/8"):
            assert asked.all(ACCEPT) == [number_of(LWM2M_JSON)]
            return CONTENT, [(FORMAT, number_of(LWM2M_JSON))], b'{"bn":"/5/0/8","e":[{"n":"0","v":2}]}'
        if (asked.code, asked.path) == (PUT, "/5/0/1"):
            self.addresses.append(asked.payload.decode())
            return CHANGED, [], b""
        return super()._answer(asked)


@pytest.fixture
async def impatient(database, make_world) -> AsyncIterator:
    made = make_world(database)
    made.settings = GatewaySettings(port=0, acknowledgement_timeout=0.03, slow_block_timeout=0.0, package_port=0)
    made.limits = limits_of(UpgradeSettings(probe_limit=timedelta(seconds=2), prefer_write=True), made.settings)
    await made.start()
    yield made
    await made.stop()


async def test_who_leaves_a_format_unanswered_is_read_as_text_one_by_one(impatient) -> None:
    known = await impatient.add_device("node")
    client = NodeClient("node", impatient.server)
    await client.boot()
    await impatient.upgrade(await impatient.add_package(PACKAGE), known)
    told = await impatient.until_told(known, "succeeded", "failed", any_of=True)
    await client.close()

    assert (told, client.package) == (["1", "2", "3", "0", "succeeded"], PACKAGE)
    assert len(client.registrations) == 2
    assert {asked.path for asked in client.passed_over} == {"/5/0"}
    assert len({asked.number for asked in client.passed_over}) == 1, "not in its second life either"


async def test_who_answers_nothing_is_asked_for_the_whole_object_again(impatient) -> None:
    known = await impatient.add_device("node")
    client = NodeClient("node", impatient.server)
    await client.boot()
    client.silent_at, client.registrations = "/5/0/1", [*client.registrations, *client.registrations]
    task = await impatient.upgrade(await impatient.add_package(PACKAGE), known)
    live = impatient.gateway._live.of(known.device_id)
    async with asyncio.timeout(20):
        while (await impatient.device_upgrade(task)).phase != "waiting":
            await asyncio.sleep(0.02)
    await client.close()
    assert client.passed_over
    assert not live.left_objects_unanswered


async def test_a_check_tells_what_is_not_answered(impatient) -> None:
    known = await impatient.add_device("node")
    client = NodeClient("node", impatient.server)
    await client.boot()
    await impatient.database.write(profiles.order_check, known.device_id, impatient.clock.now())
    async with asyncio.timeout(20):
        while (check := await impatient.database.read(profiles.latest_check, known.device_id)).ended_at is None:
            await asyncio.sleep(0.02)
    await client.close()

    found = check.findings
    assert (found.failure, found.formats, found.cancel) == ("", {"TLV": NO_ANSWER}, NO_ANSWER)
    assert (found.observe, found.observed, found.read_format) == ("2.05", True, None)
    assert (found.told["/5/0/3"], found.told["/5/0/9"]) == ("0", "0")
    assert (found.reset, found.after_reset) == ("2.04", "0 0")


async def test_what_was_left_unanswered_is_known_after_a_restart_and_until_it_is_forgotten(impatient) -> None:
    known = await impatient.add_device("node")
    client = NodeClient("node", impatient.server)
    await client.boot()
    await impatient.database.write(profiles.order_check, known.device_id, impatient.clock.now())
    async with asyncio.timeout(20):
        while (await impatient.database.read(profiles.latest_check, known.device_id)).ended_at is None:
            await asyncio.sleep(0.02)
    await impatient.stop()
    await impatient.start()
    client.passed_over.clear()
    await impatient.upgrade(await impatient.add_package(PACKAGE), known)
    told = await impatient.until_told(known, "succeeded", "failed", any_of=True)
    live = impatient.gateway._live.of(known.device_id)
    assert (told[-1], client.passed_over) == ("succeeded", [])
    await client.close()
    await impatient.database.write(profiles.forget_client, known.device_id, impatient.clock.now())
    assert not live.is_read_singly


@pytest.mark.parametrize("delivery_method", [1, 2], ids=["written", "both"])
async def test_who_takes_a_block_for_the_whole_is_not_written_to_again(impatient, delivery_method) -> None:
    known = await impatient.add_device("node")
    client = NodeClient("node", impatient.server, delivery_method=delivery_method)
    await client.boot()
    task = await impatient.upgrade(await impatient.add_package(PACKAGE), known)
    told = await impatient.until_told(known, "succeeded", "failed", any_of=True)
    ended = await impatient.device_upgrade(task)
    await client.close()

    assert client.written == [PACKAGE[:1024]]
    if delivery_method == 1:
        assert told == ["failed"]
        assert "takes no blocks" in ended.description
    else:
        assert [word.lstrip("*") for word in told] == ["1", "2", "3", "0", "succeeded"]
        assert client.package == PACKAGE


async def test_protocols_that_make_no_sense_in_tlv_are_asked_for_in_json(impatient) -> None:
    known = await impatient.add_device("node")
    client = CoapNode("node", impatient.server)
    await client.boot()
    await impatient.upgrade(await impatient.add_package(PACKAGE), known)
    async with asyncio.timeout(20):
        while not client.addresses:
            await asyncio.sleep(0.01)
    await client.close()
    assert client.addresses[0].startswith("http://")


async def test_who_sleeps_over_a_format_it_does_not_know_is_read_as_text_when_it_wakes(database, make_world) -> None:
    world = make_world(database)
    world.settings = GatewaySettings(port=0, acknowledgement_timeout=0.3)
    world.limits = limits_of(UpgradeSettings(awake_window=timedelta(seconds=0.3)))
    await world.start()
    known = await world.add_device("node")
    client = NodeClient("node", world.server, binding=b"UQ")
    await client.boot()
    task = await world.upgrade(await world.add_package(PACKAGE), known)

    async def wake_up() -> None:
        while True:
            await asyncio.sleep(0.5)
            await client.update()

    waking = asyncio.create_task(wake_up())
    told = await world.until_told(known, "succeeded", "failed", any_of=True)
    waking.cancel()
    await client.close()
    await world.stop()
    assert [word.lstrip("*") for word in told] == ["1", "2", "3", "0", "succeeded"]
    assert {asked.token for asked in client.passed_over} == {client.passed_over[0].token}
    assert (await world.device_upgrade(task)).current_version == "2.0"
