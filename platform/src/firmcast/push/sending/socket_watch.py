"""libcurl says which of its sockets it waits for; the event loop does the waiting.

Where the system has epoll, the sockets stand in a set of their own whose descriptor the loop watches. A socket that
libcurl has no interest in at the moment stays there until something happens on it: between two requests of a
kept-alive connection nothing has to be taken out and put in again. The kernel takes a closed socket out by itself; so
a wish for a descriptor is always put to the kernel, which knows, and not compared with what we knew. Elsewhere the
loop watches each socket.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Protocol

import pycurl

OnReady = Callable[[list[tuple[int, int]]], None]
"""Called with pairs of a descriptor and libcurl's CSELECT mask."""

_MOST_EVENTS = 8
"""In one turn of the loop: each of them may end an attempt and begin another, for a fifth of a millisecond in all.

Whoever commits waits for one turn, and with PostgreSQL for one at each statement.
"""


class SocketWatch(Protocol):
    """Watches sockets for one libcurl multi handle."""

    def want(self, descriptor: int, *, read: bool, write: bool) -> None:
        """Watch a socket for this; neither means not at all."""
        ...

    def close(self) -> None:
        """Watch nothing any more."""
        ...


def watch_sockets(loop: asyncio.AbstractEventLoop, on_ready: OnReady) -> SocketWatch:
    """Return the best watch that this system has."""
    if hasattr(select, "epoll"):
        return EpollWatch(loop, on_ready)
    return LoopWatch(loop, on_ready)


class EpollWatch:
    """Watches sockets in an epoll set."""

    __slots__ = ("_epoll", "_loop", "_on_ready", "_wanted")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: OnReady) -> None:
        """Begin watching on `loop`."""
        self._loop = loop
        self._on_ready = on_ready
        self._epoll = select.epoll()
        self._wanted: dict[int, int] = {}
        loop.add_reader(self._epoll.fileno(), self._poll)

    def want(self, descriptor: int, *, read: bool, write: bool) -> None:
        events = (select.EPOLLIN if read else 0) | (select.EPOLLOUT if write else 0)
        if not events:
            self._wanted[descriptor] = 0
            return
        try:
            self._epoll.modify(descriptor, events)
        except FileNotFoundError:
            self._epoll.register(descriptor, events)
        self._wanted[descriptor] = events

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _poll(self) -> None:
        ready = []
        for descriptor, events in self._epoll.poll(0, _MOST_EVENTS):
            wanted = self._wanted.get(descriptor, 0)
            if not wanted:
                self._epoll.unregister(descriptor)
                self._wanted.pop(descriptor, None)
                continue
            mask = 0
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLRDHUP):
                mask |= pycurl.CSELECT_IN
            if events & select.EPOLLOUT:
                mask |= pycurl.CSELECT_OUT
            if events & select.EPOLLERR:
                mask |= pycurl.CSELECT_ERR
            ready.append((descriptor, mask))
        if ready:
            self._on_ready(ready)


class LoopWatch:
    """Watches each socket on the loop; libcurl takes its interest back before it closes one."""

    __slots__ = ("_loop", "_on_ready", "_readers", "_writers")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: OnReady) -> None:
        """Begin watching on `loop`."""
        self._loop = loop
        self._on_ready = on_ready
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def want(self, descriptor: int, *, read: bool, write: bool) -> None:
        if read and descriptor not in self._readers:
            self._readers.add(descriptor)
            self._loop.add_reader(descriptor, self._on_ready, [(descriptor, pycurl.CSELECT_IN)])
        elif not read and descriptor in self._readers:
            self._readers.remove(descriptor)
            self._loop.remove_reader(descriptor)
        if write and descriptor not in self._writers:
            self._writers.add(descriptor)
            self._loop.add_writer(descriptor, self._on_ready, [(descriptor, pycurl.CSELECT_OUT)])
        elif not write and descriptor in self._writers:
            self._writers.remove(descriptor)
            self._loop.remove_writer(descriptor)

    def close(self) -> None:
        for descriptor in self._readers | self._writers:
            self.want(descriptor, read=False, write=False)
