"""One attempt is one POST: one deadline for all of it, no redirect, 8 KiB of answer, no address that is not permitted.

libcurl does the HTTP, the event loop of the caller does the waiting. Nothing here blocks; name look-ups run on
libcurl's threads.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pycurl

from firmcast.push.answer import Answer, FailureKind
from firmcast.push.destination import DestinationRules
from firmcast.push.sending.attempt_slot import AttemptSlot, SlotSettings
from firmcast.push.sending.busy_receivers import BusyReceivers
from firmcast.push.sending.outgoing import OnDone, OutgoingRequest
from firmcast.push.sending.proxy import Proxy
from firmcast.push.sending.socket_watch import watch_sockets
from firmcast.push.trust import Trust

__all__ = ["HttpSender", "OnDone", "OutgoingRequest", "SenderLimits"]

_MOST_IDLE_SLOTS = 256
"""Kept for each kind of trust; a slot costs some tens of kilobytes, to make one some tens of microseconds."""

_MOST_IDLE_SLOTS_IN_ALL = 1024
"""Beyond it those of the trust that was used longest ago go: certificates change, and their keys should not stay."""

_MOST_HTTP2_URLS = 10_000
"""Of which it is remembered that they were answered over HTTP/2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderLimits:
    """Bounds of every attempt, and of what is kept between attempts."""

    attempt_timeout: timedelta = timedelta(seconds=15)
    """From the start of an attempt to its end, name look-up, connection, TLS and answer included."""

    connect_timeout: timedelta = timedelta(seconds=5)
    connections: int = 1024
    """Connections kept open, busy and idle together."""

    idle_connection: timedelta = timedelta(seconds=60)
    """An idle connection older than this is not used again."""

    http2: bool = True
    """Offer HTTP/2 on TLS connections."""

    answers_before: int = 100
    """Of one URL, before connections of our own are opened to it beside libcurl's, see `busy_receivers`."""


