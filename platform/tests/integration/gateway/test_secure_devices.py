"""Devices with keys: who may speak for whom, whole upgrades, and what becomes of sessions on bad days."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest

from firmcast.coap.codes import Code
from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.coap.dtls.records import HANDSHAKE, split_records
from firmcast.coap.events import ResponseReceived
from firmcast.coap.options import options
from firmcast.coap.udp import RequestFailedError
from firmcast.devices import registrations
from firmcast.devices import use_cases as devices
from firmcast.devices.keys import DEVICE_KEYS_CHANGED
from firmcast.devices.model import DeviceDetails
from firmcast.errors import StartError
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.network import PERFECT, Network
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK
from firmcast.simulator.transport import Transport

KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"
PACKAGE = bytes(range(256)) * 64
LINKS = b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</5/0>'
SUCCESS = ["1", "2", "3", "0", "succeeded"]
HASTY = replace(QUICK, transmission=replace(QUICK.transmission, ack_timeout=0.1, max_retransmit=2))


class Caller:
    """Speaks to the gateway as any device may, well or ill."""

    def __init__(self, world, transport: Transport) -> None:
        self._world = world
        self.transport = transport

    async def ask(self, method: Code, path: str, query: str = "", payload: bytes = b"") -> ResponseReceived:
        secure = self.transport.scheme == "coaps"
        server = self.transport.peer(self._world.secure_server if secure else self._world.server)
        wording = options(
            uri_path=tuple(path.strip("/").split("/")),
            uri_query=tuple(query.split("&")) if query else (),
            content_format=40 if payload else None,
        )
        return await self.transport.udp.request(server, method, options=wording, payload=payload)

    async def register(self, endpoint_name: str) -> Code:
        """Register, and return the answer's code."""
        answer = await self.ask(Code.POST, "/rd", f"ep={endpoint_name}&lt=300&lwm2m=1.1&b=U", LINKS)
        self.location = "/" + "/".join(answer.message.location_path)
        return Code(answer.code)


Call = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def caller(world) -> AsyncIterator[Call]:
    opened: list[Transport] = []

    async def build(identity: str = "device-1", key: bytes | None = KEY) -> Caller:
        transport = await Transport.open(
            "127.0.0.1",
            identity=identity,
            key=key,
            on_event=lambda _: None,
            clock=world.clock.monotonic,
            parameters=HASTY.transmission,
            random=Random(1),
            network=Network(PERFECT, Random(1)),
        )
        opened.append(transport)
        return Caller(world, transport)

    yield build
    for transport in opened:
        transport.udp.close()


def without_marks(told: list[str]) -> list[str]:
    return [one.removeprefix("*") for one in told]


def spec(profile: str = "plain", name: str = "device-1", key: bytes = KEY, **changed) -> DeviceSpec:
    return DeviceSpec(
        endpoint_name=name, profile=replace(profile_named(profile), reboot_delay=0.01, **changed), key=key
    )


async def registration_of(world, device):
    found = await world.database.read(registrations.of_devices, [device.device_id], world.clock.now())
    return found.get(device.device_id)


async def replace_key(world, known, key: bytes = OTHER_KEY) -> None:
    await world.database.write(
        devices.modify,
        world.application_id,
        known.device_id,
        DeviceDetails(),
        world.clock.now(),
        log=world.log,
        pre_shared_key=key.hex().encode(),
    )


# Who may speak for whom.


async def test_a_device_registers_through_its_session(world, caller: Call) -> None:
    known = await world.add_device(key=KEY)
    device = await caller()
    assert await device.register("device-1") is Code.CREATED
    assert (await registration_of(world, known)).is_secure
    assert (await device.ask(Code.POST, device.location, "lt=600")).code == Code.CHANGED
    assert (await device.ask(Code.DELETE, device.location)).code == Code.DELETED


