"""The demo does what an application's team would do, through the doors that they have, on a platform of its own.

The platform, the application and the devices share one process, but meet over HTTPS and UDP on loopback only.
"""

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from firmcast.app import Platform
from firmcast.cli.demo_display import DemoDisplay
from firmcast.cli.demo_story import DemoStory, DeviceStory
from firmcast.cli.failures import CommandError
from firmcast.cli.receiving import accepting_receiver
from firmcast.cli.recorder import Recorder
from firmcast.clock import SystemClock
from firmcast.events import use_cases as events
from firmcast.ids import DeviceId
from firmcast.rest.certificates import make_certificate
from firmcast.rest.server import HttpsServer
from firmcast.settings import GatewaySettings, PushSettings, RestSettings, Settings
from firmcast.simulator.device import DeviceSpec, VirtualDevice
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK
from firmcast_sdk import AsyncNorthboundClient, TransportOptions
from firmcast_sdk.wire.notifications import NotifyType
from firmcast_sdk.wire.operations import TARGET_LIMIT

_CALLBACK_PATH = "/v1.0.0/messageReceiver"
_OLD_VERSION = "1.0.0"
_NEW_VERSION = "1.1.0"
_REGISTERING_AT_ONCE = 16
_EVENTS_OF_A_DEVICE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What is asked of the demo."""

    folder: Path
    devices: int
    firmware: bytes
    with_failure: bool
    timeout_seconds: float


class Demo:
    """One run: `prepare`, `upgrade`, then `close`."""

    def __init__(self, plan: DemoPlan, story: DemoStory, display: DemoDisplay) -> None:
        self._plan = plan
        self._story = story
        self._display = display
        self._parts = AsyncExitStack()
        self._callback_parts = AsyncExitStack()
        self._received = asyncio.Event()
        self._clock = SystemClock()
        self._began = 0.0
        self._names: dict[str, DeviceStory] = {}
        self._package_id = ""
        self._signing_secret = ""
        self.platform: Platform
        self.application_id = ""
        self.secret = ""
        self._client: AsyncNorthboundClient

    async def prepare(self) -> None:
        """Start everything and bring it to where a task can be created.

        Raises:
            CommandError: the platform refuses what it should not.
        """
        settings = Settings(
            data=self._plan.folder / "platform",
            rest=RestSettings(port=0, throttle_calls=0),
            gateway=GatewaySettings(port=0, acknowledgement_timeout=0.5),
            push=PushSettings(allowed_networks=("127.0.0.0/8",)),
        )
        self.platform = await Platform.start(settings)
        self._parts.push_async_callback(self.platform.stop)
        running = self.platform.running
        self._display.said(f"platform on {running.url} and {running.coap}, store in {settings.data}")
        await self._create_application()
        callback = await self._start_application()
        await self._subscribe(callback)
        await self._register_devices()
        await self._upload()
        await self._start_devices()

    async def upgrade(self) -> dict[str, int]:
        """Create the task, wait for what the application receives of it, and return the summary.

        Raises:
            CommandError: not every device ended in time.
        """
        self._began = self._clock.monotonic()
        device_ids = tuple(self._story.devices)
        for start in range(0, len(device_ids), TARGET_LIMIT):
            devices = device_ids[start : start + TARGET_LIMIT]
            await self._client.create_firmware_upgrade(self._package_id, devices=devices)
        self._display.changed()
        try:
            async with asyncio.timeout(self._plan.timeout_seconds):
                while not self._story.ended:
                    self._received.clear()
                    await self._received.wait()
        except TimeoutError:
            pass
        summary = self._story.summary(self._story.lost(await self._written()))
        self._display.closed(summary)
        return summary

    async def close(self) -> None:
        """End the devices and the platform, and the callback last, so that the platform never calls in vain."""
        await self._parts.aclose()
        await self._callback_parts.aclose()

    async def _create_application(self) -> None:
        files = make_certificate(self._plan.folder / "application", ["127.0.0.1", "localhost"], self._clock.now())
        running = self.platform.running
        tls = ssl.create_default_context(cafile=str(running.authority))
        self._management = await self._parts.enter_async_context(
            httpx2.AsyncClient(
                base_url=running.url,
                verify=tls,
                trust_env=False,
                headers={"authorization": f"Bearer {self.platform.admin_token}"},
                timeout=60,
            )
        )
        body = {"name": "demo", "callback_ca": files.authority.read_text()}
        made = await self._managed("POST", "/v1/applications", json=body)
        self.application_id, self.secret = made["application_id"], made["secret"]
        self._signing_secret = made["signing_secret"]
        self._client = await self._parts.enter_async_context(
            AsyncNorthboundClient(
                running.url, app_id=self.application_id, secret=self.secret, options=TransportOptions(verify=tls)
            )
        )
        self._callback_files = files

    async def _start_application(self) -> str:
        receiver = accepting_receiver([self._signing_secret])
        server = await HttpsServer.start(
            Recorder(receiver.asgi, self._record),
            host="127.0.0.1",
            port=0,
            certificate=self._callback_files.certificate,
            key=self._callback_files.key,
        )
        self._callback_parts.push_async_callback(server.stop)
        return f"{server.url}{_CALLBACK_PATH}"

    async def _subscribe(self, callback: str) -> None:
        await self._client.login()
        await self._client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, callback)
        await self._client.subscribe(NotifyType.FW_UPGRADE_RESULT, callback)
        self._display.said(f"application subscribed to states and results at {callback}")

    async def _register_devices(self) -> None:
        turns = asyncio.Semaphore(_REGISTERING_AT_ONCE)

        async def register(number: int) -> DeviceStory:
            name = f"demo-{number:0{len(str(self._plan.devices))}}"
            async with turns:
                made = await self._client.register_device(name, verify_code=name, timeout_seconds=0)
            fails = self._plan.with_failure and number == self._plan.devices
            return DeviceStory(
                device_id=made.device_id,
                endpoint_name=name,
                method="by URI" if number % 2 else "by write",
                expected="FAIL" if fails else "SUCCESS",
                bytes_total=len(self._plan.firmware),
            )

        for device in await asyncio.gather(*(register(number) for number in range(1, self._plan.devices + 1))):
            self._story.devices[device.device_id] = device
            self._names[device.endpoint_name] = device

    async def _upload(self) -> None:
        query = {"application_id": self.application_id, "name": "demo.bin", "version": _NEW_VERSION}
        made = await self._managed("POST", "/v1/firmware", params=query, content=self._plan.firmware)
        self._package_id = made["package_id"]
        self._display.said(
            f"package {made['name']} {made['version']}: {made['size']:,} bytes, sha256 {made['sha256'][:16]}…"
        )

    async def _start_devices(self) -> None:
        digest = hashlib.sha256(self._plan.firmware).hexdigest()
        gateway = self.platform.gateway
        assert gateway is not None, "the demo has all roles"
        assert gateway.address is not None, "the demo listens on this machine only"
        fleet = Fleet(
            server=gateway.address,
            devices=[
                DeviceSpec(endpoint_name=device.endpoint_name, profile=_profile(device, digest))
                for device in self._story.devices.values()
            ],
            timing=QUICK,
            on_progress=self._progressed,
        )
        await self._parts.enter_async_context(fleet)
        async with asyncio.timeout(self._plan.timeout_seconds):
            await fleet.registered()
        self._display.said(f"{len(self._story.devices)} virtual devices registered")

    async def _written(self) -> Mapping[str, set[int]]:
        """Return the numbers in the log, for each device, of what is told of its upgrades."""
        written: dict[str, set[int]] = {}
        for device_id in self._story.devices:
            history = await self.platform.database.read(
                events.of_device, DeviceId(device_id), limit=_EVENTS_OF_A_DEVICE
            )
            written[device_id] = {event.sequence for event in history if event.task_id is not None}
        return written

    async def _managed(self, method: str, path: str, **given: Any) -> Any:
        answer = await self._management.request(method, path, **given)
        if answer.is_error:
            message = f"{path}: {answer.status_code} {answer.text}"
            raise CommandError(message)
        return answer.json()

    def _record(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self._story.receive(body, headers, self._clock.monotonic() - self._began)
        self._display.pushed(body, headers)
        self._received.set()

    def _progressed(self, device: VirtualDevice) -> None:
        self._names[device.spec.endpoint_name].bytes_received = device.status.received


def _profile(device: DeviceStory, digest: str) -> DeviceProfile:
    return replace(
        PROFILES["pull" if device.method == "by URI" else "push"],
        version=_OLD_VERSION,
        installs_version=_NEW_VERSION,
        expected_digest=digest,
        integrity_fails=device.expected == "FAIL",
    )


def generated_firmware(size: int) -> bytes:
    """Return `size` random bytes, which nothing can compress."""
    return secrets.token_bytes(size)