class HttpSender:
    """Sends requests on the running loop; must be made and used there."""

    def __init__(self, *, rules: DestinationRules, limits: SenderLimits, proxy: Proxy | None = None) -> None:
        """Bind to the running loop; without a proxy every callback is dialled directly."""
        self._loop = asyncio.get_running_loop()
        self._settings = SlotSettings(
            rules=rules,
            attempt_timeout=limits.attempt_timeout,
            connect_timeout=limits.connect_timeout,
            idle_connection=limits.idle_connection,
            http2=limits.http2,
            proxy=proxy,
        )
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, limits.connections)
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX if limits.http2 else pycurl.PIPE_NOTHING)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_interest)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._watch = watch_sockets(self._loop, self._on_ready)
        self._idle: OrderedDict[Trust, list[AttemptSlot]] = OrderedDict()
        self._idle_count = 0
        self._busy: dict[Any, tuple[AttemptSlot, OnDone]] = {}
        self._http2_urls: set[str] = set()  # whose last answer came over it
        self._kick_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._busy_receivers = BusyReceivers(
            rules=rules,
            attempt_timeout=limits.attempt_timeout.total_seconds(),
            connect_timeout=limits.connect_timeout.total_seconds(),
            idle_connection=limits.idle_connection.total_seconds(),
            connections=limits.connections,
            answers_before=limits.answers_before,
            hand_back=self._start_late,
        )
        self._has_given_up_lookups = False

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return len(self._busy) + self._busy_receivers.in_flight

    def start(self, request: OutgoingRequest, on_done: OnDone) -> None:
        """Start an attempt; `on_done` is called once, later, on the loop, and must not raise.

        Raises:
            RuntimeError: after `close`.
        """
        if self._closed:
            raise RuntimeError("the sender is closed")
        if not self._busy_receivers.post(request, on_done):
            self._start_late(request, on_done, 0.0)

    def _start_late(self, request: OutgoingRequest, on_done: OnDone, spent: float) -> None:
        """Have libcurl make an attempt of whose time so many seconds are spent."""
        try:
            slot = self._slot(request.trust)
            waits = request.url in self._http2_urls
            slot.prepare(request.url, request.lines(), request.body, waits=waits, spent=spent)
            self._multi.add_handle(slot.handle)
        except (pycurl.error, OSError, ValueError) as error:
            answer = Answer(status=None, failure=FailureKind.LOCAL, duration=0.0, detail=str(error))
            self._loop.call_soon(on_done, answer)
            return
        self._busy[slot.handle] = (slot, on_done)
        self._kick_soon()

    async def send(self, request: OutgoingRequest) -> Answer:
        """Make one attempt and wait for its answer."""
        answered: asyncio.Future[Answer] = self._loop.create_future()

        def settle(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)

        self.start(request, settle)
        return await answered

    def close(self) -> None:
        """Break off what is under way, answering it with LOCAL, and close all connections."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as endings:
            endings.callback(self._close_libcurl)
            self._busy_receivers.close()

    def _close_libcurl(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        broken_off = list(self._busy.values())
        self._busy.clear()
        for slot, _ in broken_off:
            self._multi.remove_handle(slot.handle)
        self._watch.close()
        self._close_multi([slot for slot, _ in broken_off])
        for slot in [slot for slot, _ in broken_off] + [slot for slots in self._idle.values() for slot in slots]:
            slot.close()
        self._idle.clear()
        answer = Answer(status=None, failure=FailureKind.LOCAL, duration=0.0, detail="shutting down")
        with ExitStack() as endings:
            for _, on_done in reversed(broken_off):
                endings.callback(on_done, answer)

    def _close_multi(self, broken_off: Iterable[AttemptSlot]) -> None:
        """Have libcurl end; for look-ups that it gave up it waits as long as the system does, which is not for us."""
        if self._has_given_up_lookups or any(slot.looks_up for slot in broken_off):
            threading.Thread(target=self._multi.close, name="last-lookups", daemon=True).start()
        else:
            self._multi.close()

    # ------------------------------------------------------------------ slots

    def _slot(self, trust: Trust) -> AttemptSlot:
        idle = self._idle.get(trust)
        if idle:
            self._idle_count -= 1
            return idle.pop()
        return AttemptSlot(self._settings, trust)

    def _put_back(self, slot: AttemptSlot) -> None:
        idle = self._idle.setdefault(slot.trust, [])
        self._idle.move_to_end(slot.trust)
        if len(idle) >= _MOST_IDLE_SLOTS:
            slot.close()
            return
        idle.append(slot)
        self._idle_count += 1
        while self._idle_count > _MOST_IDLE_SLOTS_IN_ALL:
            _, eldest = self._idle.popitem(last=False)
            self._idle_count -= len(eldest)
            for unused in eldest:
                unused.close()

    def _note_receiver(self, slot: AttemptSlot, answer: Answer) -> None:
        """Tell of an answer that speaks for a connection of our own."""
        http2 = slot.is_tls and self._settings.http2 and self._note_version(slot)
        if (http2 or slot.had_connection) and answer.status and answer.address and slot.is_direct:
            self._busy_receivers.answered_libcurl(slot.url, slot.trust, answer.address, slot.port, http2=http2)

    def _note_version(self, slot: AttemptSlot) -> bool:
        """Let attempts that begin together share one connection only where the last one was of HTTP/2, as it says."""
        if not slot.spoke_http2:
            self._http2_urls.discard(slot.url)
            return False
        if slot.url not in self._http2_urls and len(self._http2_urls) < _MOST_HTTP2_URLS:
            self._http2_urls.add(slot.url)
        return True

    # ------------------------------------------------------------------ libcurl asks

    def _on_interest(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if not self._closed:
            self._watch.want(descriptor, read=bool(what & pycurl.POLL_IN), write=bool(what & pycurl.POLL_OUT))

    def _on_timer(self, milliseconds: int) -> None:
        if self._closed or milliseconds < 0:
            return  # a timer that fires for nothing does no harm
        if milliseconds == 0:
            self._kick_soon()
            return
        due = self._loop.time() + milliseconds / 1000
        if self._timer is not None:
            if self._timer.when() <= due:
                return  # it comes earlier, and libcurl then names the next time again
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_time)

    # ------------------------------------------------------------------ the loop tells

    def _kick_soon(self) -> None:
        if not self._kick_due:
            self._kick_due = True
            self._loop.call_soon(self._kick)

    def _kick(self) -> None:
        self._kick_due = False
        if not self._closed:
            self._act(pycurl.SOCKET_TIMEOUT, 0)
            self._harvest()

    def _on_time(self) -> None:
        self._timer = None
        self._kick()
        self._wait_on()

    def _wait_on(self) -> None:
        """Ask for the next time: libcurl does not repeat one that it named before."""
        if self._timer is None and not self._closed:
            self._on_timer(self._multi.timeout())

    def _on_ready(self, ready: list[tuple[int, int]]) -> None:
        """Take note of sockets that can be read or written."""
        for descriptor, mask in ready:
            self._act(descriptor, mask)
        self._harvest()

    def _act(self, descriptor: int, mask: int) -> None:
        self._multi.socket_action(descriptor, mask)

    def _harvest(self) -> None:
        """Hand out the answers of the attempts that have ended."""
        more = True
        while more and not self._closed:
            more, succeeded, failed = self._multi.info_read()
            for handle in succeeded:
                self._finish(handle, 0, "")
            for handle, code, message in failed:
                self._finish(handle, code, message)

    def _finish(self, handle: Any, code: int, message: str) -> None:
        busy = self._busy.pop(handle, None)
        if busy is None:
            return  # the answer before it has closed the sender
        slot, on_done = busy
        if code and slot.prepare_afresh(message):
            self._multi.remove_handle(handle)
            self._multi.add_handle(handle)
            self._busy[handle] = busy
            self._kick_soon()
            return
        answer = slot.answer(code, message)
        if answer.failure is FailureKind.UNRESOLVED:
            self._has_given_up_lookups = True
        self._note_receiver(slot, answer)
        self._multi.remove_handle(handle)
        self._put_back(slot)
        on_done(answer)
