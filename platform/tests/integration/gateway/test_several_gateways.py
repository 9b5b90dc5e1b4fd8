"""Two gateways on one PostgreSQL: a device is one's at a time, goes over when the other hears of it, and loses nothing.

What the kernel does with the datagrams of a shared port is done by a switch: it sends those of a device to one gateway
or to the other, and both know the device by the same address.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import cbor2
import pytest
from aiocoap.numbers.codes import Code

from firmcast.coap.codes import Code as CoapCode
from firmcast.db.port import Channel
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sharing import SharedChannel
from firmcast.db.statement import portable
from firmcast.devices import commands, holding, registrations
from firmcast.devices import use_cases as devices
from firmcast.devices.model import NOBODY, CommandKind, DeviceDetails, RegistrationMoved
from firmcast.errors import StartError
from firmcast.events.model import DeviceDescription, DeviceInfoChanged, Reachability
from firmcast.gateway.batches import record_batch
from firmcast.gateway.live_devices import observation_token
from firmcast.gateway.membership import Membership
from firmcast.ids import RegistrationId, new_node_id
from firmcast.lwm2m.firmware_update import Protocol
from firmcast.lwm2m.paths import FIRMWARE_STATE
from firmcast.nodes import use_cases as nodes
from firmcast.nodes.model import Node
from firmcast.platform_store import SHARED
from firmcast.profiles import use_cases as profiles
from firmcast.settings import GatewaySettings, Role
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import CommandFailed, CommandFailure, DeviceReport, ResourcesReported, UpgradePhase

KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"
PACKAGE = bytes(range(256)) * 64
AN_HOUR_AGO = portable("UPDATE registration SET updated_at = updated_at - 3600000000")
TEMPERATURE = cbor2.dumps([{0: "/3303/0/5700", 2: 21.5}])
LINK_FORMAT = 40
SUCCESS = ["1", "2", "3", "0", "succeeded"]
LONG = timedelta(hours=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOLD = SharedChannel(channel=Channel("told"), item=str, told=lambda _: [], heard=lambda _: [])
"""Each world hears of what both have written to the log."""
SOMEWHERE = ("127.0.0.1", 0)


class Post:
    """One gateway, with all that its process would have."""

    def __init__(self, database: PostgresDatabase, world) -> None:
        self.database = database
        self.world = world
        self.node_id = new_node_id()

    @property
    def member(self) -> Membership:
        return self.world.member

    @property
    def held(self) -> int:
        return self.world.gateway.device_count

    async def start(self) -> None:
        await self.begin_life()
        await self.world.start_gateway()

    async def begin_life(self) -> None:
        node = Node(node_id=self.node_id, name="", roles=frozenset({Role.GATEWAY}), gateway_id=self.member.gateway_id)
        await self.database.write_urgently(nodes.begin, node, LONG)

    async def stop(self) -> None:
        if self.world.gateway is not None:
            gateway, self.world.gateway = self.world.gateway, None
            await gateway.stop()
        await self.database.write_urgently(nodes.end, self.node_id)

    async def be_dead(self) -> None:
        """Be dead for the others, and for the devices."""
        await self.world.kill_gateway()
        await self.database.write_urgently(nodes.end, self.node_id)


class Switch(asyncio.DatagramProtocol):
    """Passes the datagrams of one device on to one gateway, and those of all gateways on to the device."""

    def __init__(self) -> None:
        self.to: tuple[str, int] = SOMEWHERE
        self._device: tuple[str, int] = SOMEWHERE
        self._front: asyncio.DatagramTransport
        self._back: asyncio.DatagramTransport

    async def open(self) -> None:
        switch = self
        loop = asyncio.get_running_loop()

        class Front(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr) -> None:
                switch._device = addr
                switch._back.sendto(data, switch.to)

        class Back(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr) -> None:
                switch._front.sendto(data, switch._device)

        self._front, _ = await loop.create_datagram_endpoint(Front, local_addr=SOMEWHERE)
        self._back, _ = await loop.create_datagram_endpoint(Back, local_addr=SOMEWHERE)

    @property
    def address(self) -> tuple[str, int]:
        """Where the device believes its server to be."""
        return self._front.get_extra_info("sockname")

    @property
    def port(self) -> int:
        """Where gateways believe the device to be."""
        return self._back.get_extra_info("sockname")[1]

    def close(self) -> None:
        self._front.close()
        self._back.close()


@pytest.fixture
async def make_post(empty_postgres_store, make_member) -> AsyncIterator:
    """Makes gateways that share a database; they end with the test."""
    url = await empty_postgres_store()
    made: list[Post] = []

    async def make(site: str = "here", *, pause: float = 60.0, **settings) -> Post:
        database = await PostgresDatabase.open(url, NOW, shared=[*SHARED, TOLD])
        member = Membership.of(site, nodes.gateways, pause)
        world = make_member(
            database, GatewaySettings(port=0, acknowledgement_timeout=0.3, slow_block_timeout=0.0, **settings), member
        )
        post = Post(database, world)
        made.append(post)
        await post.start()
        return post

    yield make
    for post in made:
        await post.stop()
        await post.database.close()


@pytest.fixture
async def one(make_post) -> Post:
    return await make_post(pause=0.05)


@pytest.fixture
async def two(make_post, one) -> Post:
    return await make_post(pause=0.05)


@pytest.fixture
async def make_switch() -> AsyncIterator[Callable[[], Awaitable[Switch]]]:
    made: list[Switch] = []

    async def make() -> Switch:
        made.append(Switch())
        await made[-1].open()
        return made[-1]

    yield make
    for switch in made:
        switch.close()


@pytest.fixture
async def switch(make_switch) -> Switch:
    return await make_switch()


async def holder(post: Post, device) -> str | None:
    found = await post.database.read(registrations.of_devices, [device.device_id], post.world.clock.now())
    return found[device.device_id].gateway if found else None


async def until_held(post: Post, count: int = 1) -> None:
    await post.world.eventually(lambda: post.held == count)


def without_marks(told: list[str]) -> list[str]:
    return [one.removeprefix("*") for one in told]


def ends_well(told: list[str]) -> bool:
    """Tell whether the ladder was climbed at the end, and before it only begun anew."""
    steps = without_marks(told)
    return steps[-5:] == SUCCESS and set(steps[:-5]) <= {"0", "1"}


def spec(profile: str = "plain", **changed) -> DeviceSpec:
    key = changed.pop("key", None)
    return DeviceSpec(
        endpoint_name="device-1", profile=replace(profile_named(profile), reboot_delay=0.01, **changed), key=key
    )


async def begin(post: Post) -> None:
    """Have tasks begin, as the node with that duty does."""
    await post.database.write(
        upgrades.pass_time,
        log=post.world.log,
        limits=post.world.limits,
        now=post.world.clock.now(),
        limit=100,
        living=post.member.living,
    )


# By its own word.


async def test_a_device_is_held_by_whoever_takes_its_update(one, two, make_device) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    await device.register()
    assert (await holder(one, known), one.held, two.held) == (one.member.gateway_id, 1, 0)
    device.server = two.world.server
    assert await device.update() is Code.CHANGED
    assert (await holder(one, known), two.held) == (two.member.gateway_id, 1)
    await until_held(one, 0)
    assert (two.world.metrics.moved_in.value, one.world.metrics.moved_out.value) == (1, 1)
    task = await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    assert without_marks(await two.world.until_told(known, "succeeded")) == SUCCESS
    assert (await one.world.device_upgrade(task)).phase is UpgradePhase.CLOSED
    assert one.held == 0


async def test_a_new_registration_ends_the_former_one_elsewhere(one, two, make_device) -> None:
    await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    await device.register()
    device.server = two.world.server
    await device.reboot()
    await until_held(one, 0)
    assert two.held == 1
    device.server = one.world.server
    device.locations.reverse()
    assert await device.update() is Code.NOT_FOUND


async def test_whoever_leaves_or_is_deleted_is_forgotten_by_his_holder(one, two, make_device) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    await device.register()
    device.server = two.world.server
    assert await device.deregister() is Code.DELETED
    await until_held(one, 0)
    await device.register()
    await until_held(two, 1)

    async def release(_tx, _device_id, _now) -> None:
        return None

    await one.database.write(
        devices.delete, one.world.application_id, known.device_id, NOW, log=one.world.log, release=release
    )
    await until_held(two, 0)


async def test_news_that_are_older_than_what_is_known_change_nothing(one, two, make_device) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    await device.register()
    for post in (two, one, two, one):
        device.server = post.world.server
        assert await device.update() is Code.CHANGED
    await one.database.catch_up()
    await two.database.catch_up()
    await until_held(two, 0)
    assert (one.held, await holder(one, known)) == (1, one.member.gateway_id)
    held = one.world.gateway._live.of(known.device_id)
    ours = RegistrationMoved(
        device_id=known.device_id,
        registration_id=held.registration_id,
        gateway=two.member.gateway_id,
        epoch=held.epoch,
    )
    old = [ours, replace(ours, epoch=held.epoch - 1), replace(ours, gateway=NOBODY, registration_id="another")]
    heard = one.world.gateway._fellows._moves.heard
    heard([*old, replace(ours, gateway=one.member.gateway_id, epoch=held.epoch + 1)])
    assert one.held == 1
    heard([replace(ours, epoch=held.epoch + 1)])
    assert one.held == 0


# In the middle of an order.


async def test_a_package_that_is_being_written_begins_anew_at_the_next_gateway(one, two, make_device) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    device.values["/5/0/9"] = 1
    held = asyncio.Event()

    async def hold(number: int) -> None:
        if number == 4 and not held.is_set():
            held.set()
            await asyncio.Event().wait()

    device.on_written_block = hold
    await device.register()
    await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    await held.wait()
    device.server = two.world.server
    assert await device.update() is Code.CHANGED
    assert ends_well(await two.world.until_told(known, "succeeded", "failed", any_of=True))
    assert device.packages == [PACKAGE]


@pytest.mark.parametrize("answers_late", [False, True])
async def test_an_order_to_install_is_obeyed_once(one, two, make_device, answers_late) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    obeyed: list[str] = []

    async def on_execute(path: str) -> Code:
        obeyed.append(path)
        if len(obeyed) == 1:
            device.values["/5/0/3"] = 3
            await asyncio.Event().wait()  # it does what it was told, and says nothing
        return Code.METHOD_NOT_ALLOWED

    device.on_execute = on_execute
    await device.register()
    await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    await device.until(lambda: bool(obeyed))
    device.server = two.world.server
    assert await device.update() is Code.CHANGED
    assert without_marks(await two.world.until_told(known, "3", "*3", any_of=True)) == ["1", "2", "3"]
    device.values.update({"/5/0/3": 0, "/5/0/5": 1, "/3/0/3": "2.0"})
    await device.register()
    if answers_late:
        # What the device still answers to the first one is a sign of life there, whenever it comes.
        await one.database.catch_up()
        one.world.gateway._fellows.strangers._looked_up.clear()
        device.send_bytes(b"\x60\x00\x12\x34", one.world.server)
    # Either may hold the device by now, and again the other one when that is answered.
    assert without_marks(await two.world.until_told(known, "succeeded")) == SUCCESS
    assert obeyed == ["/5/0/2"]


async def test_an_outcome_of_whoever_does_not_hold_the_device_is_late(one, two, make_device) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    device.values["/5/0/9"] = 0  # what it refuses is the end: it has no other way

    async def never(_uri: str) -> Code:
        await asyncio.Event().wait()
        raise AssertionError

    device.on_uri = never
    await device.register()
    await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    await device.until_seen("PUT", "/5/0/1")
    (order,) = await one.database.read(commands.waiting, [known.device_id])
    assert order.kind is CommandKind.TRANSFER_BY_URI
    failed = CommandFailed(
        command_id=order.command_id, failure=CommandFailure.REJECTED, description="", resources=ResourcesReported()
    )
    report = DeviceReport(device_id=known.device_id, input=failed, occurred_at=NOW)
    context = {"log": one.world.log, "limits": one.world.limits, "now": one.world.clock.now()}
    await two.database.write(record_batch, [report], member=two.member, **context)
    assert await one.database.read(commands.waiting, [known.device_id]) == [order]
    assert await two.database.read(commands.to_carry_out, [known.device_id], two.member.gateway_id) == []
    await one.database.write(record_batch, [report], member=one.member, **context)
    assert order not in await one.database.read(commands.waiting, [known.device_id])


# By what the kernel brings.


@pytest.mark.parametrize(("profile", "key"), [("pull", None), ("push", None), ("plain", KEY), ("anjay-push", KEY)])
async def test_a_device_whose_datagrams_come_elsewhere_all_at_once_is_upgraded(one, two, switch, profile, key) -> None:
    """As at the start and the end of another process on a shared port, in the midst of a transfer."""
    known = await one.world.add_device(key=key or b"")
    address = [(post.world.secure_server if key else post.world.server) for post in (one, two)]
    switch.to = address[0]
    turned = asyncio.Event()

    def turn(device) -> None:
        if device.status.received > len(PACKAGE) // 2 and not turned.is_set():
            turned.set()
            switch.to = address[1]

    devices_of = [spec(profile, key=key)]
    async with Fleet(server=switch.address, devices=devices_of, timing=QUICK, seed=1, on_progress=turn) as fleet:
        await fleet.registered()
        await one.world.upgrade(await one.world.add_package(PACKAGE, "2.0.0"), known)
        await begin(one)
        told = await two.world.until_told(known, "succeeded", "failed", any_of=True)
    assert turned.is_set()
    assert ends_well(told), told


@pytest.mark.parametrize("seed", [1])
async def test_devices_that_go_to_and_fro_at_random_are_upgraded(one, two, make_switch, seed) -> None:
    random = Random(seed)
    switches = {}
    fleets = []
    known = []
    hops = 0

    def hop(device) -> None:
        nonlocal hops
        if hops < 30 and random.random() < 0.02:
            hops += 1
            switch, servers = switches[device.spec.endpoint_name]
            switch.to = random.choice(servers)

    for number, profile in enumerate(("pull", "push", "anjay", "zephyr", "plain", "small-blocks")):
        name, key = f"device-{number}", KEY if number % 2 else None
        known.append(await one.world.add_device(name, key or b""))
        switch = await make_switch()
        servers = [post.world.secure_server if key else post.world.server for post in (one, two)]
        switch.to = servers[number % 2]
        switches[name] = switch, servers
        device = replace(spec(profile, key=key, lifetime=20), endpoint_name=name)
        fleets.append(Fleet(server=switch.address, devices=[device], timing=QUICK, seed=number, on_progress=hop))
    async with contextlib.AsyncExitStack() as running:
        for fleet in fleets:
            await running.enter_async_context(fleet)
            await fleet.registered()
        await one.world.upgrade(await one.world.add_package(PACKAGE * 2, "2.0.0"), *known)
        await begin(one)
        for device in known:
            told = await one.world.until_told(device, "succeeded", "failed", any_of=True)
            assert ends_well(told), told
            events = await one.world.stored_events(device)
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert hops


class Caller:
    """Speaks CoAP as bytes, from one socket."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(SOMEWHERE)
        self.socket.setblocking(False)

    async def ask(self, datagram: bytes, server: tuple[str, int]) -> bytes:
        loop = asyncio.get_running_loop()
        self.socket.sendto(datagram, server)
        async with asyncio.timeout(5):
            return await loop.sock_recv(self.socket, 2048)

    async def register(self, server: tuple[str, int]) -> str:
        """Register as device-1; return the registration's id."""
        query = b"ep=device-1"
        answer = await self.ask(
            b"\x41\x02\x00\x01\x01\xb2rd\x11\x28" + bytes((0x30 | len(query),)) + query + b"\xff</5/0>", server
        )
        assert answer[1] == 0x41
        return answer[-11:].decode()

    async def notify(self, registration_id: str, server: tuple[str, int]) -> bytes:
        """Notify, confirmably, that /5/0/3 is 1."""
        token = observation_token(RegistrationId(registration_id), FIRMWARE_STATE)
        return await self.ask(b"\x48\x45\x12\x34" + token + b"\x61\x07\x60\xff1", server)


