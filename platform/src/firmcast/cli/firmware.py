"""`firmcast firmware`: the packages that can be installed."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from firmcast.cli.connection import (
    DEFAULT_FOLDER,
    AdminToken,
    ApplicationOption,
    Authority,
    DataFolder,
    Json,
    Url,
    connect,
    quoted,
)
from firmcast.cli.failures import errors, told_plainly
from firmcast.cli.files import read_signature
from firmcast.cli.output import print_fields, print_json, print_rows
from firmcast.cli.uploading import PieceSender, digest_of

app = typer.Typer(no_args_is_help=True, help="Firmware packages: upload, list, show, delete.")

Package = Annotated[str, typer.Argument(help="Package id.")]
_PATIENCE_SECONDS = 60.0
_COLUMNS = ("package_id", "name", "version", "size", "for", "signed", "uploaded_at")


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(help="The file to install.", exists=True, dir_okay=False)],
    version: Annotated[str, typer.Option(help="What a device reports (/3/0/3) when it runs this.")],
    application: ApplicationOption,
    name: Annotated[str, typer.Option(help="Name of the package; the file's by default.")] = "",
    device_type: Annotated[str, typer.Option(help="Device type that it is for.")] = "",
    model: Annotated[str, typer.Option(help="Model that it is for.")] = "",
    manufacturer: Annotated[str, typer.Option(help="Name of the manufacturer.")] = "",
    description: Annotated[str, typer.Option(help="What people should know of it.")] = "",
    signature: Annotated[
        Path | None,
        typer.Option(help="File with its signature, as openssl writes it or in base64.", exists=True, dir_okay=False),
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a platform that is away in the middle.")
    ] = _PATIENCE_SECONDS,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Upload a firmware package; after a broken connection it goes on where it was."""
    said = {
        "application_id": application,
        "name": name or file.name,
        "version": version,
        "device_type": device_type,
        "model": model,
        "manufacturer_name": manufacturer,
        "description": description,
        "signature": read_signature(signature) if signature else "",
    }
    columns = ("uploading", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with told_plainly(), ExitStack() as open_things:
        client = open_things.enter_context(connect(url, authority, admin_token, data).management())
        opened = open_things.enter_context(file.open("rb"))
        console = Console(stderr=True)
        progress = Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal)
        open_things.enter_context(progress)
        digest, size = digest_of(opened)
        bar = progress.add_task("", total=size)
        sender = PieceSender(
            client,
            opened,
            patience=patience,
            moved=lambda offset: progress.update(bar, completed=offset),
            lost=lambda why: errors.print(f"going on when the platform is back: {why}", markup=False),
        )
        made = sender.send({**said, "sha256": digest, "size": size})
    if as_json:
        print_json(made)
    else:
        signed = f"  signed by {made['signed_by'][:16]}…" if made["signed_by"] else ""
        typer.echo(f"package {made['package_id']}  {made['size']} bytes  sha256 {made['sha256']}{signed}")


@app.command("list")
def list_(
    application: Annotated[
        str, typer.Option("--app", envvar="FIRMCAST_APP_ID", help="Only this application's; all without it.")
    ] = "",
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the packages of an application, or of all."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        found = client.pages("/v1/firmware", "packages", {"application_id": application})
    if as_json:
        print_json(found)
        return
    rows = [
        {
            **each,
            "size": f"{each['size']:,}",
            "for": " ".join(filter(None, (each["manufacturer_name"], each["device_type"], each["model"]))),
            "signed": bool(each["signed_by"]),
        }
        for each in found
    ]
    print_rows(rows, _COLUMNS)


@app.command()
def show(
    package: Package,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show a package."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        said = client.call("GET", f"/v1/firmware/{quoted(package)}")
    if as_json:
        print_json(said)
    else:
        print_fields(said)


@app.command()
def delete(
    package: Package,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Delete a package that no task needs any more."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        client.call("DELETE", f"/v1/firmware/{quoted(package)}")
