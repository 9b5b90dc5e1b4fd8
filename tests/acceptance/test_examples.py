"""Each example, started as its first lines say, is told a whole upgrade by a real platform."""

import asyncio
import os
import secrets
import socket
import sys
from pathlib import Path

import httpx2
import pytest

from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK
from firmcast_sdk.wire.notifications import NotifyType

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
STEPS = ["downloading", "downloaded", "updating", "idle", "succeeded"]


def command_of(name: str, port: int) -> list[str]:
    """Return the command in the example's docstring, for this port and this interpreter's tools."""
    line = (EXAMPLES / f"{name}.py").read_text().split("\n\n")[1].strip().splitlines()[0]
    words = line.replace("9443", str(port)).split()
    return [str(Path(sys.executable).with_name(words[0])), *words[1:]]


async def answering(port: int) -> None:
    """Wait until the port takes connections; the example says nothing that would tell."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def test_there_is_one_for_each_framework():
    assert FILES == ["django_asgi", "django_wsgi", "fastapi_app", "flask_app", "starlette_app"]


@pytest.mark.parametrize("name", FILES)
async def test_an_example_is_told_an_upgrade(name, served, tmp_path):
    credentials = await served.manage("POST", "/v1/applications", json={"name": name})
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = (tmp_path / "example.log").open("wb")
    example = await asyncio.create_subprocess_exec(
        *command_of(name, port),
        cwd=EXAMPLES,
        env={
            **os.environ,
            "FIRMCAST_SIGNING_SECRET": credentials["signing_secret"],
            "PUSHES": str(tmp_path / "pushes.sqlite"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        stdout=log,
        stderr=log,
    )
    try:
        async with asyncio.timeout(60):
            await answering(port)
            assert await told_of_an_upgrade(served, credentials, f"http://127.0.0.1:{port}") == STEPS
    finally:
        example.kill()
        await example.wait()
        log.close()


async def told_of_an_upgrade(served, credentials, url):
    """Upgrade one virtual device, and return what the example shows of it."""
    async with served.client(credentials) as client:
        for notify_type in (NotifyType.FW_UPGRADE_STATE_CHANGE, NotifyType.FW_UPGRADE_RESULT):
            await client.subscribe(notify_type, f"{url}/hooks/v1.0.0/messageReceiver")
        device_id = (await client.register_device("one", verify_code="one", timeout_seconds=0)).device_id
        query = {"application_id": credentials["application_id"], "name": "image.bin", "version": "2.0.0"}
        firmware = secrets.token_bytes(5_000)
        package = await served.manage("POST", "/v1/firmware", params=query, content=firmware)
        device = DeviceSpec(endpoint_name="one", profile=PROFILES["pull"])
        async with Fleet(server=("127.0.0.1", served.coap_port), devices=[device], timing=QUICK) as fleet:
            await fleet.registered()
            await client.create_firmware_upgrade(package["package_id"], devices=[device_id])
            # The platform asks the device for its version at the end, so the device stays until that is told.
            return await told(f"{url}/devices/{device_id}")


async def told(url):
    """Return what the example was told, once that is everything."""
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:
        while True:
            answer = await client.get(url)
            if answer.status_code == 200 and len(answer.json()) >= len(STEPS):
                return answer.json()
            await asyncio.sleep(0.05)  # the application is asked, as its users would