async def test_a_device_is_named_by_its_session_where_it_does_not_name_itself(world, caller: Call) -> None:
    known = await world.add_device(key=KEY)
    device = await caller()
    assert (await device.ask(Code.POST, "/rd", "lt=300&lwm2m=1.1", LINKS)).code == Code.CREATED
    assert (await registration_of(world, known)).is_secure
    assert (await (await caller(key=None)).ask(Code.POST, "/rd", "lt=300", LINKS)).code == Code.BAD_REQUEST


async def test_nobody_registers_under_the_name_of_another(world, caller: Call) -> None:
    await world.add_device("device-1", KEY)
    known = await world.add_device("device-2", OTHER_KEY)
    device = await caller()
    assert await device.register("device-2") is Code.FORBIDDEN
    assert await registration_of(world, known) is None


async def test_nobody_updates_or_ends_the_registration_of_another(world, caller: Call) -> None:
    known = await world.add_device("device-1", KEY)
    await world.add_device("device-2", OTHER_KEY)
    device = await caller()
    await device.register("device-1")
    before = await registration_of(world, known)
    for other in (await caller("device-2", OTHER_KEY), await caller(key=None)):
        assert (await other.ask(Code.POST, device.location, "lt=60")).code == Code.FORBIDDEN
        assert (await other.ask(Code.DELETE, device.location)).code == Code.FORBIDDEN
    assert await registration_of(world, known) == before


async def test_nobody_fetches_the_package_of_another(world, caller: Call) -> None:
    known = await world.add_device("device-1", KEY)
    await world.add_device("device-2", OTHER_KEY)
    task = await world.upgrade(await world.add_package(b"firmware"), known)
    upgrade = await world.device_upgrade(task)
    address = f"/fw/{upgrade.transfer_token}"
    device, other = await caller(), await caller("device-2", OTHER_KEY)
    assert (await other.ask(Code.GET, address)).code == Code.FORBIDDEN
    assert world.gateway.progress(upgrade.device_upgrade_id) == (0, 8)
    assert (await device.ask(Code.GET, address)).payload == b"firmware"
    assert (await other.ask(Code.GET, address)).code == Code.FORBIDDEN
    assert world.gateway.progress(upgrade.device_upgrade_id) == (8, 8)


async def test_nobody_in_clear_takes_the_place_of_a_secure_device(world, caller: Call) -> None:
    known = await world.add_device("device-1", KEY)
    device, stranger = await caller(), await caller(key=None)
    assert await stranger.register("device-1") is Code.CREATED, "while it is not here, whoever reaches us may speak"
    assert await device.register("device-1") is Code.CREATED
    assert await stranger.register("device-1") is Code.FORBIDDEN
    assert (await registration_of(world, known)).is_secure


async def test_a_device_that_must_be_secure_is_refused_in_clear(world, caller: Call) -> None:
    known = await world.add_device("device-1", KEY, must_be_secure=True)
    assert await (await caller(key=None)).register("device-1") is Code.FORBIDDEN
    assert await registration_of(world, known) is None
    assert await (await caller()).register("device-1") is Code.CREATED


async def test_a_device_without_a_key_has_no_secure_session(world, caller: Call) -> None:
    await world.add_device("device-1")
    for identity in ("device-1", "nobody"):
        with pytest.raises(RequestFailedError):
            await (await caller(identity)).register(identity)
    assert world.outcome(HandshakeOutcome.UNKNOWN_IDENTITY) >= 2


async def test_a_wrong_key_gets_nowhere(world, caller: Call) -> None:
    known = await world.add_device("device-1", KEY)
    with pytest.raises(RequestFailedError):
        await (await caller(key=OTHER_KEY)).register("device-1")
    assert await registration_of(world, known) is None


async def test_a_new_key_ends_the_sessions_of_the_old_one(world, caller: Call) -> None:
    known = await world.add_device("device-1", KEY)
    device = await caller()
    await device.register("device-1")
    await replace_key(world, known)
    assert world.secure_sessions == 0
    with pytest.raises(RequestFailedError):
        await device.register("device-1")
    assert await (await caller(key=OTHER_KEY)).register("device-1") is Code.CREATED


