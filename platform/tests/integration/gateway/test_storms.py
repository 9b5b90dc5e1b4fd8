"""What many devices do to a gateway at once, and what a gateway that is killed does to many devices."""

import asyncio
import socket
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
import uvloop

from firmcast.coap.codes import Code, MessageType
from firmcast.coap.message import Message, decode, encode
from firmcast.coap.options import options
from firmcast.db.sqlite import SqliteDatabase
from firmcast.devices import registrations
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import PATIENT, QUICK

SUCCESS = ["1", "2", "3", "0", "succeeded"]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
def test_devices_that_vanish_deafen_the_gateway_for_nobody(loop, tmp_path, make_world, raw_device) -> None:
    """What is sent to a closed port comes back as an ICMP error, to the socket that all devices speak to."""

    async def main() -> None:
        world = make_world(await SqliteDatabase.open(tmp_path / "store" / "firmcast.db", datetime.now(UTC)))
        await world.start()
        *gone, there = [raw_device(f"device-{number}", world.server) for number in range(20)]
        known = [await world.add_device(device.endpoint_name) for device in (*gone, there)]
        for device in (*gone, there):
            await device.open()
            assert await device.register() == Code.CREATED
        for device in gone:
            device.close()
        await world.upgrade(await world.add_package(b"package"), *known)
        await there.until_asked(Code.PUT, "/5/0/1")
        for sequence in range(100):
            there.send(there.notification("/5/0/3", "0", sequence + 10))
            assert await there.update() == Code.CHANGED
        assert await there.reply_to(there.notification("/5/0/3", "2", 200)) is MessageType.ACK
        await there.until_asked(Code.POST, "/5/0/2")
        # Who comes back goes on.
        await gone[0].open()
        assert await gone[0].register() == Code.CREATED
        await gone[0].until_asked(Code.PUT, "/5/0/1")
        for device in (gone[0], there):
            device.close()
        await world.stop()
        await world.database.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


class Registrants:
    """Many devices, each on a socket of its own, that register at the same moment and again until they are answered."""

    def __init__(self, server: tuple[str, int], count: int) -> None:
        self.server = server
        self.locations: dict[int, tuple[str, ...]] = {}
        self.codes: Counter[int] = Counter()
        self.sent = 0
        self._all = asyncio.Event()
        self._sockets: list[socket.socket] = []
        self._datagrams: list[bytes] = []
        loop = asyncio.get_running_loop()
        for number in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            loop.add_reader(sock, self._come, number)
            self._sockets.append(sock)
            wording = options(
                uri_path=("rd",),
                uri_query=(f"ep=device-{number}", "lt=300", "lwm2m=1.1", "b=U"),
                content_format=40,
            )
            request = Message(MessageType.CON, Code.POST, number, b"t", wording, b"</1/0>,</3/0>,</5/0>")
            self._datagrams.append(encode(request))

    async def register(self, timeout: float) -> None:
        """Send all in one go, and each again as RFC 7252 section 4.2 says, until it is answered."""
        loop = asyncio.get_running_loop()
        random = Random(1)

        def send(number: int, pause: float) -> None:
            if number not in self.locations:
                self.sent += 1
                self._sockets[number].sendto(self._datagrams[number], self.server)
                loop.call_later(pause, send, number, pause * 2)

        for number in range(len(self._sockets)):
            send(number, timeout * random.uniform(1.0, 1.5))
        await self._all.wait()

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()

    def _come(self, number: int) -> None:
        message = decode(self._sockets[number].recv(4096))
        if message.type is MessageType.CON:
            self._sockets[number].sendto(encode(Message(MessageType.ACK, 0, message.message_id)), self.server)
        if message.code:
            self.codes[message.code] += 1
            location = self.locations.setdefault(number, message.location_path)
            assert location == message.location_path
        if len(self.locations) == len(self._sockets):
            self._all.set()


