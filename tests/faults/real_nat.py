"""Virtual devices behind a real NAT: one of Linux's own, whose table is flushed and whose lines are bad.

Usage: python -m tests.faults.real_nat [CASE …]

It makes three network namespaces, of devices, of a router that hides them, and of a platform, which have no way out of
one another; they are deleted at the end, whatever happens. It needs Linux, root, and the commands ip, nft and
conntrack (Debian: iproute2, nftables, conntrack); where it cannot run it says so and ends with status 2. Each case has
three minutes at the most. The status is 1 when an upgrade did not end well, or was told otherwise than it should be.
"""

import asyncio
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.acceptance.conftest import COMMAND, Callback, Served, World

from firmcast.rest.certificates import make_certificate
from firmcast_sdk.wire.devices import DeviceStatus
from firmcast_sdk.wire.notifications import NotifyType

ROOT = Path(__file__).parents[2]
TOOLS = ("ip", "nft", "conntrack")
CASE_SECONDS = 180
INSIDE = "INSIDE_NAMESPACE"
"""The environment variable that names the namespaces to the part that runs in the platform's."""

DEVICE, ROUTER_IN = "10.66.1.2", "10.66.1.1"
ROUTER_OUT, ROUTER_OUT_ANEW, PLATFORM = "10.66.2.1", "10.66.2.3", "10.66.2.2"
COAP, COAPS, HTTP, HTTPS = 5683, 5684, 8080, 8443
KEY = "000102030405060708090a0b0c0d0e0f"
VERSION = "1.1.0"
FIRMWARE = secrets.token_bytes(96 << 10)
BYTE_RATE = 12_000
"""Bytes a second to each device: a package takes eight seconds, in which there is something to disturb."""
LADDER = re.compile(r"(1 (2 )?0 )*1 2 3 0")

NAT = """
table ip firmcast {
    chain out { type nat hook postrouting priority srcnat; oifname "outside" masquerade fully-random; }
    chain closed { type filter hook input priority filter; iifname "outside" ct state new %s; }
}
"""
"""New mappings get new ports; what comes to a mapping that is gone is dropped, or answered with an ICMP error."""


LOSS = """
table ip lossy {
    chain passing { type filter hook forward priority filter; numgen random mod 100 < %d counter drop; }
}
"""


SILENCE = """
table ip silent {
    chain out {
        type filter hook output priority filter; oifname "outside" icmp type destination-unreachable drop;
    }
}
"""


@dataclass(frozen=True)
class Kind:
    """A fleet of one kind: its profile, and whether it has keys."""

    name: str
    profile: str
    is_secure: bool


KINDS = [
    Kind("clear-coap-", "pull", False),
    Kind("clear-http-", "http", False),
    Kind("clear-written-", "push", False),
    Kind("secure-coap-", "pull", True),
    Kind("secure-https-", "https", True),
    Kind("secure-written-", "push", True),
]
BY_COAP = [kind for kind in KINDS if "http" not in kind.name]


def run(*command: object) -> None:
    """Run a command; raises CalledProcessError, after what it said, if it fails."""
    subprocess.run(list(map(str, command)), check=True)