async def test_a_new_key_ends_the_handshakes_of_the_old_one(world, caller: Call) -> None:
    """Who knows the old key has it looked up before it is replaced, and finishes when it is."""
    known = await world.add_device("device-1", KEY)
    between = await Between.open(world.secure_server)
    device = await caller()
    asking = asyncio.create_task(
        device.transport.udp.request(
            device.transport.peer(between.address), Code.POST, options=options(uri_path=("rd",))
        )
    )
    await between.held_back.wait()
    await world.eventually(lambda: world.gateway._secure_port._server._handshaking.under_way.of_identity(b"device-1"))
    await replace_key(world, known)
    assert world.outcome(HandshakeOutcome.REVOKED) == 1
    between.let_go()
    with pytest.raises(RequestFailedError):
        await asking
    assert world.outcome(HandshakeOutcome.COMPLETED) == 0
    between.close()


async def test_a_new_key_that_went_unheard_ends_the_sessions_of_the_old_one(world, caller: Call) -> None:
    """This node was cut off from the announcements of the others when it was replaced."""
    known, _ = await world.add_device("device-1", KEY), await world.add_device("device-2", OTHER_KEY)
    device, other = await caller(), await caller("device-2", OTHER_KEY)
    await device.register("device-1")
    await other.register("device-2")
    port = world.gateway._secure_port
    world.database.unlisten(DEVICE_KEYS_CHANGED, port._changed)
    await replace_key(world, known)
    world.database.listen(DEVICE_KEYS_CHANGED, port._changed)
    assert world.secure_sessions == 2
    world.gateway.missed()
    await world.eventually(lambda: world.secure_sessions == 1)
    assert (await other.ask(Code.POST, other.location)).code == Code.CHANGED
    assert world.outcome(HandshakeOutcome.COMPLETED) == 2, "the session of another device goes on"


async def test_a_deleted_device_has_no_session(world, caller: Call) -> None:
    known = await world.add_device("device-1", KEY)
    await (await caller()).register("device-1")
    assert world.secure_sessions == 1

    async def release(*_: object) -> None:
        return

    await world.database.write(
        devices.delete, world.application_id, known.device_id, world.clock.now(), log=world.log, release=release
    )
    assert world.secure_sessions == 0


async def test_the_devices_of_a_deleted_application_have_no_sessions(world, caller: Call) -> None:
    await world.add_device("device-1", KEY)
    await (await caller()).register("device-1")
    assert await world.database.write(devices.forget_application, world.application_id) == 1
    assert world.secure_sessions == 0


async def test_known_devices_are_served_while_handshakes_flood_the_gateway(world, caller: Call) -> None:
    """Addresses that return their cookies, and hold no key."""
    await world.add_device("device-1", KEY)
    device = await caller()
    await device.register("device-1")
    flood = [
        asyncio.create_task((await caller(f"device-{number}", OTHER_KEY)).register("x")) for number in range(2, 100)
    ]
    for _ in range(20):
        assert (await device.ask(Code.POST, device.location)).code == Code.CHANGED
    assert await (await caller()).register("device-1") is Code.CREATED
    ended = await asyncio.gather(*flood, return_exceptions=True)
    assert {type(one) for one in ended} == {RequestFailedError}


async def test_a_gateway_that_stops_lets_its_devices_know(world) -> None:
    """So they come back at once, and not after an hour, with their next update."""
    await world.add_device(key=KEY)
    async with Fleet(server=world.secure_server, devices=[spec(lifetime=7200)], timing=HASTY, seed=1) as fleet:
        await fleet.registered()
        await world.stop()
        await world.start()
        await world.eventually(lambda: world.secure_sessions == 1)


# Which ports there are.


