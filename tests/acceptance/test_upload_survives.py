"""`firmcast firmware upload` through the sudden end of its platform."""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("firmcast"))


class Shell:
    """A shell beside the platform, with its variables."""

    def __init__(self, **variables):
        self.variables = variables

    async def run(self, *words, status=0):
        """Run a command; return what it printed, and what it said on standard error."""
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *map(str, words),
            env={**os.environ, **self.variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, told = await process.communicate()
        assert process.returncode == status, (words, process.returncode, said, told)
        assert b"Traceback" not in told
        return said.decode(), told.decode()

    async def asked(self, *words, status=0):
        """Run a command with --json, and return the one document that it prints."""
        said, _ = await self.run(*words, "--json", status=status)
        assert said.count("\n") == 1, said
        return json.loads(said)


@pytest.fixture
async def operator(served):
    """Return the shell of who runs the platform."""
    return Shell(FIRMCAST_DATA=str(served.data))


@pytest.fixture
async def shell(operator):
    """Return the same with an application."""
    made = await operator.asked("app", "create", "meter readings")
    return Shell(**operator.variables, FIRMCAST_APP_ID=made["application_id"], FIRMCAST_APP_SECRET=made["secret"])


async def test_an_upload_goes_on_after_the_platform_was_killed(served, shell, tmp_path):
    image = tmp_path / "image.bin"
    content = os.urandom(1 << 20) * 60
    image.write_bytes(content)
    uploading = asyncio.create_task(shell.run("firmware", "upload", image, "--version", "2.0.0", "--json"))
    partial = served.data / "firmware" / "partial"
    async with asyncio.timeout(60):
        while not any(file.stat().st_size > 5 << 20 for file in partial.iterdir()):
            assert not uploading.done(), uploading
            await asyncio.sleep(0)
    await served.kill()
    (left,) = partial.iterdir()
    assert left.stat().st_size < len(content)
    await served.start()
    said, told = await uploading
    package = json.loads(said)
    assert "going on when the platform is back" in told
    assert (package["size"], package["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert list(partial.iterdir()) == []
    (kept,) = (served.data / "firmware").glob("??/*")
    assert kept.read_bytes() == content
    assert [entry["action"] for entry in await shell.asked("audit", "--action", "firmware.")] == [
        "firmware.upload",
        "firmware.begin_upload",
    ]


async def test_an_upload_gives_up_when_the_platform_stays_away(served, shell, tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(os.urandom(1 << 20) * 60)
    uploading = asyncio.create_task(
        shell.run("firmware", "upload", image, "--version", "2.0.0", "--patience", "1", status=1)
    )
    partial = served.data / "firmware" / "partial"
    async with asyncio.timeout(60):
        while not any(file.stat().st_size > 1 << 20 for file in partial.iterdir()):
            assert not uploading.done(), uploading
            await asyncio.sleep(0)
    await served.kill()
    _, told = await uploading
    assert "cannot be reached" in told
