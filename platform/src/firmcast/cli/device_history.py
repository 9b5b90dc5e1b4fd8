"""`firmcast device timeline`: why a device is where it is."""

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
from firmcast.cli.failures import told_plainly
from firmcast.cli.output import print_json, print_rows

Called = Annotated[str, typer.Argument(help="Device id or endpoint name.")]

_COLUMNS: Final = ("at", "kind", "what")
_AT_ONCE: Final = 1000


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
