"""A cell of the matrix is a device of one kind, a way for its package, a session or none, and one fault at the most."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from random import Random

from device_upgrades import scheduled_upgrade
from tests.matrix.virtual_device import VirtualDevice
from tests.matrix.virtual_network import Network, VirtualTime
from tests.matrix.virtual_platform import START, Platform

from firmcast.lwm2m.firmware_update import DeliveryMethod, Protocol
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import PROFILES
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceUpgrade

WAYS = ("coap", "http", "written")
AS_LISTED = "as listed"
"""In whatever way the device says that it takes packages, HTTP before CoAP."""
UNTRUE = (
    "leaves-http",
    "leaves-http-in-0",
    "lists-http",
    "lists-http-late",
    "loses-packages",
    "refuses-addresses",
    "refuses-packages",
)
"""The kinds that list ways in which they take nothing."""
SESSIONS = ("clear", "secure")
FAULTS = ("nothing", "loss", "device killed", "gateway killed", "rebound")

KINDS = {
    **PROFILES,
    "falls-back": replace(PROFILES["plain"], installs_version="1.0.0"),
    "names-it-otherwise": replace(PROFILES["plain"], installs_version="v2-release"),
    "newer": replace(PROFILES["plain"], version="3.0.0"),
    "up-to-date": replace(PROFILES["plain"], version="2.0.0"),
}
"""The profiles that have a name, and those that differ only in what they run before and after."""
TARGET = "2.0.0"
BLOCK = 1024
PACKAGE = bytes(6 * BLOCK)
LOSS = 0.2
BEGINS_AT = 1.0
"""Seconds after which the upgrade begins, of a device that is online."""
DOWN_FOR = 3.0
"""Seconds that a killed gateway is away."""

LIMITS = Limits(
    waiting=timedelta(hours=1),
    inspecting=timedelta(minutes=3),
    transferring=timedelta(minutes=60),
    executing=timedelta(minutes=30),
    verifying=timedelta(minutes=10),
    probe=timedelta(minutes=2),
    deferral_pause=timedelta(minutes=5),
    deferral=timedelta(minutes=30),
    awake=timedelta(seconds=93),
    sleeping=timedelta(hours=24),
    prefer_write=False,
    protocols=(Protocol.COAPS, Protocol.COAP, Protocol.HTTPS, Protocol.HTTP),
    new_version_required=True,
)
LONGEST = (LIMITS.waiting + LIMITS.transferring + LIMITS.deferral + 4 * LIMITS.executing).total_seconds()


@dataclass(frozen=True)
class Cell:
    """One of them."""

    kind: str
    way: str
    session: str
    fault: str
    seed: int = 1

    @property
    def profile(self) -> DeviceProfile:
        """Return the profile, with nothing but this way to get a package; where it is as listed, as it is."""
        secure = self.session == "secure"
        if self.way == AS_LISTED:
            listed = KINDS[self.kind]
            names = {True: (Protocol.COAPS, Protocol.HTTPS), False: (Protocol.COAP, Protocol.HTTP)}[secure]
            ways = dict(zip((Protocol.COAP, Protocol.HTTP), names, strict=True))
            return replace(
                listed,
                protocols=tuple(ways[protocol] for protocol in listed.protocols),
                speaks=tuple(ways[protocol] for protocol in listed.speaks),
            )
        if self.way == "http":
            protocols = (Protocol.HTTPS if secure else Protocol.HTTP,)
        else:
            protocols = (Protocol.COAPS if secure else Protocol.COAP,)
        delivery = DeliveryMethod.PUSH if self.way == "written" else DeliveryMethod.PULL
        return replace(KINDS[self.kind], delivery=delivery, protocols=protocols, speaks=protocols)

    @property
    def limits(self) -> Limits:
        """Return the limits, with the way first that does not work where the device lists such a one."""
        if self.way != AS_LISTED:
            return LIMITS
        http_first = (Protocol.HTTPS, Protocol.HTTP, Protocol.COAPS, Protocol.COAP)
        return replace(LIMITS, protocols=http_first, prefer_write=self.kind in ("loses-packages", "refuses-packages"))


@dataclass(frozen=True)
class Outcome:
    """How a cell has ended."""

    told: str
    """What an application was told: states as numbers, and the end."""
    description: str
    active_until: float
    """Seconds until the last state was told, or the end where none was."""
    lasted: float
    runs_new_firmware: bool
    orders: tuple[str, ...]
    """What the device was told to do."""


def run(cell: Cell, at: float | None = None) -> Outcome:
    """Let a cell come to its end, with its fault `at` seconds from the beginning."""
    random = Random(f"{cell}")
    time = VirtualTime()
    network = Network(time, random, LOSS if cell.fault == "loss" else 0.0)
    secure = cell.session == "secure"
    profile = cell.profile
    platform = Platform(_upgrade(), network, cell.limits, PACKAGE, block=BLOCK, is_secure=secure)
    device = VirtualDevice(profile, network, platform, is_secure=secure, size=len(PACKAGE), block=BLOCK)
    platform.device = device
    device.boot()
    time.after(BEGINS_AT, platform.start)
    if at is not None:
        time.after(at, _fault(cell.fault, platform, device, time))
    time.run(until=lambda: platform.is_over or time.now > LONGEST)
    states = [when for when, what in zip(platform.told_at, platform.told, strict=True) if what.isdigit()]
    return Outcome(
        told=" ".join(platform.told),
        description=platform.upgrade.description,
        active_until=(states or platform.told_at or [time.now])[-1],
        lasted=time.now,
        runs_new_firmware=device.firmware.version in (TARGET, "v2-release"),
        orders=tuple(order.value for order in platform.orders),
    )


def moments(cell: Cell, count: int) -> list[float | None]:
    """Return when the fault of a cell comes, spread over the time in which there is something to disturb."""
    if cell.fault in ("nothing", "loss"):
        return [None] * (1 if cell.fault == "nothing" else count)
    active_until = _undisturbed(cell.kind, cell.way, cell.session)
    random = Random(f"when {cell}")
    longest = active_until - BEGINS_AT
    return [BEGINS_AT + longest * (number + random.random()) / count for number in range(count)]


@cache
def _undisturbed(kind: str, way: str, session: str) -> float:
    return run(Cell(kind, way, session, "nothing")).active_until


def _fault(fault: str, platform: Platform, device: VirtualDevice, time: VirtualTime) -> Callable[[], None]:
    def kill_gateway() -> None:
        platform.kill()
        time.after(DOWN_FOR, platform.revive)

    return {"device killed": device.lose_power, "gateway killed": kill_gateway, "rebound": device.move}[fault]


def _upgrade() -> DeviceUpgrade:
    ends_at = START + LIMITS.waiting
    return scheduled_upgrade(
        START,
        transfer_token="token-of-this-upgrade",
        target_version=TARGET,
        bytes_total=len(PACKAGE),
        phase_ends_at=ends_at,
        deadline_at=ends_at,
    )