@pytest.mark.parametrize(
    ("changed", "clear", "secure"),
    [
        ({}, True, True),
        ({"host": "0.0.0.0"}, False, True),
        ({"host": "0.0.0.0", "nosec": "always"}, True, True),
        ({"nosec": "never"}, False, True),
        ({"secure": False}, True, False),
    ],
)
async def test_devices_in_clear_are_served_on_this_machine_or_where_it_is_asked_for(
    world, changed: dict, clear: bool, secure: bool
) -> None:
    await world.stop()
    world.settings = world.settings.model_copy(update=changed)
    try:
        await world.start_gateway()
        assert (world.server is not None, world.secure_server is not None) == (clear, secure)
    finally:
        await world.gateway.stop()
        world.gateway = None


async def test_a_gateway_that_could_serve_nobody_does_not_start(world) -> None:
    await world.stop()
    world.settings = world.settings.model_copy(update={"nosec": "never", "secure": False})
    with pytest.raises(StartError, match="no device could be served"):
        await world.start_gateway()


# Whole upgrades.


@pytest.mark.parametrize(
    "profile", ["plain", "pull", "push", "anjay", "anjay-push", "zephyr", "small-blocks", "lists-coap"]
)
async def test_a_device_is_upgraded_through_its_session(world, profile: str) -> None:
    known = await world.add_device(key=KEY)
    package = await world.add_package(PACKAGE, "2.0.0")
    addresses: set[str] = set()

    def note(device) -> None:
        addresses.add(device._firmware.package_uri)

    async with Fleet(
        server=world.secure_server, devices=[spec(profile)], timing=QUICK, seed=1, on_progress=note
    ) as fleet:
        await fleet.registered()
        await world.upgrade(package, known)
        assert without_marks(await world.until_told(known, "succeeded", "failed", any_of=True)) == SUCCESS
    if profile.endswith("push"):
        assert addresses == {""}
    else:
        assert {address[: address.index("/fw/")] for address in addresses} == {
            f"coaps://127.0.0.1:{world.secure_server[1]}"
        }


@pytest.mark.parametrize("profile", ["pull", "push"])
async def test_a_killed_gateway_costs_no_upgrade_though_every_session_is_lost(world, profile: str) -> None:
    known = await world.add_device(key=KEY)
    package = await world.add_package(PACKAGE * 16, "2.0.0")
    device = spec(profile, lifetime=2)
    async with Fleet(server=world.secure_server, devices=[device], timing=HASTY, seed=1) as fleet:
        await fleet.registered()
        await world.upgrade(package, known)
        await world.until_told(known, "1", "*1", any_of=True)
        await world.kill()
        await world.start()
        told = without_marks(await world.until_told(known, "succeeded", "failed", any_of=True))
    assert told[-5:] == SUCCESS


async def test_a_device_behind_a_nat_goes_on_from_another_port(world) -> None:
    """The NAT forgets the device: what it sends comes from another port, which has no session."""
    known = await world.add_device(key=KEY)
    nat = await Nat.open(world.secure_server)
    async with Fleet(server=nat.address, devices=[spec(lifetime=2)], timing=HASTY, seed=1) as fleet:
        await fleet.registered()
        before = (await registration_of(world, known)).port
        nat.forget()
        await fleet.until(lambda statistics: statistics.registrations >= 2)
        registration = await registration_of(world, known)
        assert registration.is_secure
        assert registration.port != before
    nat.close()


