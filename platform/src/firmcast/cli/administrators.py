"""`firmcast admin`: who may use the management API, and `firmcast audit`: who changed what."""

from typing import Annotated

import typer

from firmcast.cli.connection import DEFAULT_FOLDER, AdminToken, Authority, DataFolder, Json, Url, connect, quoted
from firmcast.cli.failures import told_plainly
from firmcast.cli.output import print_fields, print_json, print_rows

app = typer.Typer(no_args_is_help=True, help="Administrators' tokens: create, list, revoke.")

_COLUMNS = ("token_id", "name", "scopes", "created_at", "expires_at", "last_used_at")
_ENTRY_COLUMNS = ("made_at", "actor_kind", "actor", "action", "subject", "details")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    scope: Annotated[
        list[str], typer.Option(help="What it allows, such as firmware:write or audit:read; may be given many times.")
    ],
    expires_at: Annotated[str, typer.Option(help="When it ends, such as 2027-01-31T00:00:00Z; never by default.")] = "",
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Make an administrator's token; it is shown this once."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        body = {"name": name, "scopes": scope, "expires_at": expires_at}
        made = client.call("POST", "/v1/administrators", json_body=body)
    if as_json:
        print_json(made)
    else:
        print_fields(made)


@app.command("list")
def list_(
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the tokens, without themselves."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        found = client.call("GET", "/v1/administrators")["administrators"]
    if as_json:
        print_json(found)
    else:
        print_rows(found, _COLUMNS)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="Id of the token, which is not the token.")],
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """End a token at once."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        client.call("DELETE", f"/v1/administrators/{quoted(token_id)}")


@app.command()
def whoami(
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show which token the commands use."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        said = client.call("GET", "/v1/whoami")
    if as_json:
        print_json(said)
    else:
        print_fields(said)


def audit(
    actor: Annotated[str, typer.Option(help="Only what this token's name, or this application's id, did.")] = "",
    action: Annotated[str, typer.Option(help="Only this, such as application.create, or application. for all.")] = "",
    subject: Annotated[str, typer.Option(help="Only what was done to the thing of this id.")] = "",
    since: Annotated[str, typer.Option(help="Only from this moment on, such as 2026-01-31T12:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Only before this moment.")] = "",
    limit: Annotated[int, typer.Option(help="How many at the most.", min=1, max=1000)] = 50,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show who changed what, the newest first."""
    query = {
        "actor": actor, "action": action, "subject": subject, "from": since, "until": until, "page_size": limit
    }  # fmt: skip
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        answer = client.call("GET", "/v1/audit", query=query)
    if as_json:
        print_json(answer["entries"])
        return
    print_rows(answer["entries"], _ENTRY_COLUMNS)
    typer.echo(f"{len(answer['entries'])} of {answer['total']}")
