"""`firmcast listen --forward-to` beside a platform that pushes too: a receiver without an address is told the same."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook

from firmcast.rest.server import HttpsServer
from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK

COMMAND = str(Path(sys.executable).with_name("firmcast"))
TYPES = ("--type", "fwUpgradeStateChangeNotify", "--type", "fwUpgradeResultNotify")
MARKS = (
    "webhook-id",
    "firmcast-sequence",
    "firmcast-occurred-at",
    "firmcast-synthesised",
    "content-type",
    "user-agent",
)
Told = dict[str, list[tuple[bytes, dict[str, str | None]]]]


class Laptop:
    """A receiver over plain HTTP on this machine, which can be told to refuse."""

    def __init__(self) -> None:
        self.pushes: list[tuple[dict[str, Any], bytes, dict[str, str]]] = []
        self.accepted: list[tuple[dict[str, Any], bytes, dict[str, str]]] = []
        self.status = 200
        self.under_way: set[str] = set()
        self.changed = asyncio.Event()
        self.server: HttpsServer

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1.0.0/messageReceiver?from=laptop"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        push = (json.loads(raw), raw, {name.decode(): value.decode() for name, value in scope["headers"]})
        device = push[0]["deviceId"]
        assert device not in self.under_way, "two at one time of a device"
        self.under_way.add(device)
        await asyncio.sleep(0)
        self.under_way.discard(device)
        self.pushes.append(push)
        if self.status == 200:
            self.accepted.append(push)
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        self.changed.set()

    async def until(self, count: int) -> None:
        """Wait until so many different events were accepted."""
        async with asyncio.timeout(60):
            while len({headers["webhook-id"] for _, _, headers in self.accepted}) < count:
                self.changed.clear()
                await self.changed.wait()

    def told(self) -> Told:
        """Return what was told of each device, in order, repeats left out."""
        return told((body["deviceId"], raw, headers) for body, raw, headers in self.accepted)


def told(pushes: Any) -> Told:
    found: Told = {}
    for device_id, raw, headers in pushes:
        entry = (raw, {name: headers.get(name) for name in MARKS})
        if entry not in found.setdefault(device_id, []):
            found[device_id].append(entry)
    return found


@pytest.fixture
async def laptop() -> AsyncIterator[Laptop]:
    made = Laptop()
    made.server = await HttpsServer.start(made, host="127.0.0.1", port=0)
    yield made
    await made.server.stop()


class Listening:
    """`firmcast listen` as a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def said(self, text: bytes) -> None:
        """Wait until it says something on standard error."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            async for line in self.process.stderr:
                if text in line:
                    return
        pytest.fail(f"it never said {text!r}")

    async def end(self, how: signal.Signals) -> tuple[int, bytes, bytes]:
        """End it, and return its status and what it wrote."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        async with asyncio.timeout(60):
            said, errors = await self.process.communicate()
        assert b"Traceback" not in errors
        return self.process.returncode or 0, said, errors


async def listen(world: Any, laptop: Laptop, *words: object, **environment: str) -> Listening:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *map(str, ("listen", "--forward-to", laptop.url, *words)),
        env={**os.environ, **shell(world), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return Listening(process)


def shell(world: Any) -> Mapping[str, str]:
    return {
        "FIRMCAST_DATA": str(world.served.data),
        "FIRMCAST_APP_ID": world.credentials["application_id"],
        "FIRMCAST_APP_SECRET": world.credentials["secret"],
    }


@contextlib.asynccontextmanager
async def devices(world: Any, *names: str) -> AsyncIterator[None]:
    await world.prepare([*names], os.urandom(5_000), version="2.0.0")
    specs = [DeviceSpec(endpoint_name=name, profile=PROFILES["pull"]) for name in names]
    async with Fleet(server=("127.0.0.1", world.served.coap_port), devices=specs, timing=QUICK) as fleet:
        await fleet.registered()
        yield


async def test_a_laptop_is_told_what_a_callback_is_told(world: Any, laptop: Laptop) -> None:
    listening = await listen(
        world, laptop, *TYPES, "--count", 15, "--json", FIRMCAST_SIGNING_SECRET=world.credentials["signing_secret"]
    )
    await listening.said(b"forwarding to")
    async with devices(world, "one", "two", "three"):
        await world.create_task()
        await laptop.until(15)
        async with asyncio.timeout(60):
            await world.callback.until(
                lambda: len({push.headers["webhook-id"] for push in world.callback.accepted}) == 15
            )
    said, _ = await listening.process.communicate()
    assert listening.process.returncode == 0
    pushed = told((push.device_id, push.raw, push.headers) for push in world.callback.accepted)
    assert laptop.told() == pushed
    assert all(len(of_device) == 5 for of_device in pushed.values())
    secret = Webhook(world.credentials["signing_secret"])
    for _, raw, headers in laptop.accepted:
        secret.verify(raw, headers)
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["headers"]["webhook-id"] for line in lines] == [push[2]["webhook-id"] for push in laptop.accepted]


