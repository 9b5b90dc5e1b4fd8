"""`firmcast firmware`: the packages that can be installed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from firmcast.cli.connection import (
    DEFAULT_FOLDER,
    AdminToken,
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

app = typer.Typer(no_args_is_help=True, help="Firmware packages: upload, list, delete.")
_CHUNK_BYTES = 1 << 16


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(help="The file to install.", exists=True, dir_okay=False)],
    version: Annotated[str, typer.Option(help="What a device reports (/3/0/3) when it runs this.")],
    application: ApplicationOption,
    name: Annotated[str, typer.Option(help="Name of the package; the file's by default.")] = "",
    device_type: Annotated[str, typer.Option(help="Device type that it is for.")] = "",
    model: Annotated[str, typer.Option(help="Model that it is for.")] = "",
    manufacturer: Annotated[str, typer.Option(help="Name of the manufacturer.")] = "",
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Upload a firmware package."""
    query = {
        "application_id": application,
        "name": name or file.name,
        "version": version,
        "device_type": device_type,
        "model": model,
        "manufacturer_name": manufacturer,
    }
    columns = ("uploading", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        told_plainly(),
        connect(url, authority, admin_token, data).management() as client,
        file.open("rb") as opened,
        Progress(*columns, console=Console(stderr=True), transient=True, disable=as_json) as progress,
    ):
        made = client.call(
            "POST",
            "/v1/firmware",
            query=query,
            content=_chunks(opened, progress, file.stat().st_size),
            headers={"content-type": "application/octet-stream"},
        )
    if as_json:
        typer.echo(json.dumps(made))
    else:
        typer.echo(f"package {made['package_id']}  {made['size']} bytes  sha256 {made['sha256']}")


@app.command("list")
def list_(
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the packages of all applications."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        found = client.call("GET", "/v1/firmware", query={"page_size": 1000})["packages"]
        if as_json:
            typer.echo(json.dumps(found))
            return
        table = Table("package", "name", "version", "bytes", "for", "uploaded")
        for each in found:
            target = " ".join(filter(None, (each["manufacturer_name"], each["device_type"], each["model"])))
            table.add_row(
                each["package_id"], each["name"], each["version"], f"{each['size']:,}", target, each["uploaded_at"]
            )
        print_table(table)


@app.command()
def delete(
    package: Annotated[str, typer.Argument(help="Package id.")],
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Delete a package that no task needs any more."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        client.delete_package(package)


def _chunks(file: BinaryIO, progress: Progress, size: int) -> Iterator[bytes]:
    task = progress.add_task("", total=size)
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
        progress.advance(task, len(chunk))
