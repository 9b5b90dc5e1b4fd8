"""`firmcast push`: what was sent, what waits, what was given up."""

import json
from enum import StrEnum
from typing import Annotated

import typer
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
from firmcast.cli.failures import CommandError, print_table, told_plainly
from firmcast.cli.northbound import northbound
from firmcast_sdk.wire.notifications import NotifyType

app = typer.Typer(no_args_is_help=True, help="Pushes: subscribe, look at deliveries, send them again.")


class Listing(StrEnum):
    """Which list is shown."""

    ATTEMPTS = "attempts"
    WAITING = "waiting"
    DEAD = "dead"


_PATHS = {
    Listing.ATTEMPTS: ("/v1/attempts", "attempts"),
    Listing.WAITING: ("/v1/deliveries", "deliveries"),
    Listing.DEAD: ("/v1/dead-letters", "dead_letters"),
}
_COLUMNS = {
    Listing.ATTEMPTS: ("attempted_at", "device_id", "event_id", "number", "status", "failure", "subscription_id"),
    Listing.WAITING: ("event_id", "device_id", "sequence", "attempts", "next_attempt_at", "reason", "subscription_id"),
    Listing.DEAD: ("died_at", "event_id", "device_id", "sequence", "attempts", "reason", "subscription_id"),
}


@app.command()
def log(
    what: Annotated[
        Listing, typer.Argument(help="Attempts made, deliveries that wait, or dead letters.")
    ] = Listing.ATTEMPTS,
    device: Annotated[str, typer.Option(help="Only those of this device.")] = "",
    subscription: Annotated[str, typer.Option(help="Only those of this subscription.")] = "",
    limit: Annotated[int, typer.Option(help="How many at the most.", min=1, max=1000)] = 50,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show attempts, waiting deliveries or dead letters."""
    path, key = _PATHS[what]
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        query = {"device_id": device, "subscription_id": subscription, "page_size": limit}
        answer = client.call("GET", path, query=query)
        if as_json:
            typer.echo(json.dumps(answer[key]))
            return
        table = Table(*(column.replace("_", " ") for column in _COLUMNS[what]))
        for each in answer[key]:
            table.add_row(*("" if each[column] is None else str(each[column]) for column in _COLUMNS[what]))
        print_table(table)
        typer.echo(f"{len(answer[key])} of {answer['total']}")


@app.command()
def subscribe(
    callback: Annotated[str, typer.Argument(help="URL with scheme, host, port and path.")],
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Have an application's firmware states and results pushed to a callback; a former one is moved."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, callback)
        client.subscribe(NotifyType.FW_UPGRADE_RESULT, callback)
    typer.echo(f"states and results go to {callback} from now on")


@app.command()
def resend(
    subscription: Annotated[str, typer.Option(help="Subscription id; alone, all its dead letters are sent again.")],
    event: Annotated[int | None, typer.Option(help="Only this event; need not be a dead letter.")] = None,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Send one event, or all dead letters of a subscription, again."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        if event is None:
            answer = client.call("POST", "/v1/dead-letters/resend", json_body={"subscription_id": subscription})
        else:
            body = {"event_id": event, "subscription_id": subscription}
            answer = client.call("POST", "/v1/deliveries/resend", json_body=body)
        if not answer["resent"]:
            message = "there is nothing to send again"
            raise CommandError(message)
        typer.echo(f"{answer['resent']} sent again")
