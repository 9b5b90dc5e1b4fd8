"""A flood from addresses that nobody has shown to be real leaves known devices served, and is counted."""

import asyncio
import itertools
import socket
import struct
from dataclasses import replace

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.dtls.client import DtlsClient
from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.coap.message import Message, encode
from firmcast.coap.options import options
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK

PACKAGE = bytes(range(256)) * 128
SUCCESS = ["1", "2", "3", "0", "succeeded"]
KEY = b"0123456789abcdef"
LINKS = b"</1/0>,</3/0>,</5/0>"
IP_PKTINFO = 8  # of Linux; Python 3.11 does not name it
STRANGERS = 2_000
AT_ONCE = 50


def hello() -> bytes:
    """Return the ClientHello of a device that begins."""
    sent: list[bytes] = []
    client = DtlsClient(
        identity="anybody",
        key=KEY,
        deliver=lambda _message, _peer, _now: None,
        transmit=lambda datagram, _address: sent.append(datagram),
        ended=lambda _peer, _now: None,
    )
    client.send(b"", client.peer(("127.0.0.1", 1)), 0.0)
    return sent[0]


def registration(number: int) -> bytes:
    wording = options(uri_path=("rd",), uri_query=(f"ep=stranger-{number}", "lt=300", "lwm2m=1.1"), content_format=40)
    return encode(Message(MessageType.CON, Code.POST, number & 0xFFFF, b"fl", wording, LINKS))


def oversized_block(number: int) -> bytes:
    wording = options(uri_path=("rd",), block1=Block(0, True, 6), size1=1 << 30)
    return encode(Message(MessageType.CON, Code.POST, number & 0xFFFF, b"fl", wording, bytes(1024)))


def noise(number: int) -> bytes:
    return struct.pack("!BBHB", 0x4F, Code.GET, number & 0xFFFF, 0xFF)


class Flood:
    """Sends as if from very many addresses, and never looks at what comes back."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # To speak as any address of the loopback network a socket must be bound to none.
        self._socket.bind(("", 0))
        self._socket.setblocking(False)
        self.sent = 0

    def close(self) -> None:
        self._socket.close()

    async def send(self, datagrams, server) -> None:
        """Send in bursts, and leave the loop to the gateway in between."""
        for number in range(1, STRANGERS + 1):
            source = struct.pack("=I4s4x", 0, struct.pack("!I", (127 << 24) + (2 << 16) + number))
            self._socket.sendmsg([next(datagrams)], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, server)
            self.sent += 1
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)


@pytest.fixture
def flood():
    made = Flood()
    yield made
    made.close()


async def test_known_devices_are_upgraded_during_a_flood(world, flood) -> None:
    known = [await world.add_device("in-clear"), await world.add_device("secure", KEY)]
    package = await world.add_package(PACKAGE, "2.0.0")
    profile = replace(profile_named("pull"), reboot_delay=0.01)
    in_clear = [DeviceSpec(endpoint_name="in-clear", profile=profile)]
    secure = [DeviceSpec(endpoint_name="secure", profile=profile, key=KEY)]
    numbers = itertools.count(1)
    first = hello()
    async with (
        Fleet(server=world.server, devices=in_clear, timing=QUICK, seed=1) as one,
        Fleet(server=world.secure_server, devices=secure, timing=QUICK, seed=2) as other,
    ):
        await one.registered()
        await other.registered()
        await world.upgrade(package, *known)
        await asyncio.gather(
            flood.send((registration(number) for number in numbers), world.server),
            flood.send((oversized_block(number) for number in numbers), world.server),
            flood.send((noise(number) for number in numbers), world.server),
            flood.send((first for _ in numbers), world.secure_server),
        )
        for device in known:
            told = await world.until_told(device, "succeeded", "failed", any_of=True)
            assert [one.removeprefix("*") for one in told] == SUCCESS
    counted = world.metrics.datagrams.read()
    # What the kernel could not hold is lost, and is not counted by us.
    assert counted["malformed"] > STRANGERS // 4
    assert counted["too_large"] > STRANGERS // 4
    assert world.metrics.unknown.value > STRANGERS // 4
    assert world.outcome(HandshakeOutcome.CHALLENGED) > STRANGERS // 4
    assert world.metrics.half_open.read() == 0
    assert world.metrics.live.read() <= 2
