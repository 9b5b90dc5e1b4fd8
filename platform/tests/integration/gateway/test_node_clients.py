"""What clients on node-coap do differently, played by one of hand-written datagrams.

What they do was seen when the clients themselves were upgraded; `docs/explanation/real-clients.md` says it in words.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from small_client import GET, OBSERVE, Datagram, SmallClient, read

from firmcast.profiles import use_cases as profiles
from firmcast.profiles.model import NO_ANSWER
from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.limits import limits_of

ACCEPT = 17
TEXT, LINK_FORMAT = b"", b"\x28"
PACKAGE = bytes(range(250)) * 2


class NodeClient(SmallClient):
    """It leaves every request unanswered that names a format it does not know, and one that ends an observation.

    An answer of its has no format, and its objects cannot be read whole.
    """

    def __init__(self, name: str, server: tuple[str, int]) -> None:
        super().__init__(name, server, fetches=True, loses=lambda: False)
        self.passed_over: list[Datagram] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        asked = read(data)
        unknown = any(accept not in (TEXT, LINK_FORMAT) for accept in asked.all(ACCEPT))
        if asked.code == GET and (unknown or asked.all(OBSERVE) == [b"\x01"]):
            self.passed_over.append(asked)
        else:
            super().datagram_received(data, addr)

    def _answer(self, asked: Datagram) -> tuple[int, list[tuple[int, bytes]], bytes]:
        code, options, payload = super()._answer(asked)
        return code, [option for option in options if option[0] == OBSERVE], payload

    async def _start_anew(self) -> None:
        """Begin another life at another port, without having ended its registration."""
        self.values |= {"/3/0/3": "2.0", "/5/0/3": 0, "/5/0/5": 1}
        assert self._transport is not None
        self._transport.close()
        self._transport = None
        await self.boot()


@pytest.fixture
async def impatient(database, make_world) -> AsyncIterator:
    made = make_world(database)
    made.settings = GatewaySettings(port=0, acknowledgement_timeout=0.03)
    made.limits = limits_of(UpgradeSettings(probe_limit=timedelta(seconds=2)))
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