@dataclass(frozen=True)
class Net:
    """The three namespaces."""

    prefix: str

    @property
    def devices(self) -> str:
        return f"{self.prefix}-devices"

    @property
    def router(self) -> str:
        return f"{self.prefix}-router"

    @property
    def platform(self) -> str:
        return f"{self.prefix}-platform"

    def within(self, namespace: str, *command: object) -> list[str]:
        """Return how a command is run in a namespace."""
        return ["ip", "netns", "exec", namespace, *map(str, command)]

    def do(self, namespace: str, *command: object) -> None:
        run(*self.within(namespace, *command))

    def make(self) -> None:
        """Make them, with a line from each to the router and none to anywhere else."""
        for namespace in (self.devices, self.router, self.platform):
            run("ip", "netns", "add", namespace)
            self.do(namespace, "ip", "link", "set", "lo", "up")
        self._line(self.devices, "line", DEVICE, "inside", ROUTER_IN)
        self._line(self.platform, "line", PLATFORM, "outside", ROUTER_OUT)
        self.do(self.devices, "ip", "route", "add", "default", "via", ROUTER_IN)
        self.do(self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.hide("drop")

    def _line(self, namespace: str, name: str, address: str, router_name: str, router_address: str) -> None:
        run("ip", "link", "add", name, "netns", namespace, "type", "veth", "peer", router_name, "netns", self.router)
        for where, what, which in ((namespace, name, address), (self.router, router_name, router_address)):
            self.do(where, "ip", "address", "add", f"{which}/24", "dev", what)
            self.do(where, "ip", "link", "set", what, "up")

    def hide(self, verdict: str) -> None:
        """Have the router hide the devices; what comes to a mapping that is gone has this verdict."""
        self._rule("flush ruleset\n" + NAT % verdict)

    def _rule(self, rules: str) -> None:
        subprocess.run(self.within(self.router, "nft", "-f", "-"), input=rules.encode(), check=True)

    def forget(self) -> None:
        """Have the router forget all mappings."""
        said = subprocess.run(self.within(self.router, "conntrack", "-F"), capture_output=True, check=True)
        assert b"emptied" in said.stderr

    def move(self) -> None:
        """Give the router another address outside, as a carrier does."""
        self.do(self.router, "ip", "address", "del", f"{ROUTER_OUT}/24", "dev", "outside")
        self.do(self.router, "ip", "address", "add", f"{ROUTER_OUT_ANEW}/24", "dev", "outside")
        self.forget()

    def lose(self, percent: int) -> None:
        """Lose some of what passes, both ways."""
        self._rule(LOSS % percent)

    def narrow(self, mtu: int, *, is_told: bool = True) -> None:
        """Let no larger packets through between router and devices; their own lines are as wide as ever.

        Whoever sends one that must not be cut in pieces is told so, or not.
        """
        if not is_told:
            self._rule(SILENCE)
        self.do(self.router, "ip", "link", "set", "inside", "mtu", mtu)

    def seen(self) -> str:
        """Return what the lines have seen: whether the network was as bad as it was to be."""
        fragments = 0
        for namespace in (self.router, self.platform):
            told = subprocess.run(self.within(namespace, "cat", "/proc/net/snmp"), capture_output=True, check=True)
            names, values = (line.split() for line in told.stdout.decode().splitlines() if line.startswith("Ip: "))
            fragments += int(values[names.index("FragCreates")])
        rules = subprocess.run(self.within(self.router, "nft", "list", "ruleset"), capture_output=True, check=True)
        lost = re.search(r"packets (\d+) bytes \d+ drop", rules.stdout.decode())
        return f"fragments made: {fragments}, packets lost: {lost[1] if lost else 0}"

    def delete(self) -> None:
        """Delete them, and end what still runs in them."""
        for namespace in (self.devices, self.router, self.platform):
            found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, check=False, text=True)
            for process in found.stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", namespace], check=False, stderr=subprocess.DEVNULL)


# --- the cases ------------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """What a case may disturb, and when."""

    net: Net
    world: World

    async def downloading(self) -> None:
        """Wait until each device was told to be downloading."""
        device_ids = self.world.device_ids.values()
        await self.world.callback.until(lambda: all("1" in self.world.callback.steps(each) for each in device_ids))


Disturb = Callable[[Scene], Awaitable[None]]


async def nothing(_scene: Scene) -> None:
    """Leave everything as it is."""


async def forget_twice(scene: Scene) -> None:
    await scene.downloading()
    for _ in range(2):
        await asyncio.sleep(1.5)
        scene.net.forget()


async def move(scene: Scene) -> None:
    await scene.downloading()
    await asyncio.sleep(1.5)
    scene.net.move()


@dataclass(frozen=True)
class Case:
    """One way in which the network is not what one would like."""

    prepare: Callable[[Net], None] = lambda _net: None
    before_task: Callable[[Net], None] = lambda _net: None
    disturb: Disturb = nothing
    kinds: Sequence[Kind] = tuple(KINDS)
    options: tuple[str, ...] = ()
    """What is more of `firmcast simulate`."""