def send_of(version: str) -> bytes:
    """Return CON POST /dp, Content-Format 112, [{0: "/3/0/3", 3: version}] in CBOR."""
    return b"\x41\x02\x00\x02\x02\xb2dp\x11\x70\xff\x81\xa2\x00\x66/3/0/3\x03\x63" + version.encode()


@pytest.fixture
def make_caller():
    made: list[Caller] = []

    def make() -> Caller:
        made.append(Caller())
        return made[-1]

    yield make
    for caller in made:
        caller.socket.close()


async def test_a_notification_counts_wherever_it_comes(one, two, make_device, make_caller) -> None:
    """It brings the device along, from its address and, behind a NAT, from a new one."""
    known = await one.world.add_device()
    device, elsewhere = make_caller(), make_caller()
    registration_id = await device.register(one.world.server)
    assert await device.notify(registration_id, two.world.server) == b"\x60\x00\x12\x34"
    assert (await holder(one, known), two.held) == (two.member.gateway_id, 1)
    await until_held(one, 0)
    assert await elsewhere.notify(registration_id, one.world.server) == b"\x60\x00\x12\x34"
    assert (await holder(one, known), one.held) == (one.member.gateway_id, 1)
    assert one.world.gateway._live.of(known.device_id).peer == elsewhere.socket.getsockname()
    assert await elsewhere.notify("0" * 32, two.world.server) == b"\x70\x00\x12\x34"


