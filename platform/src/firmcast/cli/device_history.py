"""`firmcast device timeline`, `check`, `forget` and `awake-window`: where a device is and why, and how it behaves."""

import time
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from firmcast.cli.connection import (
    DEFAULT_FOLDER,
    AdminToken,
    Authority,
    DataFolder,
    Json,
    ManagementClient,
    Url,
    connect,
    quoted,
)
from firmcast.cli.failures import CommandError, say_error, told_plainly
from firmcast.cli.output import print_json, print_rows

Called = Annotated[str, typer.Argument(help="Device id or endpoint name.")]

_COLUMNS: Final = ("at", "kind", "what")
_CHECK_COLUMNS: Final = ("mark", "about", "did", "will")
_AT_ONCE: Final = 1000
_SECONDS_BETWEEN_LOOKS: Final = 0.25


def timeline(
    device: Called,
    upgrade: Annotated[str, typer.Option(help="Only what is of this device upgrade (subOperationId).")] = "",
    since: Annotated[str, typer.Option(help="Only from this time on, such as 2026-01-31T22:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Only before this time.")] = "",
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest entry.")] = False,
    limit: Annotated[int, typer.Option(help="How many entries at the most.", min=1, max=100_000)] = 100,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show why a device is where it is: exchanges, decisions, events and pushes on one line of time."""
    query = {"upgrade": upgrade, "since": since, "until": until, "oldest_first": "true" if oldest_first else ""}
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        found = _read(client, device, query, limit)
    if as_json:
        print_json(found)
        return
    typer.echo(f"device {found['device_id']} ({found['endpoint_name']})")
    for sentence in found["present"]["text"]:
        typer.echo(f"  {sentence}")
    rows = [{"at": _moment(each["at"]), "kind": each["kind"], "what": each["text"]} for each in found["entries"]]
    print_rows(rows, _COLUMNS)
    if found["left_out"]:
        typer.echo(f"not shown, since the token does not allow it: {', '.join(found['left_out'])}")
    if found["next"]:
        typer.echo("there are more: --limit, --since and --until")


def check(
    device: Called,
    known: Annotated[bool, typer.Option("--known", help="Show what is known already; do not ask the device.")] = False,
    wait: Annotated[int, typer.Option(help="Seconds to wait for the device.", min=1, max=86_400)] = 60,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Check how a registered device's client behaves, and show what follows.

    Nothing of the device is changed, but that it may forget the result of its last update.

    The status is 1 when the device does not answer in time.
    """
    path = f"/v1/devices/{quoted(device)}/check"
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        found = client.call("GET" if known else "POST", path)
        looks = int(wait / _SECONDS_BETWEEN_LOOKS)
        while not known and found["ended_at"] is None and looks > 0:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            looks -= 1
            found = client.call("GET", path)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"device {found['device_id']} ({found['endpoint_name']})")
        typer.echo(f"model {found['model'] or 'not known yet'}")
        print_rows(found["report"], _CHECK_COLUMNS)
    if not known and (found["ended_at"] is None or found["failure"]):
        say_error(found["failure"] or f"the device did not answer within {wait} s; the check goes on waiting for it")
        raise typer.Exit(1)


def forget(
    device: Called,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Forget how a device's client behaves; it is learnt anew, and ways that it did not take are tried again."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        client.call("DELETE", f"/v1/devices/{quoted(device)}/check")


def awake_window(
    device: Annotated[str, typer.Argument(help="Device id or endpoint name; without it those of models.")] = "",
    manufacturer: Annotated[str, typer.Option(help="Of the devices, as they say it themselves (/3/0/0).")] = "",
    model: Annotated[str, typer.Option(help="The same of their model (/3/0/1).")] = "",
    seconds: Annotated[int | None, typer.Option(help="Have them listen for so long after they were heard.")] = None,
    usual: Annotated[bool, typer.Option("--usual", help="Have them listen for as long as the settings say.")] = False,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show, or set, how long a device in queue mode listens after it was heard, or all devices of a model do."""
    said: dict[str, Any] = {"device": device, "manufacturer": manufacturer, "model": model}
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        if usual and seconds is not None:
            raise CommandError("a window is set, or is the usual one, not both")
        if usual or seconds is not None:
            found = client.call("PUT", "/v1/awake-windows", json_body={**said, "seconds": seconds})
        else:
            found = client.call("GET", "/v1/awake-windows", query={"device": device} if device else {})
    if as_json:
        print_json(found)
    elif found["device"] is not None:
        of_device = found["device"]
        typer.echo(f"{of_device['endpoint_name']} listens for {of_device['seconds']:g} s ({of_device['set_for']})")
    else:
        typer.echo(f"devices in queue mode listen for {found['usual_seconds']:g} s")
        print_rows(found["models"], ("manufacturer", "model", "seconds"))


def _read(client: ManagementClient, device: str, query: dict[str, str], limit: int) -> Any:
    """Return so many entries, of as many pages as that takes, with all that stands beside them on the first page."""
    path = f"/v1/devices/{quoted(device)}/timeline"
    found = client.call("GET", path, query={**query, "page_size": min(limit, _AT_ONCE)})
    while found["next"] and len(found["entries"]) < limit:
        size = min(limit - len(found["entries"]), _AT_ONCE)
        further = client.call("GET", path, query={**query, "page_size": size, "after": found["next"]})
        found["entries"] += further["entries"]
        found["next"] = further["next"]
    return found


def _moment(text: str) -> str:
    """Return a time to the millisecond, as wide as any other."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
