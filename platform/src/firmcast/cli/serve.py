"""`firmcast serve` runs the platform until it is told to stop: once to finish what is under way, twice to end."""

from pathlib import Path
from typing import Annotated

import typer

from firmcast.cli.failures import told_plainly
from firmcast.cli.logs import LogFormat, configure


def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.", exists=True, dir_okay=False)] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the store, the packages and the keys.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HTTPS port; 0 for any free one.")] = None,
    coap_port: Annotated[int | None, typer.Option(min=0, max=65535, help="CoAP port; 0 for any free one.")] = None,
    roles: Annotated[
        str | None, typer.Option(help="What this node does, such as rest,pusher; needs FIRMCAST_DATABASE_URL.")
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="How log lines look.")] = LogFormat.AUTO,
    log_level: Annotated[str, typer.Option(help="Least level that is logged.")] = "info",
) -> None:
    """Run the platform: northbound and management API, device gateway, upgrade engine and pusher in one process.

    With FIRMCAST_DATABASE_URL it stands on PostgreSQL, and any number of nodes share the work: all roles, or some each.

    Every setting can also be given in the environment, such as FIRMCAST_REST__PORT=8743, or in the TOML file.
    """
    # The whole platform: no other command should wait for it to load.
    import uvloop

    from firmcast.cli.serving import serve_until_stopped, settings_of

    configure(log_format, log_level)
    with told_plainly():
        settings = settings_of(config, data, port, coap_port, roles)
        raise typer.Exit(uvloop.run(serve_until_stopped(settings)))