async def test_a_living_gateway_of_another_site_keeps_its_device(one, make_post, make_caller) -> None:
    """A device may go on notifying where it was before; where its gateway is dead, that brings it along."""
    known = await one.world.add_device()
    other = await make_post("there")
    device = make_caller()
    registration_id = await device.register(one.world.server)
    assert await device.notify(registration_id, other.world.server) == b"\x60\x00\x12\x34"
    assert await holder(one, known) == one.member.gateway_id
    await one.be_dead()
    other_word = make_caller()
    assert await other_word.notify(registration_id, other.world.server) == b"\x60\x00\x12\x34"
    assert await holder(other, known) == other.member.gateway_id


async def test_what_a_notification_says_elsewhere_is_told(one, two, make_device, make_caller) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    asked = asyncio.Event()

    async def accept(_uri: str) -> Code:
        asked.set()
        return Code.CHANGED

    device.on_uri = accept
    await device.register()
    await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    await asked.wait()
    assert await make_caller().notify(device.locations[0][1], two.world.server) == b"\x60\x00\x12\x34"
    assert await two.world.until_told(known, "1") == ["1"]


@pytest.mark.parametrize(("site", "moves"), [("here", True), ("there", False)])
async def test_a_stray_answer_brings_the_device_along_within_a_site(one, make_post, make_caller, site, moves) -> None:
    known = await one.world.add_device()
    other = await make_post(site)
    device = make_caller()
    await device.register(one.world.server)
    device.socket.sendto(b"\x60\x00\x77\x77", other.world.server)
    # A Send of nobody is answered after the look-up of what came before.
    assert (await make_caller().ask(send_of("2.0"), other.world.server))[1] == 0x84
    intake = other.world.gateway._intake
    await other.world.eventually(lambda: intake._writing is None)
    if moves:
        await until_held(other)
    assert await holder(one, known) == (other if moves else one).member.gateway_id