@pytest.mark.parametrize("request_number", [1, 4])
async def test_a_device_that_begins_another_session_in_place_of_an_answer_is_asked_again(world, request_number) -> None:
    """As Wakaama's example does with the first that it has to say after 40 silent seconds; it does not register."""
    known = await world.add_device(key=KEY)
    package = await world.add_package(PACKAGE, "2.0.0")
    async with Fleet(server=world.secure_server, devices=[spec("push", lifetime=7200)], timing=HASTY, seed=1) as fleet:
        await fleet.registered()
        layer = fleet.devices["device-1"]._session.udp._layer
        deliver, came = layer._deliver, 0

        def take(message: bytes, peer, now: float) -> None:
            nonlocal came
            came += 1
            if came == request_number:
                layer._timers.clear(layer._associations.pop(peer))
                layer.send(b"\x40\x00\x00\x01", peer, now)
            else:
                deliver(message, peer, now)

        layer._deliver = take
        await world.upgrade(package, known)
        told = without_marks(await world.until_told(known, "succeeded", "failed", any_of=True))
    assert told[-5:] == SUCCESS
    assert world.outcome(HandshakeOutcome.COMPLETED) == 3, "at the start, in place of an answer, and after the reboot"


class Nat(asyncio.DatagramProtocol):
    """Stands between one device and the gateway, and sends from a port of its own."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._device = None
        self._outside: socket.socket | None = None

    @classmethod
    async def open(cls, server: tuple[str, int]) -> "Nat":
        self = cls(server)
        loop = asyncio.get_running_loop()
        self._inside, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.address = self._inside.get_extra_info("sockname")
        self.forget()
        return self

    def datagram_received(self, datagram: bytes, device) -> None:
        self._device = device
        self._outside.sendto(datagram, self._server)

    def forget(self) -> None:
        self._drop()
        self._outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outside.setblocking(False)
        self._outside.bind(("127.0.0.1", 0))
        asyncio.get_running_loop().add_reader(self._outside.fileno(), self._come)

    def close(self) -> None:
        self._drop()
        self._inside.close()

    def _come(self) -> None:
        self._inside.sendto(self._outside.recv(4096), self._device)

    def _drop(self) -> None:
        if self._outside is not None:
            asyncio.get_running_loop().remove_reader(self._outside.fileno())
            self._outside.close()


class Between(Nat):
    """Holds back what of a handshake proves that its client has the key, and all that comes after."""

    def __init__(self, server: tuple[str, int]) -> None:
        super().__init__(server)
        self.held_back = asyncio.Event()
        self._held: list[bytes] = []

    def datagram_received(self, datagram: bytes, device) -> None:
        first, *rest = split_records(datagram)
        if self.held_back.is_set():
            self._held.append(datagram)
        elif first[0] == HANDSHAKE and first[13] == 16:
            super().datagram_received(first, device)
            self._held = rest
            self.held_back.set()
        else:
            super().datagram_received(datagram, device)

    def let_go(self) -> None:
        self._outside.sendto(b"".join(self._held), self._server)


# Independent clients.


@pytest.mark.parametrize("library", ["openssl", "gnutls"])
async def test_libcoap_registers_through_a_session(world, library: str) -> None:
    client = shutil.which(f"coap-client-{library}")
    if client is None:
        pytest.skip(f"coap-client-{library} is not installed (Debian: libcoap3-bin)")
    known = await world.add_device(key=KEY)
    for name, expected in (("device-1", True), ("device-2", False)):
        address = f"coaps://127.0.0.1:{world.secure_server[1]}/rd?ep={name}&lt=300&lwm2m=1.1&b=U"
        process = await asyncio.create_subprocess_exec(
            *(client, "-m", "post", "-t", "40", "-e", LINKS.decode(), "-u", "device-1", "-k", KEY.decode()),
            *("-B", "10", address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert (b"4.03" not in output) is expected, output
    assert (await registration_of(world, known)).is_secure


async def test_a_device_that_loses_its_power_takes_no_leave_of_its_session(world) -> None:
    await world.add_device(key=KEY)
    spec = DeviceSpec(endpoint_name="device-1", profile=profile_named("plain"), key=KEY)
    async with asyncio.timeout(20), Fleet(server=world.secure_server, devices=[spec], timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        assert world.secure_sessions == 1
        fleet.devices["device-1"].reboot()
        await fleet.until(lambda statistics: statistics.registrations == 2)
        assert world.secure_sessions == 2, "the former one is not known to be over"