async def test_ten_times_what_the_socket_holds_registers_in_the_end(world, make_raw) -> None:
    listening = world.gateway._udp._clear._socket
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
    room = listening.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    # The kernel counts 768 bytes and more for a datagram of this size.
    count = 10 * room // 768
    await asyncio.gather(*(world.add_device(f"device-{number}") for number in range(count)))
    known = await world.add_device("other")
    other = await make_raw("other")
    await other.register()
    registrants = Registrants(world.server, count)
    answered: list[float] = []

    async def stay() -> None:
        """Update a registration all the while, as a device does that knows nothing of the storm."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            update = other.make(Code.POST, "/".join(other.location))
            repeats = asyncio.ensure_future(repeat(other, update))
            assert (await other.answer_to(update)).code == Code.CHANGED
            repeats.cancel()
            answered.append(loop.time() - began)

    staying = asyncio.ensure_future(stay())
    async with asyncio.timeout(20):
        await registrants.register(0.2)
    assert not staying.done()
    staying.cancel()
    assert answered
    assert registrants.sent > count
    assert set(registrants.codes) == {Code.CREATED}
    made = {location[1] for location in registrants.locations.values()}
    assert len(made) == count
    live = {device.registration_id for device in world.gateway._live if device.device_id != known.device_id}
    assert live == made
    stored = []
    while page := await world.database.read(
        registrations.live, world.clock.now(), stored[-1].device_id if stored else None
    ):
        stored += page
    assert {one.registration_id for one in stored if one.device_id != known.device_id} == made
    registrants.close()


async def repeat(device, message: Message) -> None:
    while True:
        await asyncio.sleep(0.1)
        device.send(message)


def fleet_of(count: int) -> list[DeviceSpec]:
    kinds = ("pull", "push", "anjay", "zephyr", "anjay-push")
    return [
        DeviceSpec(
            endpoint_name=f"device-{number}",
            profile=replace(profile_named(kinds[number % len(kinds)]), reboot_delay=0.01, lifetime=3600),
        )
        for number in range(count)
    ]


async def test_orders_beyond_the_limit_wait_for_their_turn(world) -> None:
    await world.stop()
    world.settings = world.settings.model_copy(update={"order_limit": 3})
    await world.start()
    known = [await world.add_device(f"device-{number}") for number in range(20)]
    package = await world.add_package(b"package", "2.0.0")
    run, under_way, most = world.gateway._runner.run, 0, 0

    async def watched(*arguments, **named):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await run(*arguments, **named)
        finally:
            under_way -= 1

    world.gateway._runner.run = watched
    async with Fleet(server=world.server, devices=fleet_of(20), timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        await world.until_counted(lambda counts: counts["succeeded"] >= 20, 60)
    assert most == 3


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=[pytest.mark.takes_long, pytest.mark.timeout(3600)])]
)
async def test_a_gateway_that_is_killed_goes_on_with_everybody(world, count) -> None:
    """It is killed while many download, and again while many install."""
    patience, timing = 60.0, QUICK
    if count > 1000:
        # Devices and gateway share a process that has much to do: nobody there can be as hasty as in other tests.
        patience, timing, long = count / 10, PATIENT, timedelta(hours=2)
        await world.stop()
        world.settings = world.settings.model_copy(update={"acknowledgement_timeout": 2.0})
        world.limits = replace(world.limits, inspecting=long, transferring=long, executing=long, verifying=long)
        await world.start()
    package = await world.add_package(bytes(range(256)) * 32, "2.0.0")
    known = await asyncio.gather(*(world.add_device(f"device-{number}") for number in range(count)))
    async with Fleet(server=world.server, devices=fleet_of(count), timing=timing, seed=1) as fleet:
        await fleet.registered()
        await world.upgrade(package, *known)
        for word in ("1", "3"):
            await world.until_counted(lambda counts, word=word: counts[word] >= count // 4, patience)
            assert world.counts["succeeded"] < count
            await world.kill()
            await world.start()
        await world.until_counted(lambda counts: counts["succeeded"] + counts["failed"] >= count, patience)
        await fleet.registered()  # the end of an upgrade is known here before its device has the answer to that
        statistics = fleet.statistics()
    assert (world.counts["succeeded"], world.counts["failed"]) == (count, 0)
    # Each has registered twice, for its boots; what the gateway lost of its session it has found again by itself.
    assert statistics.registrations == 2 * count
    assert statistics.updates_succeeded == count
    for device in known:
        told = [word.removeprefix("*") for word in world.words[device.device_id]]
        assert told[-5:] == SUCCESS
        assert set(told[:-5]) <= {"0", "1"}
        assert all(one != other for one, other in pairwise(told))
    for device in known[:: max(1, count // 50)]:
        events = await world.stored_events(device)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