async def test_it_goes_on_where_it_was_killed_and_tries_until_it_is_accepted(
    world: Any, laptop: Laptop, tmp_path: Path
) -> None:
    state = tmp_path / "cursor"
    laptop.status = 503
    first = await listen(world, laptop, "--state", state)
    await first.said(b"from now on")
    assert state.exists()
    async with devices(world, "one", "two"):
        await first.said(b"HTTP 503")
        laptop.status = 200
        await laptop.until(2)
        await first.end(signal.SIGKILL)
        await world.create_task()
        async with asyncio.timeout(60):
            await world.callback.until(lambda: sum(map(len, world.callback.results().values())) == 2)
    second = await listen(world, laptop, "--state", state)
    page = await world.client.read_events(from_beginning=True, limit=1000)
    assert not page.more
    await laptop.until(len(page.events))
    status, said, _ = await second.end(signal.SIGTERM)
    assert status == 0
    assert said
    by_device: dict[str, list[str]] = {}
    for item in page.events:
        by_device.setdefault(item.device_id, []).append(item.webhook_id)
    assert {
        device: [marks["webhook-id"] for _, marks in entries] for device, entries in laptop.told().items()
    } == by_device
    third = await listen(world, laptop, "--state", state, "--json")
    await third.said(b"forwarding to")
    assert state.read_text().strip()
    status, said, _ = await third.end(signal.SIGINT)
    assert (status, said) == (0, b"")


async def test_the_platforms_restart_is_waited_out(world: Any, laptop: Laptop) -> None:
    listening = await listen(world, laptop, "--type", "deviceAdded", "--count", 2)
    await listening.said(b"forwarding to")
    await world.client.register_device("one", verify_code="one", timeout_seconds=0)
    await laptop.until(1)
    await world.served.kill()
    await listening.said(b"trying again")
    await world.served.start()
    await world.client.register_device("two", verify_code="two", timeout_seconds=0)
    await laptop.until(2)
    async with asyncio.timeout(60):
        said, errors = await listening.process.communicate()
    assert listening.process.returncode == 0, errors
    assert said.count(b"\n") == 2


async def test_the_platform_ends_with_those_who_wait(world: Any) -> None:
    async with httpx2.AsyncClient(
        base_url=world.served.url, verify=world.served.tls, trust_env=False, timeout=60
    ) as client:
        form = {"appId": world.credentials["application_id"], "secret": world.credentials["secret"]}
        token = (await client.post("/iocm/app/sec/v1.1.0/login", data=form)).json()["accessToken"]
        proof = {"app_key": world.credentials["application_id"], "authorization": f"Bearer {token}"}
        async with client.stream("GET", "/v1/events/stream", headers=proof) as stream:
            chunks = stream.aiter_bytes()
            assert b"id: " in await anext(chunks)
            waiting = asyncio.ensure_future(client.get("/v1/events", params={"wait": 60}, headers=proof))
            async with asyncio.timeout(30):
                assert await world.served.stop() == 0
                assert [chunk async for chunk in chunks if b"data" in chunk] == []
                with contextlib.suppress(httpx2.HTTPError):  # the stop may have been quicker than the call
                    assert (await waiting).json()["events"] == []


async def test_what_makes_no_sense_is_said_in_one_line(world: Any, laptop: Laptop, tmp_path: Path) -> None:
    for words, reason in (
        (("--after", "nonsense"), b"no cursor"),
        (("--after", "AQAAAAAAAAAA", "--from-beginning"), b"do not go together"),
        (("--secret", "wrong"), b"AppId or secret is not right"),
        (("--signing-secret", "whsec_short"), b"secret"),
        (("--state", tmp_path / "no" / "folder"), b"cannot be written"),
        (("--forward-to", "ftp://x"), b"--forward-to"),
    ):
        listening = await listen(world, laptop, *words)
        async with asyncio.timeout(60):
            _, errors = await listening.process.communicate()
        assert listening.process.returncode == 1, (words, errors)
        assert b"Traceback" not in errors
        assert reason in errors, (words, errors)


async def test_the_example_of_the_guide_follows_events(world: Any, tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs/how-to/receive-without-an-address.md"
    (example,) = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    environment = {
        **os.environ,
        **shell(world),
        "FIRMCAST_URL": world.served.url,
        "FIRMCAST_AUTHORITY": str(world.served.data / "tls/authority.pem"),
    }
    for name in ("one", "two"):  # the second run goes on after what the first one kept
        made = await world.client.register_device(name, verify_code=name, timeout_seconds=0)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", example, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        assert process.returncode == 0
        assert said.decode().startswith(f"{made.device_id} 1 deviceAdded ")
        assert said.count(b"\n") == 1
