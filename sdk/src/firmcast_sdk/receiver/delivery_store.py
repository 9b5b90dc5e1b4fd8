"""What was handled is kept in a store: in this process's memory (here), or where several processes share it.

A store keeps the state of each stream and leaves every decision to `standing`. Its calls come from the event loop and
from server threads alike, so they must be safe to make from several threads at once and end within milliseconds.
"""

import threading
from collections import OrderedDict
from typing import Protocol

from firmcast_sdk.receiver.standing import Claim, Standing, StreamState, judge, let_go, recorded, taken

DEFAULT_CAPACITY = 10_000


class DeliveryStore(Protocol):
    """Where it is kept what was handled, and which device's events are being handled.

    Each call is one indivisible step, for all processes that share the store. A claim that its process will never give
    back, because it died, must end by itself. An exception makes the answer 500, so that the push comes again.
    """

    def take(self, claim: Claim) -> Standing:
        """Say how the push stands, and when it is NEW let `claim` hold its stream."""

    def keep(self, claim: Claim) -> None:
        """The handler ended well: record it and let the stream go."""

    def release(self, claim: Claim) -> None:
        """The handler failed: let the stream go."""


class MemoryDeliveryStore:
    """Keeps the `capacity` streams heard of last in memory: for one process, until it ends."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._claimed: dict[str, StreamState] = {}
        self._free: OrderedDict[str, StreamState] = OrderedDict()

    def take(self, claim: Claim) -> Standing:
        stream = claim.key.stream
        with self._lock:
            state = self._state(stream)
            standing = judge(state, claim, None)
            if standing is Standing.NEW:
                self._free.pop(stream, None)
                self._claimed[stream] = taken(state, claim, None)
            return standing

    def keep(self, claim: Claim) -> None:
        with self._lock:
            self._put(claim.key.stream, let_go(recorded(self._state(claim.key.stream), claim), claim))

    def release(self, claim: Claim) -> None:
        with self._lock:
            self._put(claim.key.stream, let_go(self._state(claim.key.stream), claim))

    def _state(self, stream: str) -> StreamState:
        return self._claimed.get(stream) or self._free.get(stream) or StreamState()

    def _put(self, stream: str, state: StreamState) -> None:
        if state.token:
            self._claimed[stream] = state
            return
        self._claimed.pop(stream, None)
        self._free.pop(stream, None)
        if state != StreamState():
            self._free[stream] = state
        while len(self._free) > self._capacity:
            self._free.popitem(last=False)
