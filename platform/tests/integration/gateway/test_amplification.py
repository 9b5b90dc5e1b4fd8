"""Whoever's address a stranger gives for his own is sent three times what he sent, at the most."""

import asyncio
import itertools
import socket

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.message import Message, encode
from firmcast.coap.options import options

LINKS = b"</5>"


class Victim:
    """An address that somebody speaks in the name of, and that never says a word."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
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

    def make() -> Victim:
        made.append(Victim(world.server))
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
