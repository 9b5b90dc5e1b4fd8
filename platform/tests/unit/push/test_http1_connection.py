"""Whatever comes back, and in whatever parts, an attempt ends once, by what has come of it."""

import asyncio
import gc
import itertools
import socket
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.push.answer import Answer, FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.sending.busy_receiver import Http1Receiver
from firmcast.push.sending.busy_receivers import BusyReceivers
from firmcast.push.sending.http1_connection import Http1Connection, KnownAnswer
from firmcast.push.sending.posted import Posted
from firmcast.push.trust import Trust

Ending = tuple[int | None, FailureKind | None, bytes, str | None] | None
"""Status, failure, snippet, Retry-After; None where it is to be made again."""


class Wire(asyncio.Transport):
    """Takes what is written, and tells the connection at once when it is closed."""

    def __init__(self, connection: Http1Connection, extra: dict[str, Any] | None = None) -> None:
        super().__init__(extra)
        self.written = b""
        self.left = 0
        """Bytes that the other side does not read: it is closed when they are gone."""
        self.is_closed = False
        self._connection = connection

    def write(self, data: bytes) -> None:  # type: ignore[override]  # only bytes are written here
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.left

    def close(self) -> None:
        if not self.left:
            self.abort()

    def abort(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._connection.connection_lost(None)


class Course:
    """Attempts on one connection."""

    def __init__(self, known: KnownAnswer) -> None:
        self.endings: list[Ending] = []
        self.free = 0
        self.over = 0
        self.connection = Http1Connection("192.0.2.1", 15, known, self._on_free, self._on_over)
        self.wire = Wire(self.connection)
        self.connection.connection_made(self.wire)

    def _on_free(self, _connection: Http1Connection) -> None:
        self.free += 1

    def _on_over(self, _connection: Http1Connection) -> None:
        self.over += 1

    def post(self) -> None:
        assert self.connection.takes(2)
        self.connection.post(b"head", b"{}", Posted(0.0, self._on_answer, self._on_unanswered))

    def hear(self, parts: Sequence[bytes]) -> None:
        for part in parts:
            if not self.wire.is_closed:
                self.connection.data_received(part)

    def _on_answer(self, answer: Answer) -> None:
        self.endings.append((answer.status, answer.failure, answer.snippet, answer.retry_after))

    def _on_unanswered(self, _spent: float) -> None:
        self.endings.append(None)


def told(*parts: bytes, then_ends: bool = True) -> tuple[Ending, bool, bool]:
    """What comes of an attempt that is answered so, whether the connection is usable then, and is understood."""

    async def run() -> tuple[Ending, bool, bool]:
        course = Course(KnownAnswer())
        course.post()
        course.hear(parts)
        usable = course.connection.takes(2)
        assert course.free >= usable
        if then_ends:
            course.wire.abort()
        (ending,) = course.endings
        assert course.over == int(course.wire.is_closed)
        return ending, usable, course.connection.is_understood

    return asyncio.run(run())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("answer", "ending", "usable"),
    [
        (OK, (200, None, b"ok", None), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, None, b"", None), True),
        (b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK, (200, None, b"ok", None), True),
        (
            b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
            (503, None, b"", "7"),
            True,
        ),
        (
            b"HTTP/1.1 429 Slowly\r\nRetry-After:\t7 \t\r\nContent-Length: 0\r\n\r\n",
            (429, None, b"", "7"),
            True,
        ),
        (
            b"HTTP/1.1 307 There\r\nLocation: /b\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
            (307, None, b"", None),
            1,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nX: y\r\n\r\n",
            (200, None, b"abc", None),
            True,
        ),
        # It ends with the connection.
        (b"HTTP/1.1 200 OK\r\n\r\nabc", (200, None, b"abc", None), False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", (200, None, b"abc", None), False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", (200, None, b"ok", None), False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, None, b"ok", None), False),
        # More than was asked for: the rest is nobody's.
        (OK + OK, (200, None, b"ok", None), False),
        (
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 9999\r\n\r\n",
            (503, None, b"", None),
            False,
        ),
        (OK + b"H", (200, None, b"ok", None), False),
        (OK + b"garbage", (200, None, b"ok", None), False),
        # It did not come to a status.
        (b"", None, False),
        (b"HTTP/1.1 200 O", (None, FailureKind.CONNECTION_LOST, b"", None), False),
    ],
)
def test_an_answer_is_told_as_it_was_meant(answer: bytes, ending: Ending, usable: bool) -> None:
    assert told(answer) == (ending, usable, True)
    parts = [answer[at : at + 1] for at in range(len(answer))]
    if answer != OK + b"H":  # by then the next attempt may have begun
        assert told(*parts)[0] == ending


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Else\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 140_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1001 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"\r\n" + OK,
    ],
)
def test_what_httptools_cannot_take_is_libcurls(answer: bytes) -> None:
    assert told(answer) == (None, False, False)
    if len(answer) < 1000:
        assert told(*(answer[at : at + 1] for at in range(len(answer)))) == (None, False, False)


