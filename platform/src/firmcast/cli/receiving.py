"""What `firmcast listen` does while it runs: an SDK receiver that accepts everything, behind a real server."""

import asyncio
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from firmcast.cli.recorder import Recorder
from firmcast.clock import SystemClock
from firmcast.errors import StartError
from firmcast.rest.certificates import load_or_make_certificate
from firmcast.rest.server import HttpsServer
from firmcast_sdk import Receiver
from firmcast_sdk.events import FirmwareStateChanged, FirmwareUpgradeEnded, SoftwareStateChanged, SoftwareUpgradeEnded

_CALLBACK_PATH = "/v1.0.0/messageReceiver"


async def receive_and_print(
    host: str, port: int, tls: Path | None, signing_secret: str, count: int, *, as_json: bool
) -> None:
    """Receive pushes and print them, until there were `count` (0 for no limit) or it is interrupted.

    Raises:
        StartError: the address cannot be listened on, or the secret is none.
    """
    said = Console(stderr=True, highlight=False, soft_wrap=True)
    enough = asyncio.Event()
    received = 0

    def record(body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        nonlocal received
        received += 1
        typer.echo(json.dumps({"push": body, "headers": headers}) if as_json else _line(body, headers))
        if received == count:
            enough.set()

    try:
        receiver = accepting_receiver([signing_secret] if signing_secret else [])
    except ValueError as error:
        raise StartError(str(error)) from None
    certificate = load_or_make_certificate(tls, [host, "localhost"], SystemClock().now()) if tls else None
    server = await HttpsServer.start(
        Recorder(receiver.asgi, record),
        host=host,
        port=port,
        certificate=certificate.certificate if certificate else None,
        key=certificate.key if certificate else None,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, enough.set)
    callback = f"{server.url}{_CALLBACK_PATH}"
    said.print(f"listening at {callback}")
    said.print(f"[dim]have pushes sent here: firmcast push subscribe {callback}[/]")
    if certificate:
        said.print(f"[dim]its authority: {certificate.authority}  (firmcast app callback-ca)[/]")
    await enough.wait()
    await server.stop()


def accepting_receiver(secrets: list[str]) -> Receiver:
    """Return a receiver that accepts every kind of event and does nothing with it.

    Raises:
        ValueError: a secret is none.
    """
    receiver = Receiver(secrets=secrets)

    def accept(
        _event: FirmwareStateChanged | FirmwareUpgradeEnded | SoftwareStateChanged | SoftwareUpgradeEnded,
    ) -> None:
        """The recorder shows it."""

    receiver.on_firmware_state(accept)
    receiver.on_firmware_result(accept)
    receiver.on_software_state(accept)
    receiver.on_software_result(accept)
    return receiver


def _line(body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    when = headers.get("firmcast-occurred-at", "-")
    what = body.get("stepDesc") or body.get("swUpgradeState") or body.get("status") or body.get("swUpgradeResult") or ""
    marks = "".join(f" ({mark})" for mark in ("synthesised", "replay") if headers.get(f"firmcast-{mark}") == "true")
    sequence = headers.get("firmcast-sequence", "?")
    return f"{when}  {body['deviceId']}  {sequence:>4}  {body['notifyType']}  {what}{marks}"
