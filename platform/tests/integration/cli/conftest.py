"""Commands, run in this process against a platform in this process; they meet over HTTPS."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from firmcast.app import Platform
from firmcast.cli.connection import RUNNING_FILE
from firmcast.cli.main import app
from firmcast.settings import GatewaySettings, PushSettings, RestSettings, Settings


class Shell:
    """A shell beside the platform, with its variables."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables

    async def run(self, *words: object, status: int = 0) -> tuple[str, str]:
        """Run a command; return what it printed, and what it said on standard error."""
        # A command blocks, and what it waits for is on this loop.
        ended = await asyncio.to_thread(CliRunner().invoke, app, list(map(str, words)), env=self.variables)
        assert ended.exit_code == status, (words, ended.exit_code, ended.stdout, ended.stderr, ended.exception)
        return ended.stdout, ended.stderr

    async def asked(self, *words: object, status: int = 0) -> Any:
        """Run a command with --json, and return the one document that it prints."""
        said, _ = await self.run(*words, "--json", status=status)
        assert said.count("\n") == 1, said
        return json.loads(said)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep the platform's log out of what the commands print."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture
async def platform(tmp_path: Path, quiet: None) -> AsyncIterator[Platform]:
    settings = Settings(
        data=tmp_path / "platform",
        rest=RestSettings(port=0, throttle_calls=0),
        gateway=GatewaySettings(port=0),
        push=PushSettings(allowed_networks=("127.0.0.0/8",)),
    )
    started = await Platform.start(settings)
    (settings.data / RUNNING_FILE).write_text(json.dumps(started.running.as_dict()))
    yield started
    await started.stop()


@pytest.fixture
async def operator(platform: Platform) -> Shell:
    """Return the shell of who runs the platform."""
    return Shell(FIRMCAST_DATA=str(platform.settings.data))


@pytest.fixture
async def shell(operator: Shell) -> Shell:
    """Return the same with an application."""
    made = await operator.asked("app", "create", "meter readings")
    return Shell(**operator.variables, FIRMCAST_APP_ID=made["application_id"], FIRMCAST_APP_SECRET=made["secret"])
