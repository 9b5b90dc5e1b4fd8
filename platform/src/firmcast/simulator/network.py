"""A network only decides: datagrams and `now` go in, and come out late, twice, in another order or not at all.

It stands between one device and the rest of the world and has two ways, out and in, each with a source of chance of its
own: the same seed makes the same of the nth datagram, whatever goes the other way.
"""

import heapq
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from math import inf
from random import Random

from firmcast.coap.events import Peer

_LONGEST_QUEUE = 30.0
"""Seconds that a datagram waits for a slow line before the buffer is full, and it is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConditions:
    """What a network does to each datagram, alike on the way out and on the way in; times in seconds."""

    loss: float = 0.0
    """The share of datagrams that are lost, 0 to 1."""
    delay: float = 0.0
    """How long each datagram travels at least."""
    jitter: float = 0.0
    """How much longer it may take, drawn evenly; later ones overtake it."""
    duplicate: float = 0.0
    """The share of datagrams that come twice, 0 to 1."""
    bandwidth: float | None = None
    """Bytes a second; None is no bound."""
    mtu: int | None = None
    """Bytes of the largest datagram that passes; larger ones are lost, every time."""
    rebind_after: float | None = None
    """Seconds after which a NAT forgets the device's port: nothing comes in, and the next that goes out has another."""
    rebind_after_datagrams: int | None = None
    """The same after so many datagrams that went out."""

    def __post_init__(self) -> None:
        checks = {
            "loss and duplicate are 0 to 1": 0 <= self.loss <= 1 and 0 <= self.duplicate <= 1,
            "delay and jitter are not negative, and not for ever": 0 <= self.delay < inf and 0 <= self.jitter < inf,
            "bandwidth, mtu, rebind_after and rebind_after_datagrams are more than zero": all(
                bound is None or bound > 0
                for bound in (self.bandwidth, self.mtu, self.rebind_after, self.rebind_after_datagrams)
            ),
        }
        for what, holds in checks.items():
            if not holds:
                raise ValueError(what)


PERFECT = NetworkConditions()


@dataclass(slots=True, kw_only=True)
class NetworkCounters:
    """What became of datagrams."""

    sent: int = 0
    """Datagrams that the devices sent."""
    received: int = 0
    """Datagrams that reached them, copies included."""
    bytes_sent: int = 0
    """Bytes of those that were sent."""
    bytes_received: int = 0
    """Bytes of those that arrived."""
    lost: int = 0
    """Datagrams that the network lost, both ways."""
    duplicated: int = 0
    """Datagrams that came twice, both ways."""
    rebindings: int = 0
    """Ports that were changed, by a NAT or a profile."""

    def add(self, other: "NetworkCounters") -> None:
        """Count in what another network did."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, int]:
        """Return the same as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Moved:
    """A datagram at the end of its way: out to `address`, or in from it."""

    outward: bool
    datagram: bytes
    address: Peer


class Network:
    """The network of one device, through all its lives. `send` and `arrive` take datagrams, `due` gives them back."""

    def __init__(self, conditions: NetworkConditions, random: Random) -> None:
        self.conditions = conditions
        self.counters = NetworkCounters()
        self._ways = (_Way(conditions, random.getrandbits(64)), _Way(conditions, random.getrandbits(64)))
        self._moving: list[tuple[float, int, Moved]] = []
        self._serial = 0
        self._bound_at: float | None = None
        self._sent_since = 0

    def bound(self) -> None:
        """Note that the device has another port: what was on its way is lost, and the NAT knows nothing of it yet."""
        self.counters.lost += len(self._moving)
        self._moving.clear()
        self._bound_at = None
        self._sent_since = 0

    def send(self, datagram: bytes, address: Peer, now: float) -> bool:
        """Take what the device sends; True when a NAT gives it another port for it."""
        forgotten = self._is_forgotten(now)
        if forgotten or self._bound_at is None:
            self._bound_at = now
            self._sent_since = 0
        self._sent_since += 1
        self.counters.sent += 1
        self.counters.bytes_sent += len(datagram)
        self._move(Moved(True, datagram, address), now)
        return forgotten

    def arrive(self, datagram: bytes, address: Peer, now: float) -> None:
        """Take what comes for the device."""
        if self._is_forgotten(now):
            self.counters.lost += 1
        else:
            self._move(Moved(False, datagram, address), now)

    def due(self, now: float) -> Iterator[Moved]:
        """Yield, and forget, what has come to its end by `now`, in that order."""
        while self._moving and self._moving[0][0] <= now:
            moved = heapq.heappop(self._moving)[2]
            if not moved.outward:
                self.counters.received += 1
                self.counters.bytes_received += len(moved.datagram)
            yield moved

    def next_due(self) -> float | None:
        """When `due` is wanted next, or None when nothing is on its way."""
        return self._moving[0][0] if self._moving else None

    def _move(self, moved: Moved, now: float) -> None:
        times = self._ways[moved.outward].ends(len(moved.datagram), now)
        self.counters.lost += not times
        self.counters.duplicated += len(times) > 1
        for when in times:
            self._serial += 1
            heapq.heappush(self._moving, (when, self._serial, moved))

    def _is_forgotten(self, now: float) -> bool:
        if self._bound_at is None:
            return False
        seconds, datagrams = self.conditions.rebind_after, self.conditions.rebind_after_datagrams
        return (seconds is not None and now - self._bound_at >= seconds) or (
            datagrams is not None and self._sent_since >= datagrams
        )


class _Way:
    """One direction; each datagram draws the same number of chances, whatever comes of it."""

    def __init__(self, conditions: NetworkConditions, seed: int) -> None:
        self._conditions = conditions
        self._chance = Random(seed).random  # noqa: S311 -- the weather of a simulated network
        self._free_at = 0.0

    def ends(self, size: int, now: float) -> tuple[float, ...]:
        """Return when a datagram of so many bytes arrives: never, once or twice."""
        conditions, chance = self._conditions, self._chance
        is_lost = chance() < conditions.loss
        is_twice = chance() < conditions.duplicate
        late, later = chance(), chance()
        if conditions.mtu is not None and size > conditions.mtu:
            return ()
        leaves = now
        if conditions.bandwidth is not None:
            begins = max(now, self._free_at)
            if begins - now > _LONGEST_QUEUE:
                return ()
            leaves = self._free_at = begins + size / conditions.bandwidth
        if is_lost:
            return ()
        first = leaves + conditions.delay + late * conditions.jitter
        return (first, leaves + conditions.delay + later * conditions.jitter) if is_twice else (first,)