DISORDER = ("--delay", "0.02", "--jitter", "0.06", "--duplicate", "0.05")
"""What is late, overtaken and doubled is so at the devices' sockets: not every kernel can do that to a line."""

CASES = {
    "quiet": Case(),
    "forgotten-while-downloading": Case(disturb=forget_twice),
    "forgotten-while-downloading-and-said-so": Case(prepare=lambda net: net.hide("reject"), disturb=forget_twice),
    "forgotten-while-idle": Case(before_task=Net.forget),
    "moved-while-downloading": Case(disturb=move),
    "moved-while-idle": Case(before_task=Net.move),
    "bad-line": Case(prepare=lambda net: net.lose(5), options=DISORDER),
    "bad-line-and-forgotten": Case(prepare=lambda net: net.lose(5), disturb=forget_twice, options=DISORDER),
    "mtu-1280": Case(prepare=lambda net: net.narrow(1280)),
    "mtu-576": Case(prepare=lambda net: net.narrow(576)),
    "mtu-576-untold": Case(prepare=lambda net: net.narrow(576, is_told=False), kinds=BY_COAP),
    "mtu-576-and-forgotten": Case(prepare=lambda net: net.narrow(576), disturb=forget_twice),
}


# --- in the namespace of the platform -------------------------------------------------------------------------------


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Served, Callback]]:
    """A platform that devices reach at its line, with a callback that stands beside it."""
    callback = Callback()
    await callback.start(folder / "callback")
    files = make_certificate(folder / "packages", [PLATFORM], datetime.now(UTC))
    environment = {
        "FIRMCAST_GATEWAY__PACKAGE_CERTIFICATE_FILE": str(files.certificate),
        "FIRMCAST_GATEWAY__PACKAGE_KEY_FILE": str(files.key),
        "FIRMCAST_GATEWAY__HOST": PLATFORM,
        "FIRMCAST_GATEWAY__NOSEC": "always",
        "FIRMCAST_GATEWAY__SECURE_PORT": str(COAPS),
        "FIRMCAST_GATEWAY__PACKAGE_PORT": str(HTTP),
        "FIRMCAST_GATEWAY__PACKAGE_SECURE_PORT": str(HTTPS),
        "FIRMCAST_GATEWAY__DEVICE_BYTE_RATE": str(BYTE_RATE),
        "FIRMCAST_GATEWAY__ACKNOWLEDGEMENT_TIMEOUT": "1",
    }
    platform = Served(folder / "platform", coap_port=COAP, environment=environment)
    await platform.start()
    try:
        yield platform, callback
    finally:
        await platform.stop()
        await callback.server.stop()


@asynccontextmanager
async def known(platform: Served, callback: Callback, kinds: Sequence[Kind]) -> AsyncIterator[World]:
    """An application that is told everything, whose devices the platform knows."""
    body = {"name": "behind a NAT", "callback_ca": callback.files.authority.read_text()}
    credentials = await platform.manage("POST", "/v1/applications", json=body)
    callback.verify_with(credentials["signing_secret"])
    async with platform.client(credentials) as client:
        await client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, callback.url)
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, callback.url)
        world = World(platform, callback, credentials, client)
        await world.prepare([], FIRMWARE, VERSION)
        for kind in kinds:
            name = f"{kind.name}1"
            key = KEY if kind.is_secure else None
            made = await client.register_device(name, verify_code=name, timeout_seconds=0, psk=key)
            world.device_ids[name] = made.device_id
        yield world


