"""`firmcast listen` is an application that prints what it receives: to try a callback before one is written."""

from pathlib import Path
from typing import Annotated

import typer

from firmcast.cli.connection import Json
from firmcast.cli.failures import told_plainly


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
    # A server and the SDK's receiver: no other command should wait for them to load.
    import uvloop

    from firmcast.cli.receiving import receive_and_print

    with told_plainly():
        uvloop.run(receive_and_print(host, port, tls, signing_secret, count, as_json=as_json))
