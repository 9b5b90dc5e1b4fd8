"""`firmcast group`: device groups, which upgrade tasks can be for. A group is told by its name or its id."""

from collections.abc import Callable
from typing import Annotated

import typer

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
from firmcast.cli.failures import told_plainly
from firmcast.cli.northbound import northbound
from firmcast.cli.output import plain, print_fields, print_json, print_rows
from firmcast_sdk import NorthboundClient

app = typer.Typer(no_args_is_help=True, help="Device groups: create, list, show, add, remove, delete.")

Group = Annotated[str, typer.Argument(help="Name or id of the group.")]
Devices = Annotated[list[str], typer.Argument(help="Device ids.")]
_DEVICES_AT_ONCE = 1000
_COLUMNS = ("id", "name", "curDevNum", "maxDevNum", "description")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="1 to 50 letters and digits.")],
    application: ApplicationOption,
    secret: SecretOption,
    device: Annotated[list[str] | None, typer.Option(help="Device id; may be given many times.")] = None,
    description: Annotated[str, typer.Option(help="What people should know of it.")] = "",
    limit: Annotated[int | None, typer.Option(min=0, help="How many devices it takes; 0 for no limit.")] = None,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Create a device group and print its id."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        made = client.create_device_group(
            name, description=description or None, max_dev_num=limit, device_ids=device or None
        )
    if as_json:
        print_json(made)
    else:
        typer.echo(made.id)


@app.command("list")
def list_(
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the device groups."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        found = list(client.device_groups())
    if as_json:
        print_json(found)
    else:
        print_rows([plain(group) for group in found], _COLUMNS)


@app.command()
def show(
    group: Group,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show a device group and its devices."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        group_id = _id_of(client, group)
        record = {**plain(client.device_group(group_id)), "deviceIds": list(client.device_group_members(group_id))}
    if as_json:
        print_json(record)
    else:
        print_fields(record)


@app.command()
def add(
    group: Group,
    devices: Devices,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Put devices into a group."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        _in_parts(devices, client.add_to_device_group, _id_of(client, group))


@app.command()
def remove(
    group: Group,
    devices: Devices,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Take devices out of a group."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        _in_parts(devices, client.remove_from_device_group, _id_of(client, group))


@app.command()
def delete(
    group: Group,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Delete a device group; its devices stay."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        client.delete_device_group(_id_of(client, group))


def _id_of(client: NorthboundClient, word: str) -> str:
    return next((group.id for group in client.device_groups(name=word) if group.name == word), word)


def _in_parts(devices: list[str], change: Callable[[str, list[str]], None], group_id: str) -> None:
    for start in range(0, len(devices), _DEVICES_AT_ONCE):
        change(group_id, devices[start : start + _DEVICES_AT_ONCE])
