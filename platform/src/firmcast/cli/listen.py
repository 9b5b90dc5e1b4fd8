"""`firmcast listen` is an application that prints what it receives: to try a callback before one is written."""

import asyncio
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from firmcast.cli.connection import Json
from firmcast.cli.failures import told_plainly
from firmcast.cli.recorder import Recorder
from firmcast.clock import SystemClock
from firmcast.errors import StartError
from firmcast.rest.certificates import load_or_make_certificate
from firmcast.rest.server import HttpsServer
from firmcast_sdk import Receiver
from firmcast_sdk.events import FirmwareStateChanged, FirmwareUpgradeEnded, SoftwareStateChanged, SoftwareUpgradeEnded

_CALLBACK_PATH = "/v1.0.0/messageReceiver"


def listen(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 9743,
    tls: Annotated[
        Path | None, typer.Option(help="Folder of a self-made certificate; makes the callback HTTPS.")
    ] = None,
    signing_secret: Annotated[
        str, typer.Option(envvar="FIRMCAST_SIGNING_SECRET", help="Refuse what is not signed with it.")
    ] = "",
    count: Annotated[int, typer.Option(help="End after this many pushes; 0 for never.")] = 0,
    as_json: Json = False,
) -> None:
    """Receive pushes and print them, until it is interrupted."""
    with told_plainly():
        uvloop.run(_listen(host, port, tls, signing_secret, count, as_json=as_json))


async def _listen(host: str, port: int, tls: Path | None, signing_secret: str, count: int, *, as_json: bool) -> None:
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
    said.print(f"listening at {server.url}{_CALLBACK_PATH}")
    if certificate:
        said.print(f"[dim]its authority: {certificate.authority}  (firmcast app trust)[/]")
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
    mark = " (synthesised)" if headers.get("firmcast-synthesised") == "true" else ""
    sequence = headers.get("firmcast-sequence", "?")
    return f"{when}  {body['deviceId']}  {sequence:>4}  {body['notifyType']}  {what}{mark}"
