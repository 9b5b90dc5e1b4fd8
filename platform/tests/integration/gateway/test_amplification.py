"""Whoever's address a stranger gives for his own is sent three times what he sent, at the most."""

import asyncio
import itertools
import socket

import aiocoap
import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.message import Message, encode
from firmcast.coap.options import options
from firmcast.coap.udp import UdpEndpoint

LINKS = b"</5>"
PACKAGE = bytes(range(256)) * 32
ANOTHER_HOST = "127.0.0.2"


class Victim:
    """An address that somebody speaks in the name of, and that never says a word."""

    def __init__(self, server: tuple[str, int], host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self._server = server
        self.received: list[bytes] = []

    def close(self) -> None:
        self._socket.close()

    def is_named(self, datagram: bytes) -> None:
        """Have a stranger send a datagram from this address."""
        self._socket.sendto(datagram, self._server)

    async def until_sent_something(self) -> None:
        async with asyncio.timeout(10):
            self.received.append(await asyncio.get_running_loop().sock_recv(self._socket, 4096))

    def rest(self) -> None:
        """Take in what has come."""
        while True:
            try:
                self.received.append(self._socket.recv(4096))
            except BlockingIOError:
                return


@pytest.fixture
async def world(database, make_world):
    """A gateway that asks again quickly, and gives up soon."""
    made = make_world(database)
    made.settings = made.settings.model_copy(update={"acknowledgement_timeout": 0.02})
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def make_victim(world):
    made: list[Victim] = []

    def make(host: str = "127.0.0.1") -> Victim:
        made.append(Victim(world.server, host))
        return made[-1]

    yield make
    for victim in made:
        victim.close()


def strange_requests() -> dict[str, bytes]:
    """Return requests of strangers, each as short as it can be."""
    numbers = itertools.count(1)

    def request(code: Code, path: str, payload: bytes = b"", kind=MessageType.CON, **wording) -> bytes:
        wording["uri_path"] = tuple(path.split("/")) if path else ()
        return encode(Message(kind, code, next(numbers), b"", options(**wording), payload))

    non = MessageType.NON
    return {
        "what is here": request(Code.GET, ".well-known/core"),
        "nothing": request(Code.GET, ""),
        "a registration of nobody": request(Code.POST, "rd"),
        "one that wants no acknowledgement": request(Code.POST, "rd", kind=non),
        "one of somebody unknown": request(Code.POST, "rd", uri_query=("ep=x",)),
        "one of him, unacknowledged": request(Code.POST, "rd", kind=non, uri_query=("ep=x",)),
        "one whose objects are none": request(Code.POST, "rd", b"<", uri_query=("ep=x",)),
        "one whose objects are no text": request(Code.POST, "rd", b"\xff", uri_query=("ep=x",)),
        "one whose lifetime is none": request(Code.POST, "rd", LINKS, uri_query=("ep=x", "lt=\0\0\0\0\0\0\0\0")),
        "one in a block": request(Code.POST, "rd", b"<", block1=Block(0, False, 0)),
        "an update of nothing": request(Code.POST, "rd/x"),
        "one of a senseless lifetime": request(Code.POST, "rd/x", uri_query=("lt=",)),
        "a farewell": request(Code.DELETE, "rd/x"),
        "something sent": request(Code.POST, "dp", b"x"),
        "a package": request(Code.GET, "fw/x"),
        "an option that nobody knows": request(Code.GET, "", others=((9, b""),)),
    }


async def test_a_refusal_is_explained_to_whoever_said_enough(world, make_victim) -> None:
    victims = {}
    for name, datagram in strange_requests().items():
        victims[name] = victim = make_victim()
        victim.is_named(datagram)
        await victim.until_sent_something()
        assert sum(map(len, victim.received)) <= 3 * len(datagram), name
    assert world.metrics.datagrams.read()["withheld"] > 0
    usual = Message(
        MessageType.CON,
        Code.POST,
        7,
        b"tok",
        options(uri_path=("rd",), uri_query=("ep=urn:imei:490154203237518", "lt=300", "b=U")),
        b"</3/0>,</5/0>",
    )
    victim = make_victim()
    victim.is_named(encode(usual))
    await victim.until_sent_something()
    assert b"not known here" in victim.received[0]


async def test_a_device_that_does_not_answer_may_not_be_there(world, make_victim) -> None:
    known = await world.add_device("k")
    package = await world.add_package(bytes(2048))
    await world.upgrade(package, known)
    registration = encode(
        Message(MessageType.CON, Code.POST, 7, b"", options(uri_path=("rd",), uri_query=("ep=k",)), LINKS)
    )
    victim = make_victim()
    victim.is_named(registration)
    await world.eventually(lambda: world.metrics.datagrams.read()["given_up"])
    victim.rest()
    assert victim.received
    assert sum(map(len, victim.received)) <= 3 * len(registration)


@pytest.fixture
async def offered(world, make_raw):
    """A package that a device was offered: the device, and the token of its address."""
    known = await world.add_device()
    device = await make_raw()
    await device.register()
    await world.upgrade(await world.add_package(PACKAGE), known)
    uri = (await device.until_asked(Code.PUT, "/5/0/1")).payload.decode()
    await world.eventually(lambda: world.gateway._live.of(known.device_id).answered_from is not None)
    return device, uri.rpartition("/")[2]


async def test_a_device_does_not_have_its_package_sent_to_somebody_else(world, make_victim, offered) -> None:
    _, token = offered
    victim = make_victim(ANOTHER_HOST)
    said = 0
    for number in range(8):
        wording = options(uri_path=("fw", token), block2=Block(number, more=False, szx=6))
        datagram = encode(Message(MessageType.CON, Code.GET, number, b"tokn", wording))
        said += len(datagram)
        victim.is_named(datagram)
    await world.eventually(lambda: world.metrics.datagrams.read()["given_up"])
    victim.rest()
    assert 0 < sum(map(len, victim.received)) <= 3 * said


async def test_a_client_on_another_host_shows_that_it_is_there_and_has_its_package_in_large_blocks(
    world, offered
) -> None:
    _, token = offered
    client = await UdpEndpoint.open(ANOTHER_HOST, 0)
    response = await client.request(world.server, Code.GET, options=options(uri_path=("fw", token)))
    assert response.payload == PACKAGE
    assert client.endpoint.counters.received == len(PACKAGE) // 1024 + 2, "a sign is asked of it before the first block"
    client.close()


async def test_a_client_of_another_library_on_another_host_has_its_package(world, offered) -> None:
    _, token = offered
    client = await aiocoap.Context.create_server_context(
        None, bind=(ANOTHER_HOST, 0), transports=["simplesocketserver"]
    )
    uri = f"coap://{world.server[0]}:{world.server[1]}/fw/{token}"
    response = await client.request(aiocoap.Message(code=aiocoap.GET, uri=uri)).response
    assert response.payload == PACKAGE
    await client.shutdown()


async def test_a_device_fetches_from_another_port_than_it_registered_from_at_once(world, offered) -> None:
    _, token = offered
    client = await UdpEndpoint.open("127.0.0.1", 0)
    response = await client.request(world.server, Code.GET, options=options(uri_path=("fw", token)))
    assert response.payload == PACKAGE
    assert client.endpoint.counters.received == len(PACKAGE) // 1024
    client.close()
