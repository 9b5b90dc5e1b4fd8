"""`firmcast push replay` and its like: history told again."""

from typing import Annotated, Any

import typer

from firmcast.cli.connection import DEFAULT_FOLDER, AdminToken, Authority, DataFolder, Json, Url, connect
from firmcast.cli.failures import told_plainly
from firmcast.cli.output import print_fields, print_json, print_rows
from firmcast_sdk.wire.notify_types import NotifyType

ReplayArgument = Annotated[int, typer.Argument(help="Number of the replay.", min=1)]

_COLUMNS = ("replay_id", "state", "queued", "outstanding", "device_id", "since", "until", "rate", "application_id")


def replay(
    subscription: Annotated[str, typer.Option(help="Subscription id; or --app for those of an application.")] = "",
    application: Annotated[str, typer.Option("--app", help="Application id; its secret is not needed.")] = "",
    kind: Annotated[
        list[NotifyType] | None, typer.Option("--type", help="With --app: only these types; may be given many times.")
    ] = None,
    device: Annotated[str, typer.Option(help="Only what happened to this device.")] = "",
    since: Annotated[str, typer.Option(help="Only from this time on, such as 2026-01-31T22:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Only before this time.")] = "",
    rate: Annotated[int | None, typer.Option(help="Deliveries a second at the most.", min=1, max=10_000)] = None,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Tell history again, marked as a replay, in the order of each device, beside what is told live."""
    body = {
        "subscription_id": subscription,
        "application_id": application,
        "notify_types": [each.value for each in kind or ()],
        "device_id": device,
        "since": since,
        "until": until,
        "rate": rate,
    }
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(client.call("POST", "/v1/replays", json_body=body), as_json=as_json)


def replays(
    number: Annotated[int | None, typer.Argument(help="Only this one, in full.", min=1)] = None,
    application: Annotated[str, typer.Option("--app", help="Only those of this application.")] = "",
    limit: Annotated[int, typer.Option(help="How many at the most.", min=1, max=1000)] = 50,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List replays, the latest first, or show how far one has come."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        if number is not None:
            _print(client.call("GET", f"/v1/replays/{number}"), as_json=as_json)
            return
        answer = client.call("GET", "/v1/replays", query={"application_id": application, "page_size": limit})
    if as_json:
        print_json(answer["replays"])
        return
    print_rows(answer["replays"], _COLUMNS)
    typer.echo(f"{len(answer['replays'])} of {answer['total']}")


def cancel_replay(
    number: ReplayArgument,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """End a replay: what it has not sent is not sent any more."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print(client.call("POST", f"/v1/replays/{number}/cancel"), as_json=as_json)


def _print(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(said)
    else:
        print_fields(said)
