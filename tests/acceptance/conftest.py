"""Acceptance tests run the installed commands as subprocesses, and meet them over their sockets only."""

import asyncio
import json
import os
import random
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from firmcast.rest.certificates import CertificateFiles, make_certificate
from firmcast.rest.server import HttpsServer
from firmcast_sdk import AsyncNorthboundClient, Receiver, TransportOptions

COMMAND = Path(sys.executable).with_name("firmcast")
START_SECONDS = 30
_chance = random.SystemRandom()


def free_port(kind: socket.SocketKind) -> int:
    """Return a port below those that systems give to whoever asks for any: nobody has it when its process is back."""
    while True:
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", _chance.randrange(10_000, 32_000)))
            return int(probe.getsockname()[1])


@dataclass
class Served:
    """`firmcast serve` as a process that can be killed and started again on the same ports and store."""

    data: Path
    port: int = field(default_factory=lambda: free_port(socket.SOCK_STREAM))
    coap_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    environment: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    log: Path = field(init=False)
    _has_run: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.log = self.data.with_suffix(".log")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.data / "tls/authority.pem"))

    @property
    def admin_token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    async def start(self) -> None:
        """Start the process, and return when it says that it runs.

        Where it has not run before, and another process has taken a port since it was found free, others are taken.
        """
        while (said := await self._started()) is not None:
            if self._has_run or b"cannot listen" not in said:
                pytest.fail(f"firmcast serve ended: {said.decode()}")
            self.port, self.coap_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        self._has_run = True

    async def _started(self) -> bytes | None:
        """Return what the process said if it ended instead of running."""
        environment = {
            **os.environ,
            "FIRMCAST_PUSH__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
            "FIRMCAST_GATEWAY__ACKNOWLEDGEMENT_TIMEOUT": "0.5",
            "FIRMCAST_GATEWAY__SECURE_PORT": "0",
            "FIRMCAST_PUSH__PROBE_INTERVAL": "2",
            "FIRMCAST_REST__THROTTLE_CALLS": "0",
            **self.environment,
        }
        self.process = await asyncio.create_subprocess_exec(
            COMMAND,
            "serve",
            "--data",
            self.data,
            "--port",
            str(self.port),
            "--coap-port",
            str(self.coap_port),
            "--log-format",
            "json",
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self.process.stderr is not None
        said = b""
        async with asyncio.timeout(START_SECONDS):
            async for line in self.process.stderr:
                said += line
                if b"platform.started" in line:
                    break
            else:
                await self.process.wait()
                return said
        self._drain = asyncio.create_task(self._keep_log(self.process.stderr))
        return None

    async def _keep_log(self, lines: asyncio.StreamReader) -> None:
        with self.log.open("ab") as file:
            async for line in lines:
                file.write(line)

    async def kill(self) -> None:
        """End the process as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        await self._drain

    async def stop(self) -> int:
        """Ask the process to end, and return its status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        status = await self.process.wait()
        await self._drain
        return status

    async def manage(self, method: str, path: str, **given: Any) -> Any:
        """Call the management API."""
        headers = {"authorization": f"Bearer {self.admin_token}", **given.pop("headers", {})}
        async with httpx2.AsyncClient(base_url=self.url, verify=self.tls, trust_env=False, timeout=30) as client:
            answer = await client.request(method, path, headers=headers, **given)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def client(self, credentials: Mapping[str, str]) -> AsyncNorthboundClient:
        return AsyncNorthboundClient(
            self.url,
            app_id=credentials["application_id"],
            secret=credentials["secret"],
            options=TransportOptions(verify=self.tls),
        )


@dataclass
class Push:
    """One push as it came."""

    body: dict[str, Any]
    raw: bytes
    headers: dict[str, str]
    path: str

    @property
    def device_id(self) -> str:
        return self.body["deviceId"]

    @property
    def sequence(self) -> int:
        return int(self.headers["firmcast-sequence"])


class Callback:
    """An application's callback over HTTPS: an SDK receiver, and a record of everything that came, repeats included."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.accepted: list[Push] = []
        self.changed = asyncio.Event()
        self.receiver: Receiver | None = None
        self.refuse: Callable[[Push], bool] = lambda _push: False
        self.files: CertificateFiles
        self.server: HttpsServer

    async def start(self, folder: Path, port: int = 0) -> None:
        self.files = make_certificate(folder, ["127.0.0.1", "localhost"], datetime.now(UTC))
        await self.listen(port)

    async def listen(self, port: int) -> None:
        self.server = await HttpsServer.start(
            self, host="127.0.0.1", port=port, certificate=self.files.certificate, key=self.files.key
        )

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1.0.0/messageReceiver"

    def verify_with(self, signing_secret: str) -> None:
        """Check signatures, as an application that knows its secret does."""
        receiver = Receiver(secrets=[signing_secret], deduplicate=False)

        def accept(_event: object) -> None:
            """The record is kept outside."""

        receiver.on_firmware_state(accept)
        receiver.on_firmware_result(accept)
        self.receiver = receiver

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw = b""
        more = True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        push = Push(body=json.loads(raw), raw=raw, headers=headers, path=scope["path"])
        self.pushes.append(push)
        if self.refuse(push):
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._accept(scope, raw, send, push)
        self.changed.set()

    async def _accept(self, scope: Any, raw: bytes, send: Any, push: Push) -> None:
        assert self.receiver is not None
        status = 0

        async def receive_again() -> Any:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def note(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self.receiver.asgi(scope, receive_again, note)
        assert status == 200, (status, push)
        self.accepted.append(push)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the record fulfils a condition."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def first_arrivals(self) -> dict[str, list[int]]:
        """Return the sequence numbers of each device in the order in which they were first accepted."""
        found: dict[str, list[int]] = {}
        for push in self.accepted:
            seen = found.setdefault(push.device_id, [])
            if push.sequence not in seen:
                seen.append(push.sequence)
        return found

    def results(self) -> dict[str, list[str]]:
        """Return the distinct results of each device."""
        found: dict[str, dict[str, str]] = {}
        for push in self.accepted:
            if push.body["notifyType"] == "fwUpgradeResultNotify":
                found.setdefault(push.device_id, {})[push.headers["webhook-id"]] = push.body["status"]
        return {device_id: list(statuses.values()) for device_id, statuses in found.items()}

    def steps(self, device_id: str) -> list[str]:
        """Return the steps of a device in the order in which they were first accepted."""
        seen: dict[int, str] = {}
        for push in self.accepted:
            if push.device_id == device_id and "step" in push.body:
                seen.setdefault(push.sequence, push.body["step"])
        return list(seen.values())


@pytest.fixture
async def callback(tmp_path: Path) -> AsyncIterator[Callback]:
    made = Callback()
    await made.start(tmp_path / "callback")
    yield made
    await made.server.stop()


@pytest.fixture
async def served(tmp_path: Path, callback: Callback) -> AsyncIterator[Served]:
    platform = Served(tmp_path / "platform")
    await platform.start()
    yield platform
    if platform.process is not None and platform.process.returncode is None:
        await platform.kill()


@dataclass
class World:
    """A served platform, an application with its callback and subscriptions, and devices that it knows."""

    served: Served
    callback: Callback
    credentials: dict[str, str]
    client: AsyncNorthboundClient
    package_id: str = ""
    device_ids: dict[str, str] = field(default_factory=dict)

    async def prepare(self, names: list[str], firmware: bytes, version: str = "1.1.0") -> None:
        for name in names:
            made = await self.client.register_device(name, verify_code=name, timeout_seconds=0)
            self.device_ids[name] = made.device_id
        query = {"application_id": self.credentials["application_id"], "name": "image.bin", "version": version}
        made = await self.served.manage("POST", "/v1/firmware", params=query, content=firmware)
        self.package_id = made["package_id"]

    async def create_task(self) -> str:
        return await self.client.create_firmware_upgrade(self.package_id, devices=list(self.device_ids.values()))


@pytest.fixture
async def world(served: Served, callback: Callback) -> AsyncIterator[World]:
    from firmcast_sdk.wire.notifications import NotifyType

    body = {"name": "acceptance", "callback_ca": callback.files.authority.read_text()}
    credentials = await served.manage("POST", "/v1/applications", json=body)
    callback.verify_with(credentials["signing_secret"])
    async with served.client(credentials) as client:
        await client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, callback.url)
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, callback.url)
        yield World(served, callback, credentials, client)