@asynccontextmanager
async def devices(net: Net, folder: Path, case: Case) -> AsyncIterator[None]:
    """Devices of each kind, by the command, behind the router."""
    started = []
    for kind in case.kinds:
        server = f"{PLATFORM}:{COAPS if kind.is_secure else COAP}"
        command = [COMMAND, "simulate", "--name", kind.name, "--devices", 1, "--profile", kind.profile]
        command += [
            "--server",
            server,
            "--installs-version",
            VERSION,
            "--quirk",
            "lifetime=20",
            "--quick",
            *case.options,
        ]
        if kind.is_secure:
            command += ["--psk", KEY, "--package-authority", folder / "packages/authority.pem"]
        with (folder / f"{kind.name}devices.log").open("wb") as log:
            started.append(
                await asyncio.create_subprocess_exec(
                    *net.within(net.devices, *command), stdout=log, stderr=subprocess.STDOUT
                )
            )
    try:
        yield
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in started:
            await process.wait()


async def registered(world: World) -> None:
    """Wait until every device is registered."""
    for device_id in world.device_ids.values():
        while (await world.client.device(device_id)).device_info.status != DeviceStatus.ONLINE:
            await asyncio.sleep(0.2)


async def ended(world: World) -> None:
    """Wait until an end was told of every device."""
    await world.callback.until(lambda: set(world.callback.results()) == set(world.device_ids.values()))


async def play(case: Case, net: Net, folder: Path) -> list[str]:
    """Return a line for each device: how its upgrade went."""
    case.prepare(net)
    async with (
        served(folder) as (platform, callback),
        known(platform, callback, case.kinds) as world,
        devices(net, folder, case),
    ):
        await registered(world)
        case.before_task(net)
        scene, began = Scene(net, world), time.monotonic()
        disturbing = asyncio.create_task(case.disturb(scene))
        await world.create_task()
        with suppress(TimeoutError):
            async with asyncio.timeout(CASE_SECONDS - 60):
                await ended(world)
        lasted = time.monotonic() - began
        disturbing.cancel()
        return [line_of(world, name, device_id, lasted) for name, device_id in world.device_ids.items()]


def line_of(world: World, name: str, device_id: str, lasted: float) -> str:
    """Return what was told of a device; it begins with `well` where that is as it should be."""
    steps = " ".join(world.callback.steps(device_id))
    results = world.callback.results().get(device_id, [])
    arrived = world.callback.first_arrivals().get(device_id, [])
    is_well = results == ["SUCCESS"] and LADDER.fullmatch(steps) is not None and arrived == sorted(arrived)
    return f"{'well' if is_well else 'NOT WELL'}: {name}: {steps} {results}, all after {lasted:.0f} s"


def inside(net: Net, name: str, folder: Path) -> int:
    """Play one case, and return whether something was amiss."""
    lines = asyncio.run(play(CASES[name], net, folder))
    for line in lines:
        print(f"  {line}", flush=True)
    return int(not all(line.startswith("well") for line in lines))


# --- outside --------------------------------------------------------------------------------------------------------


def why_not() -> str:
    """Return why this cannot run here; nothing where it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid():
        return "only root may make network namespaces"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"there is no {', no '.join(missing)} here" if missing else ""


@contextmanager
def namespaces() -> Iterator[Net]:
    net = Net(f"firmcast-{os.getpid()}")
    try:
        net.make()
        yield net
    finally:
        net.delete()


def main(names: list[str]) -> int:
    """Play the cases of these names, all of them for none, each in namespaces of its own."""
    if reason := why_not():
        print(f"cannot run: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed = 0
    for name in names or CASES:
        with namespaces() as net, tempfile.TemporaryDirectory(prefix="firmcast-nat-") as folder:
            print(f"{name}:", flush=True)
            command = net.within(net.platform, sys.executable, "-m", "tests.faults.real_nat", name, folder)
            environment = {**os.environ, INSIDE: net.prefix}
            try:
                ended = subprocess.run(command, check=False, cwd=ROOT, env=environment, timeout=CASE_SECONDS)
                failed += ended.returncode != 0
                print(f"  {net.seen()}", flush=True)
            except subprocess.TimeoutExpired:
                print("  NOT WELL: it did not end", flush=True)
                failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    if INSIDE in os.environ:
        sys.exit(inside(Net(os.environ[INSIDE]), sys.argv[1], Path(sys.argv[2])))
    sys.exit(main(sys.argv[1:]))
