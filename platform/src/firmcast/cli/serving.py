"""What `firmcast serve` does while it runs."""

import asyncio
import gc
import json
import os
import signal
from pathlib import Path

import structlog
from pydantic import ValidationError

from firmcast.app import Platform
from firmcast.cli.connection import RUNNING_FILE
from firmcast.cli.failures import fail
from firmcast.settings import Role, Settings, load_settings

_log = structlog.get_logger()
_STOPPED_AT_ONCE = 130
_STORE_BROKEN = 74  # EX_IOERR of sysexits.h
_LOOK_FOR_CYCLES = (10_000, 10, 10)


def settings_of(
    config: Path | None, data: Path | None, port: int | None, coap_port: int | None, roles: str | None = None
) -> Settings:
    """Return the settings of the file and the environment, with those of the command line over them; or fail."""
    try:
        settings = load_settings(config)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise fail(f"the settings are not right: {problems}") from None
    if data is not None:
        settings = settings.model_copy(update={"data": data})
    if port is not None:
        settings = settings.model_copy(update={"rest": settings.rest.model_copy(update={"port": port})})
    if coap_port is not None:
        settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": coap_port})})
    if roles is not None:
        try:
            named = frozenset(Role(word) for word in roles.replace(",", " ").split())
        except ValueError as error:
            raise fail(f"the roles are {', '.join(sorted(Role))}: {error}") from None
        settings = settings.model_copy(update={"roles": named})
    return settings


def look_less_for_cycles() -> None:
    """Have the garbage collector look less often, and never at what is there already.

    A platform holds many objects for each of its devices and makes few cycles: with the interpreter's own threshold of
    700 objects, a fifth of what an upgrade of 3,000 devices cost was spent on looking.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_LOOK_FOR_CYCLES)


async def serve_until_stopped(settings: Settings) -> int:
    """Run the platform and return the status to end with.

    Raises:
        FirmcastError: it cannot start.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set():
            os._exit(_STOPPED_AT_ONCE)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    platform = await Platform.start(settings)
    look_less_for_cycles()
    running = settings.data / RUNNING_FILE
    running.write_text(json.dumps(platform.running.as_dict()) + "\n")
    _log.info("platform.started", **platform.running.as_dict())
    stopped = asyncio.create_task(asked.wait())
    broken = asyncio.create_task(platform.broken.wait())
    try:
        await asyncio.wait({stopped, broken}, return_when=asyncio.FIRST_COMPLETED)
        if platform.broken.is_set():
            _log.critical("store.broken", advice="see the disk; what was acknowledged is safe")
            os._exit(_STORE_BROKEN)
    finally:
        stopped.cancel()
        broken.cancel()
    running.unlink(missing_ok=True)
    await platform.stop()
    _log.info("platform.stopped")
    return 0
