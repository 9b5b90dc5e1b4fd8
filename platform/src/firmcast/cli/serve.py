"""`firmcast serve` runs the platform until it is told to stop: once to finish what is under way, twice to end."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop
from pydantic import ValidationError

from firmcast.app import Platform
from firmcast.cli.connection import RUNNING_FILE
from firmcast.cli.failures import fail, told_plainly
from firmcast.cli.logs import LogFormat, configure
from firmcast.settings import Settings, load_settings

_log = structlog.get_logger()
_STOPPED_AT_ONCE = 130
_STORE_BROKEN = 74  # EX_IOERR of sysexits.h


def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.", exists=True, dir_okay=False)] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the store, the packages and the keys.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HTTPS port; 0 for any free one.")] = None,
    coap_port: Annotated[int | None, typer.Option(min=0, max=65535, help="CoAP port; 0 for any free one.")] = None,
    log_format: Annotated[LogFormat, typer.Option(help="How log lines look.")] = LogFormat.AUTO,
    log_level: Annotated[str, typer.Option(help="Least level that is logged.")] = "info",
) -> None:
    """Run the platform: northbound and management API, device gateway, upgrade engine and pusher in one process.

    Every setting can also be given in the environment, such as FIRMCAST_REST__PORT=8743, or in the TOML file.
    """
    configure(log_format, log_level)
    with told_plainly():
        settings = _settings(config, data, port, coap_port)
        raise typer.Exit(uvloop.run(_serve(settings)))


def _settings(config: Path | None, data: Path | None, port: int | None, coap_port: int | None) -> Settings:
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
    return settings


async def _serve(settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set():
            os._exit(_STOPPED_AT_ONCE)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    platform = await Platform.start(settings)
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
