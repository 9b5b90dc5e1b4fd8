"""A push's id is taken before its handler runs and kept only when the handler ended well.

A store answers three questions and may live anywhere: in this process's memory (here), or in a file or database that
several processes share. Its calls come from the event loop and from server threads alike, so they must be safe to make
from several threads at once and end within milliseconds.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from firmcast_sdk.events import DeviceId, EventId

DEFAULT_CAPACITY = 10_000


class Standing(Enum):
    """What a store knows of a push."""

    NEW = "new"
    """Never handled; it now belongs to the caller, who must `keep` or `release` it."""

    IN_FLIGHT = "in flight"
    """Its handler is running for another copy; the sender is asked to come again."""

    HANDLED = "handled"
    """Its handler ended well; this copy is answered without running it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushKey:
    """What a store may know a push by."""

    event_id: EventId
    """`webhook-id`, the same over retries and replays."""

    device_id: DeviceId
    """Whose event it is."""

    sequence: int | None
    """The event's number within its device; None from a platform that sends none."""


class DeduplicationStore(Protocol):
    """Where the ids of handled pushes are kept.

    A store shared by processes must let go by itself of what a dead process had taken; `now` (aware UTC) is for that.
    """

    def take(self, key: PushKey, now: datetime) -> Standing:
        """Claim `key` if it is new, in one indivisible step, and say how it stood."""

    def keep(self, key: PushKey, now: datetime) -> None:
        """The handler ended well: from now on `key` is HANDLED."""

    def release(self, key: PushKey) -> None:
        """The handler failed: `key` is NEW again."""


class MemoryDeduplicationStore:
    """Keeps the newest `capacity` ids in memory: for one process, until it ends."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._in_flight: set[EventId] = set()
        self._handled: OrderedDict[EventId, None] = OrderedDict()

    def take(self, key: PushKey, now: datetime) -> Standing:  # noqa: ARG002 -- memory dies with its process
        with self._lock:
            if key.event_id in self._handled:
                self._handled.move_to_end(key.event_id)
                return Standing.HANDLED
            if key.event_id in self._in_flight:
                return Standing.IN_FLIGHT
            self._in_flight.add(key.event_id)
            return Standing.NEW

    def keep(self, key: PushKey, now: datetime) -> None:  # noqa: ARG002 -- memory dies with its process
        with self._lock:
            self._in_flight.discard(key.event_id)
            self._handled[key.event_id] = None
            while len(self._handled) > self._capacity:
                self._handled.popitem(last=False)

    def release(self, key: PushKey) -> None:
        with self._lock:
            self._in_flight.discard(key.event_id)
