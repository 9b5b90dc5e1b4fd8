"""`firmcast app`: the applications that may call us and be called."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from firmcast.cli.connection import DEFAULT_FOLDER, AdminToken, Authority, DataFolder, Json, Url, connect
from firmcast.cli.failures import CommandError, print_table, told_plainly

app = typer.Typer(no_args_is_help=True, help="Applications: create, list, rotate the secret, trust a callback's CA.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    callback_ca: Annotated[
        Path | None, typer.Option(help="PEM file of the authority of its callbacks' certificates.", exists=True)
    ] = None,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Create an application; its secrets are shown this once."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        body = {"name": name, "callback_ca": _pem(callback_ca)}
        made = client.call("POST", "/v1/applications", json_body=body)
        if as_json:
            typer.echo(json.dumps(made))
            return
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"application    {made['application_id']}")
        console.print(f"secret         {made['secret']}")
        console.print(f"signing secret {made['signing_secret']}")
        console.print("\n[dim]These are not shown again. For the other commands of this shell:[/]")
        console.print(
            f"export FIRMCAST_APP_ID={made['application_id']} FIRMCAST_APP_SECRET={made['secret']}", markup=False
        )


@app.command("list")
def list_(
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the applications."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        found = client.call("GET", "/v1/applications")["applications"]
        if as_json:
            typer.echo(json.dumps(found))
            return
        table = Table("application", "name", "created", "state")
        for each in found:
            table.add_row(
                each["application_id"], each["name"], each["created_at"], "frozen" if each["frozen"] else "active"
            )
        print_table(table)


@app.command()
def rotate(
    application: Annotated[str, typer.Argument(help="Application id.")],
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Give an application a new secret; the old one and its tokens end at once."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        made = client.call("POST", f"/v1/applications/{application}/secret")
        typer.echo(json.dumps(made) if as_json else f"secret {made['secret']}")


@app.command("trust")
def trust(
    application: Annotated[str, typer.Argument(help="Application id.")],
    callback_ca: Annotated[Path, typer.Argument(help="PEM file of the authority.", exists=True)],
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Check an application's callbacks against this authority instead of the system's."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        body = {"callback_ca": _pem(callback_ca)}
        client.call("PUT", f"/v1/applications/{application}/callback-ca", json_body=body)


def _pem(file: Path | None) -> str:
    try:
        return file.read_text() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read: {error}"
        raise CommandError(message) from error