def test_an_answer_may_say_much() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 999 + b"Transfer-Encoding: Chunked\r\n\r\n"
    assert told(head + b"0\r\n\r\n") == ((200, None, b"", None), True, True)


def test_an_answer_without_an_end_is_cut_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ending, usable, _ = told(head, *[b"400\r\n" + b"z" * 1024 + b"\r\n"] * 20, then_ends=False)
    assert (ending, usable) == ((200, None, b"z" * 1024, None), False)


def test_what_nobody_has_asked_for_ends_the_connection() -> None:
    async def run() -> None:
        course = Course(KnownAnswer())
        course.post()
        course.hear([OK])
        course.hear([OK])
        assert course.wire.is_closed
        assert course.endings == [(200, None, b"ok", None)]

    asyncio.run(run())


_LINE = st.sampled_from([b"Content-Length: 2", b"Date: now", b"Retry-After: 3", b"X: \xff", b"Content-Length: 0"])
_HEAD = st.builds(
    lambda status, lines: b"HTTP/1.1 %d X\r\n%b\r\n" % (status, b"".join(line + b"\r\n" for line in lines)),
    st.sampled_from([100, 200, 204, 304, 400, 410, 429, 500, 503]),
    st.lists(_LINE, max_size=3),
)
_ANSWERS = st.lists(st.one_of(_HEAD, st.just(OK), st.binary(max_size=6)), max_size=4).map(b"".join)