async def test_a_send_counts_wherever_it_comes(one, two, make_caller) -> None:
    known = await one.world.add_device()
    device = make_caller()
    await device.register(one.world.server)
    answer = await device.ask(send_of("2.0"), two.world.server)
    assert answer[1] == 0x44
    assert await holder(one, known) == two.member.gateway_id
    found = await one.database.read(devices.find, one.world.application_id, known.device_id)
    assert found.firmware_version == "2.0"
    assert (await make_caller().ask(send_of("2.0"), two.world.server))[1] == 0x84


async def test_blocks_of_a_package_come_from_any_gateway(one, two, make_device) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)

    async def accept(_uri: str) -> Code:
        return Code.CHANGED

    device.on_uri = accept
    await device.register()
    await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    await device.until(lambda: bool(device.addresses))
    path = "/" + device.addresses[0].split("/", 3)[3]
    package = b""
    for number in range(16):
        device.server = (one, two)[number % 2].world.server
        block = await device.fetch_block(path, number)
        assert block.code is Code.CONTENT
        package += block.payload
    assert package == PACKAGE
    assert await holder(one, known) == one.member.gateway_id


# Secure sessions.


async def test_a_new_key_ends_a_session_at_another_node(one, two, switch) -> None:
    known = await one.world.add_device(key=KEY)
    switch.to = one.world.secure_server
    async with Fleet(server=switch.address, devices=[spec(key=KEY)], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        assert one.world.secure_sessions == 1
        await two.database.write(
            devices.modify,
            two.world.application_id,
            known.device_id,
            DeviceDetails(),
            NOW,
            log=two.world.log,
            pre_shared_key=OTHER_KEY.hex().encode(),
        )
        await one.world.eventually(lambda: one.world.secure_sessions == 0)


async def test_nobody_in_clear_brings_a_secure_device_along(one, two, switch, make_caller) -> None:
    known = await one.world.add_device(key=KEY)
    switch.to = one.world.secure_server
    async with Fleet(server=switch.address, devices=[spec(key=KEY)], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        found = await one.database.read(registrations.of_devices, [known.device_id], one.world.clock.now())
        token_holder = found[known.device_id].registration_id
        assert await make_caller().notify(token_holder, two.world.server) == b"\x70\x00\x12\x34"
        assert await holder(one, known) == one.member.gateway_id
        assert two.world.metrics.moved_in.value == 0


async def test_nobody_in_clear_ends_the_registration_of_a_secure_device_elsewhere(
    one, two, switch, make_caller
) -> None:
    known = await one.world.add_device(key=KEY)
    switch.to = one.world.secure_server
    async with Fleet(server=switch.address, devices=[spec(key=KEY)], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        found = await one.database.read(registrations.of_devices, [known.device_id], one.world.clock.now())
        farewell = b"\x40\x04\x12\x34\xb2rd\x0b" + found[known.device_id].registration_id.encode()
        assert await make_caller().ask(farewell, two.world.server) == b"\x60\x84\x12\x34"
        assert await holder(one, known) == one.member.gateway_id


async def test_whoever_went_over_is_told_that_his_session_is_over(one, two, switch) -> None:
    """His records come to a gateway that cannot read them; he begins anew, and is held by it."""
    known = await one.world.add_device(key=KEY)
    switch.to = one.world.secure_server
    profile = spec(key=KEY, notifies_confirmable=True)
    async with Fleet(server=switch.address, devices=[profile], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        switch.to = two.world.secure_server
        await one.world.upgrade(await one.world.add_package(PACKAGE, "2.0.0"), known)
        await begin(one)  # so that it is asked, and its answers go astray
        assert without_marks(await two.world.until_told(known, "succeeded")) == SUCCESS
        assert two.world.secure_sessions is not None
        assert two.world.secure_sessions >= 1
    assert await holder(one, known) in (two.member.gateway_id, None)


# Sleep.


@pytest.fixture
async def sleeper(raw_device, one) -> AsyncIterator:
    """A device in queue mode that has registered with the first gateway; where it is, it stays."""
    opened = []

    async def wake_at(post: Post):
        """Return the device at another source port, where its datagrams go to another gateway."""
        device = raw_device("device-1", post.world.server)
        opened.append(device)
        await device.open()
        if opened[0] is not device:
            device.location = opened[0].location
        return device

    device = await wake_at(one)
    device.wake_at = wake_at
    yield device
    for each in opened:
        each.close()


async def test_orders_for_a_device_asleep_are_carried_out_where_it_wakes(one, two, make_post, sleeper) -> None:
    """They are given by a node that never hears of it, and carried out in one window, in their order, each once."""
    known = await one.world.add_device()
    other = await make_post("there")
    await sleeper.register("Q")
    one.world.gateway._windows.unanswered(one.world.gateway._live.of(known.device_id))
    task = await other.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(other)
    await other.database.write(profiles.order_check, known.device_id, other.world.clock.now())
    async with asyncio.timeout(10):
        while (await other.world.device_upgrade(task)).evidence.asleep_since is None:
            await asyncio.sleep(0.01)
    waiting = await other.database.read(commands.waiting, [known.device_id])
    assert [order.kind for order in waiting] == [CommandKind.INSPECT, CommandKind.CHECK]
    woken = await sleeper.wake_at(two)
    assert await woken.update() == CoapCode.CHANGED
    await woken.until(lambda: any(each.code == CoapCode.PUT and each.payload for each in woken.asked))

    async def nothing_waits() -> bool:
        return not await other.database.read(commands.waiting, [known.device_id])

    async with asyncio.timeout(10):
        while not await nothing_waits():
            await asyncio.sleep(0.01)
    assert sleeper.asked == []
    asked = list({request.message_id: request for request in woken.asked}.values())
    token = observation_token(RegistrationId(woken.location[-1]), FIRMWARE_STATE)
    beginnings = {
        "inspect": [number for number, each in enumerate(asked) if each.observe == 0 and each.token == token],
        "check": [number for number, each in enumerate(asked) if each.accept == LINK_FORMAT],
        "transfer": [number for number, each in enumerate(asked) if each.code == CoapCode.PUT and each.payload],
    }
    assert [len(found) for found in beginnings.values()] == [1, 1, 1]
    # The upgrade's order has another number since the device has come to another gateway, and that is a newer one.
    assert sorted(beginnings, key=beginnings.get) == ["check", "inspect", "transfer"]


@pytest.mark.parametrize("sign", ["send", "update"])
async def test_a_device_that_spoke_to_another_gateway_is_awake_when_its_task_begins(
    one, two, make_post, sleeper, sign
) -> None:
    known = await one.world.add_device()
    other = await make_post("there")
    await sleeper.register("Q")
    await one.database.write(updated_long_ago)
    one.world.gateway._windows.unanswered(one.world.gateway._live.of(known.device_id))
    if sign == "send":
        sleeper.server = two.world.server
        assert (await sleeper.ask(CoapCode.POST, "/dp", TEMPERATURE, content_format=112)).code == CoapCode.CHANGED
    else:
        sleeper = await sleeper.wake_at(two)
        assert await sleeper.update() == CoapCode.CHANGED
    assert await holder(one, known) == two.member.gateway_id
    await other.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(other)
    await sleeper.until_asked(CoapCode.PUT, "/5/0/1")


async def updated_long_ago(tx) -> None:
    """Have the store believe that nobody has updated his registration for an hour."""
    await tx.execute(AN_HOUR_AGO)


# Death and leave.


async def test_devices_of_a_dead_gateway_are_taken_up_at_its_site(one, two, switch) -> None:
    known = await one.world.add_device()
    switch.to = one.world.server
    halfway = asyncio.Event()

    def note(device) -> None:
        if device.status.received > len(PACKAGE) // 2:
            halfway.set()

    async with Fleet(server=switch.address, devices=[spec("push")], timing=QUICK, seed=1, on_progress=note) as fleet:
        await fleet.registered()
        await one.world.upgrade(await one.world.add_package(PACKAGE, "2.0.0"), known)
        await begin(one)
        await halfway.wait()
        await one.be_dead()
        switch.to = two.world.server
        assert ends_well(await two.world.until_told(known, "succeeded", "failed", any_of=True))
    assert two.world.metrics.adopted.value == 1


async def test_a_gateway_that_is_back_at_the_next_look_keeps_what_it_holds(one, make_post, make_device) -> None:
    known = await one.world.add_device()
    other = await make_post(pause=600)
    device = await make_device("device-1", one.world.server)
    await device.register()
    adoption = other.world.gateway._fellows._adoption
    await one.database.write_urgently(nodes.end, one.node_id)
    assert await adoption._try_to_look(at_once=False)
    await one.begin_life()
    assert await adoption._try_to_look(at_once=False)
    assert await holder(one, known) == one.member.gateway_id
    await one.database.write_urgently(nodes.end, one.node_id)
    for expected in (one, other):
        assert await adoption._try_to_look(at_once=False)
        assert await holder(one, known) == expected.member.gateway_id


async def test_devices_of_a_dead_gateway_elsewhere_wait_for_their_next_sign_of_life(
    one, make_post, make_device
) -> None:
    """And nobody judges them meanwhile: when they come, they have the whole time of their phase once more."""
    known = await one.world.add_device()
    other = await make_post("there", pause=0.05)
    device = await make_device("device-1", one.world.server)

    async def accept(_uri: str) -> Code:
        return Code.CHANGED

    device.on_uri = accept
    await device.register(lifetime=86_400)
    task = await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    await device.until(lambda: bool(device.addresses))
    await one.world.eventually(lambda: not len(one.world.gateway._sessions))
    before = await one.world.device_upgrade(task)
    await one.be_dead()
    later = other.world.clock.now() + timedelta(hours=10)
    for passed in (timedelta(0), timedelta(minutes=5), timedelta(hours=1)):
        await other.database.write(
            upgrades.pass_time,
            log=other.world.log,
            limits=other.world.limits,
            now=later + passed,
            limit=10,
            living=nodes.gateways,
        )
        upgrade = await other.world.device_upgrade(task)
        assert (upgrade.phase, upgrade.probed) == (UpgradePhase.TRANSFERRING, False)
        assert upgrade.deadline_at == later + passed + other.world.limits.probe
    assert other.held == 0
    device.server = other.world.server
    assert await device.update() is Code.CHANGED
    upgrade = await other.world.device_upgrade(task)
    assert upgrade.phase_ends_at > before.phase_ends_at
    await device.until(lambda: len(device.addresses) == 2)
    await other.world.eventually(lambda: not len(other.world.gateway._sessions))
    device.values.update({"/5/0/1": device.addresses[0], "/5/0/3": 2})
    assert await device.update() is Code.CHANGED
    assert (await other.world.until_told(known, "succeeded"))[-1] == "succeeded"


async def test_whose_time_runs_out_while_his_gateway_is_dead_is_told_to_have_left(one, make_post, make_device) -> None:
    known = await one.world.add_device()
    other = await make_post("there", pause=0.05)
    device = await make_device("device-1", one.world.server)
    await device.register(lifetime=1)
    await one.be_dead()

    async def has_left() -> bool:
        facts = [event.fact for event in await other.world.stored_events(known)]
        return facts[-1] == DeviceInfoChanged(changed=DeviceDescription(reachability=Reachability.OFFLINE))

    await other.world.until(has_left)
    assert await other.database.read(holding.holders) == []


async def test_who_starts_again_goes_on_with_what_it_held(one, make_post, make_device) -> None:
    """Also where another gateway, which cannot reach the device, is alive."""
    known = await one.world.add_device()
    other = await make_post("there", pause=0.05)
    device = await make_device("device-1", one.world.server)
    await device.register()
    address = one.world.server
    await one.be_dead()
    one.world.settings = one.world.settings.model_copy(update={"port": address[1]})
    one.world.member = Membership.of("here", nodes.gateways, 60.0)
    one.node_id = new_node_id()
    await one.start()
    assert (one.held, other.held, one.world.server) == (1, 0, address)
    assert await holder(one, known) == one.member.gateway_id
    await one.world.upgrade(await one.world.add_package(PACKAGE), known)
    await begin(one)
    assert without_marks(await one.world.until_told(known, "succeeded")) == SUCCESS


async def test_who_leaves_in_good_order_leaves_his_devices_at_once(one, make_post, make_device) -> None:
    known = await one.world.add_device()
    other = await make_post(pause=600)
    device = await make_device("device-1", one.world.server)
    await device.register()
    gateway, one.world.gateway = one.world.gateway, None
    await gateway.stop()
    await until_held(other)
    assert await holder(other, known) == other.member.gateway_id


async def test_what_was_missed_is_found_out_anew(one, two, make_device) -> None:
    known = await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    await device.register()
    heard = one.world.gateway._fellows._moves.heard
    one.database.unlisten(holding.REGISTRATIONS_MOVED, heard)
    device.server = two.world.server
    await device.update()
    await one.database.catch_up()
    one.database.listen(holding.REGISTRATIONS_MOVED, heard)
    assert one.held == 1
    one.world.gateway.missed()
    await until_held(one, 0)
    assert await holder(one, known) == two.member.gateway_id


async def test_a_device_that_comes_while_it_is_found_out_who_was_missed_stays(one, make_device, monkeypatch) -> None:
    """It was not there yet when the store was read, and is not to be forgotten for that."""
    await one.world.add_device()
    device = await make_device("device-1", one.world.server)
    was_read, go_on = asyncio.Event(), asyncio.Event()
    read = one.database.read

    async def slowly(use_case, /, *args, **kwargs):
        found = await read(use_case, *args, **kwargs)
        if use_case is holding.held:
            was_read.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(one.database, "read", slowly)
    fellows = one.world.gateway._fellows
    one.world.gateway.missed()
    await was_read.wait()
    await device.register()
    was_read.clear()
    one.world.gateway.missed()  # what it may be about was not seen
    go_on.set()
    await was_read.wait()
    await fellows._reconciling
    assert one.held == 1


# Ports.


async def test_gateways_share_ports_where_all_of_them_want_to(make_post) -> None:
    first = await make_post(share_ports=True, package_port=0)
    package_port = int(first.world.gateway.package_url(Protocol.HTTP).rpartition(":")[2])
    ports = {
        "port": first.world.server[1],
        "secure_port": first.world.secure_server[1],
        "package_port": package_port,
    }
    first.world.settings = first.world.settings.model_copy(update=ports)
    await first.stop()
    await first.start()

    async def another(*, share_ports: bool) -> Post:
        post = await make_post()
        await post.stop()
        post.world.settings = post.world.settings.model_copy(update={**ports, "share_ports": share_ports})
        await post.start()
        return post

    second = await another(share_ports=True)
    assert second.world.server == first.world.server
    assert second.world.secure_server == first.world.secure_server
    assert second.world.gateway.package_url(Protocol.HTTP) == first.world.gateway.package_url(Protocol.HTTP)
    with pytest.raises(StartError, match="share_ports is true for all of them"):
        await another(share_ports=False)
