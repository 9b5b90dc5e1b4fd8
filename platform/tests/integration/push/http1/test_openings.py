"""When a connection of our own is opened beside libcurl's, and where to."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network

import pytest

from firmcast.push.answer import Answer
from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits
from firmcast.push.sending import busy_receivers
from firmcast.push.sending.busy_receivers import BusyReceivers
from firmcast.push.trust import Trust

LOOPBACK = DestinationRules(allowed_networks=(ip_network("127.0.0.0/8"),))


def request(port: int) -> OutgoingRequest:
    return OutgoingRequest(url=f"http://127.0.0.1:{port}/x", headers=["expect:"], body=b"{}")


@pytest.fixture
async def new_receivers() -> AsyncIterator[Callable[[int], BusyReceivers]]:
    """Makes receivers with so many connections at the most; one answer makes any busy."""
    made: list[BusyReceivers] = []

    def make(connections: int) -> BusyReceivers:
        made.append(
            BusyReceivers(
                rules=LOOPBACK,
                attempt_timeout=20,
                connect_timeout=20,
                idle_connection=60,
                connections=connections,
                answers_before=1,
                hand_back=lambda *_: None,
            )
        )
        return made[-1]

    yield make
    for receivers in made:
        receivers.close()


def hear(receivers: BusyReceivers, port: int, address: str = "127.0.0.1") -> int:
    """Learn of an answer to libcurl; return how many connections are being opened."""
    receivers.answered_libcurl(request(port).url, Trust(), address, port, http2=False)
    return len(receivers._openings)


async def opened(receivers: BusyReceivers) -> None:
    while receivers._openings:
        await asyncio.sleep(0)


async def test_the_most_connections_are_counted_with_those_that_are_being_opened(
    new_receivers, new_callback, callback
) -> None:
    receivers = new_receivers(1)
    other = await new_callback()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert hear(receivers, closed.getsockname()[1]) == 1
        assert hear(receivers, callback.port) == 1
        await opened(receivers)  # in vain, which leaves room
    assert hear(receivers, callback.port) == 1
    assert hear(receivers, other.port) == 1
    await opened(receivers)
    assert hear(receivers, other.port) == 0
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    assert receivers.post(request(callback.port), answered.set_result)
    assert (await answered).status == 200
    await callback.stop()
    while not hear(receivers, other.port):  # until its end has been heard of
        await asyncio.sleep(0)
    await opened(receivers)
    answered = asyncio.get_running_loop().create_future()
    assert receivers.post(request(other.port), answered.set_result)
    assert (await answered).status == 200


async def test_as_many_are_opened_together_as_are_missed_once_one_has_been_answered(new_receivers, callback) -> None:
    receivers = new_receivers(100)
    for _ in range(5):
        receivers.answered_libcurl(request(callback.port).url, Trust(), "127.0.0.1", callback.port, http2=False)
    assert len(receivers._openings) == 1
    await opened(receivers)
    assert not receivers._receivers[request(callback.port).url].missed
    for posts, room, expected in ((4, 1, 3), (5, 4, 1), (50, 5, 32)):
        assert await told(receivers, callback.port, posts) == room
        assert hear(receivers, callback.port) == expected
        await opened(receivers)
        assert hear(receivers, callback.port) == 0  # none was missed since


async def told(receivers: BusyReceivers, port: int, posts: int) -> int:
    """Post so many at once; return how many of them found a connection, when those are answered."""
    answers: list[asyncio.Future[Answer]] = []
    for _ in range(posts):
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if receivers.post(request(port), answered.set_result):
            answers.append(answered)
    assert {answer.status for answer in await asyncio.gather(*answers)} == {200}
    return len(answers)


async def test_an_answer_is_said_to_come_from_where_its_connection_leads(new_receivers, callback) -> None:
    receivers = new_receivers(10)
    hear(receivers, callback.port)
    hear(receivers, callback.port, "127.0.0.2")
    await opened(receivers)
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    assert receivers.post(request(callback.port), answered.set_result)
    assert (await answered).address == "127.0.0.1"


async def test_a_port_that_is_spelt_unusually_is_libcurls(callback) -> None:
    sender = HttpSender(rules=LOOPBACK, limits=SenderLimits(answers_before=1))
    url = f"http://127.0.0.1:0{callback.port}/x"
    for _ in range(12):
        assert (await sender.send(OutgoingRequest(url=url, headers=["expect:"], body=b"{}"))).status == 200
    assert {(each.connection, each.headers["host"]) for each in callback.requests} == {
        (1, f"127.0.0.1:{callback.port}")
    }
    sender.close()


async def test_a_receiver_that_starts_anew_while_a_connection_is_opened_has_one_soon_again(
    new_receivers, new_callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(busy_receivers, "_ENDED_SECONDS", 0.01)
    receivers = new_receivers(10)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert hear(receivers, port) == 1
        await opened(receivers)
    started = await new_callback(port=port)
    async with asyncio.timeout(10):
        while not hear(receivers, port):
            assert not receivers.post(request(port), lambda _: None)  # which misses one
            await asyncio.sleep(0.005)
    await opened(receivers)
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    assert receivers.post(request(port), answered.set_result)
    assert (await answered).status == 200
    assert started.connections == 1
