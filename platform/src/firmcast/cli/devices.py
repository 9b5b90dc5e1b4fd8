"""`firmcast device`: the devices of an application."""

import json
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from firmcast.cli.connection import (
    DEFAULT_FOLDER,
    ApplicationOption,
    Authority,
    DataFolder,
    Json,
    SecretOption,
    Url,
    connect,
)
from firmcast.cli.failures import print_table, told_plainly
from firmcast.cli.northbound import northbound

app = typer.Typer(no_args_is_help=True, help="Devices: add, list, show, delete.")


@app.command()
def add(
    endpoint_names: Annotated[
        list[str], typer.Argument(help="LwM2M endpoint names, such as urn:imei:490154203237518.")
    ],
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Make devices known, so that they may register; prints their ids."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        for name in endpoint_names:
            made = client.register_device(name, verify_code=name, timeout_seconds=0)
            typer.echo(json.dumps({"device_id": made.device_id, "endpoint_name": name}) if as_json else made.device_id)


@app.command("list")
def list_(
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the devices."""
    table = Table("device", "endpoint name", "status", "firmware", "model")
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        for device in client.devices():
            if as_json:
                typer.echo(msgspec.json.encode(device).decode())
            else:
                info = device.device_info
                table.add_row(device.device_id, info.node_id, info.status, info.fw_version, info.model)
        if not as_json:
            print_table(table)


@app.command()
def show(
    device: Annotated[str, typer.Argument(help="Device id.")],
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Print what is known of a device, as JSON."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        typer.echo(msgspec.json.format(msgspec.json.encode(client.device(device))).decode())


@app.command()
def delete(
    device: Annotated[str, typer.Argument(help="Device id.")],
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Delete a device; its upgrade, if one is open, is stopped."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        client.delete_device(device)
