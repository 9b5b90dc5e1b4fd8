"""`firmcast app`: the applications that may call us and be called."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from firmcast.cli.connection import DEFAULT_FOLDER, AdminToken, Authority, DataFolder, Json, Url, connect, quoted
from firmcast.cli.failures import told_plainly
from firmcast.cli.files import read_text
from firmcast.cli.output import print_fields, print_json, print_rows

app = typer.Typer(
    no_args_is_help=True, help="Applications: create, freeze, rotate secrets, delete; their keys and CAs."
)

Application = Annotated[str, typer.Argument(help="Application id.")]
Overlap = Annotated[
    int | None, typer.Option(min=0, help="Seconds for which the former one is still taken; a day by default.")
]
_COLUMNS = ("application_id", "name", "created_at", "state")


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
        body = {"name": name, "callback_ca": read_text(callback_ca) if callback_ca else ""}
        made = client.call("POST", "/v1/applications", json_body=body)
    if as_json:
        print_json(made)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"application    {made['application_id']}")
    console.print(f"secret         {made['secret']}")
    console.print(f"signing secret {made['signing_secret']}")
    console.print("\n[dim]These are not shown again. For the other commands of this shell:[/]")
    console.print(f"export FIRMCAST_APP_ID={made['application_id']} FIRMCAST_APP_SECRET={made['secret']}", markup=False)


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
        print_json(found)
    else:
        print_rows([{**each, "state": "frozen" if each["frozen"] else "active"} for each in found], _COLUMNS)


@app.command()
def show(
    application: Application,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show an application."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(client.call("GET", _path(application)), as_json=as_json)


@app.command()
def freeze(
    application: Application,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Refuse every call of an application from now on; it is still pushed to."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(client.call("POST", _path(application, "freeze")), as_json=as_json)


@app.command()
def unfreeze(
    application: Application,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Let an application log in again."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(client.call("POST", _path(application, "unfreeze")), as_json=as_json)


@app.command()
def rename(
    application: Application,
    name: Annotated[str, typer.Argument(help="What people call it from now on.")],
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Rename an application."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(client.call("PATCH", _path(application), json_body={"name": name}), as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    application: Application,
    overlap: Overlap = None,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Give an application a new secret, shown this once; for a while both are taken."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(client.call("POST", _path(application, "secret"), json_body=overlap_body(overlap)), as_json=as_json)


@app.command("rotate-signing-secret")
def rotate_signing_secret(
    application: Application,
    overlap: Overlap = None,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Give an application a new signing secret, shown this once; for a while pushes carry a signature of each."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(
            client.call("POST", _path(application, "signing-secret"), json_body=overlap_body(overlap)), as_json=as_json
        )


@app.command()
def delete(
    application: Application,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Delete an application with its subscriptions, devices, groups and packages."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        client.call("DELETE", _path(application))


def _path(application: str, what: str = "") -> str:
    return "/".join(filter(None, ("/v1/applications", quoted(application), what)))


def overlap_body(seconds: int | None) -> dict[str, int]:
    """Return the body that asks for an overlap; without one the platform takes its own."""
    return {} if seconds is None else {"overlap_seconds": seconds}


def _print(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(said)
    else:
        print_fields(said)