@given(_ANSWERS, st.lists(st.integers(0, 200), max_size=5))
def test_the_parts_that_an_answer_comes_in_do_not_matter(answer: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    parts = [answer[start:end] for start, end in itertools.pairwise(places)]
    assert told(*parts)[0] == told(answer)[0]


@given(st.lists(_ANSWERS, min_size=2, max_size=6))
def test_an_answer_that_is_known_is_told_as_one_that_is_read(answers: list[bytes]) -> None:
    async def run(known: KnownAnswer | None) -> list[list[Ending]]:
        endings = []
        for answer in answers:
            course = Course(known or KnownAnswer())
            course.post()
            course.hear([answer])
            course.wire.abort()
            endings.append(course.endings)
        return endings

    assert asyncio.run(run(KnownAnswer())) == asyncio.run(run(None))


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_no_bytes_do_more_than_end_an_attempt_once(parts: list[bytes]) -> None:
    told(*parts)


def test_an_attempt_that_is_not_answered_ends_at_its_deadline_and_not_at_that_of_one_before() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        known = KnownAnswer()
        course = Course(known)
        course.connection._timeout = 0.05
        began = loop.time()
        ended = loop.create_future()

        def post() -> None:
            course.connection.post(
                b"", b"", Posted(loop.time(), lambda answer: ended.set_result((answer, loop.time())), print)
            )

        course.post()
        course.hear([OK])
        second = loop.call_later(0.03, post)
        answer, at = await ended
        assert answer.failure is FailureKind.TIMEOUT
        assert at - began >= 0.03 + 0.05 - 0.005
        assert course.wire.is_closed
        assert not course.connection.is_silent
        second.cancel()

    asyncio.run(run())


def test_a_connection_that_has_answered_nothing_by_its_first_deadline_is_silent() -> None:
    async def run() -> None:
        course = Course(KnownAnswer())
        course.connection._timeout = 0.01
        ended = asyncio.get_running_loop().create_future()
        course.connection.post(b"", b"", Posted(asyncio.get_running_loop().time(), ended.set_result, print))
        assert (await ended).failure is FailureKind.TIMEOUT
        assert course.connection.is_silent
        assert course.connection.is_understood

    asyncio.run(run())


@pytest.mark.parametrize("held_back", ["written", "paused"])
def test_a_connection_whose_receiver_answers_without_reading_is_ended(held_back: str) -> None:
    async def run() -> None:
        course = Course(KnownAnswer())
        course.post()
        if held_back == "written":
            course.wire.left = 1
        else:
            course.connection.pause_writing()
        course.hear([OK])
        assert course.endings == [(200, None, b"ok", None)]
        assert (course.wire.is_closed, course.free, course.over) == (True, 0, 1)

    asyncio.run(run())


def test_a_lost_connection_is_known_to_nobody_and_needs_no_collector() -> None:
    async def run() -> None:
        over: list[bool] = []
        connection = Http1Connection("192.0.2.1", 15, KnownAnswer(), print, lambda _: over.append(True))
        wire = Wire(connection)
        connection.connection_made(wire)
        connection.post(b"", b"", Posted(0.0, print, lambda _spent: None))
        known = weakref.ref(connection)
        gc.disable()
        try:
            wire.abort()
            del connection, wire
            assert known() is None
        finally:
            gc.enable()
        assert over == [True]

    asyncio.run(run())


def test_an_end_is_told_even_where_an_attempts_own_ending_raises() -> None:
    async def run() -> None:
        over: list[bool] = []
        connection = Http1Connection("192.0.2.1", 15, KnownAnswer(), print, lambda _: over.append(True))
        wire = Wire(connection)
        connection.connection_made(wire)
        connection.post(b"", b"", Posted(0.0, print, lambda spent: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            wire.abort()
        assert over == [True]

    asyncio.run(run())


# ---------------------------------------------------------------------- which connection is next


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def test_a_connection_with_something_unread_is_not_the_next_until_it_is_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair

    async def run() -> None:
        receiver = Http1Receiver("http://192.0.2.1/x", Trust())
        receiver.missed = 0
        connection = receiver.make("192.0.2.1", 15, lambda _: None)
        assert isinstance(connection, Http1Connection)
        connection.connection_made(Wire(connection, {"socket": here}))
        receiver.add(connection)
        there.send(b"a session's ticket, say")
        for _ in range(3):
            assert receiver.connection_for(2) is None
            assert receiver.connection_for(2) is None
            await asyncio.sleep(0)
        assert not receiver.missed  # it has one, and will have it again
        here.recv(100)
        await asyncio.sleep(0)
        assert receiver.connection_for(2) is connection
        assert receiver.connection_for(2) is None
        assert receiver.missed

    asyncio.run(run())


def test_a_connection_that_its_receiver_ends_is_not_the_next(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair

    async def run() -> None:
        receiver = Http1Receiver("http://192.0.2.1/x", Trust())
        connection = receiver.make("192.0.2.1", 15, lambda _: None)
        assert isinstance(connection, Http1Connection)
        wire = Wire(connection, {"socket": here})
        connection.connection_made(wire)
        receiver.add(connection)
        there.close()
        assert receiver.connection_for(2) is None
        connection.eof_received()
        await asyncio.sleep(0)
        assert receiver.connection_for(2) is None
        assert receiver.missed

    asyncio.run(run())


def test_a_connection_whose_last_bytes_are_never_read_is_ended_when_it_is_old() -> None:
    async def run() -> None:
        receivers = BusyReceivers(
            rules=DestinationRules(),
            attempt_timeout=1,
            connect_timeout=1,
            idle_connection=60,
            connections=10,
            answers_before=100,
            hand_back=print,
        )
        receivers.answered_libcurl("http://192.0.2.1/x", Trust(), "192.0.2.1", 80, http2=False)
        (receiver,) = receivers._receivers.values()
        connection = receiver.make("192.0.2.1", 15, receiver.remove)
        assert isinstance(connection, Http1Connection)
        wire = Wire(connection)
        connection.connection_made(wire)
        receiver.add(connection)
        wire.left = 1
        connection.last_used -= 61
        receivers._sweep()
        assert not wire.is_closed
        assert not connection.is_open
        receivers._sweep()
        assert wire.is_closed
        assert not receiver.connections
        receivers.close()

    asyncio.run(run())
