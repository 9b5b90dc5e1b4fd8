"""`firmcast upgrade`: upgrade tasks, and how their devices get on."""

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

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
from firmcast.cli.failures import print_table, told_plainly
from firmcast.cli.northbound import northbound
from firmcast_sdk import NorthboundClient
from firmcast_sdk.wire.operations import ExecuteType, Operation, Policy

app = typer.Typer(no_args_is_help=True, help="Upgrade tasks: create, watch, list.")
_SECONDS_BETWEEN_LOOKS = 1.0
_NOT_ALL_SUCCEEDED = 3


class When(StrEnum):
    """When a task begins with a device."""

    NOW = "now"
    DEVICE_ONLINE = "device_online"


@app.command()
def create(
    package: Annotated[str, typer.Option(help="Package id.")],
    device: Annotated[list[str], typer.Option(help="Device id; may be given many times, 256 at the most.")],
    application: ApplicationOption,
    secret: SecretOption,
    when: Annotated[When, typer.Option(help="Now, or when the device next comes online.")] = When.NOW,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Create an upgrade task and print its id."""
    policy = Policy(execute_type=ExecuteType(when.value))
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        typer.echo(client.create_firmware_upgrade(package, devices=device, policy=policy))


@app.command()
def watch(
    task: Annotated[str, typer.Argument(help="Task id.")],
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Follow a task to its end; the status is 0 when every device was upgraded, 3 when not."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), disable=as_json) as progress:
            bar = progress.add_task(f"task {task}", total=None)
            for operation in _looks(client, task):
                _move(progress, bar, operation)
                if as_json:
                    typer.echo(msgspec.json.encode(operation.sta_result).decode())
        _print_devices(client, task, as_json=as_json)
        if operation.sta_result.success < operation.sta_result.total:
            raise typer.Exit(_NOT_ALL_SUCCEEDED)


@app.command("list")
def list_(
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the tasks."""
    table = Table("task", "created", "status", "devices", "succeeded", "failed", "open")
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        for operation in client.operations():
            if as_json:
                typer.echo(msgspec.json.encode(operation).decode())
                continue
            counts = operation.sta_result
            table.add_row(
                operation.operation_id,
                operation.create_time.isoformat(),
                operation.status.value,
                str(counts.total),
                str(counts.success),
                str(counts.fail + counts.stop + counts.timeout),
                str(counts.wait + counts.processing),
            )
        if not as_json:
            print_table(table)


def _looks(client: NorthboundClient, task: str) -> Iterator[Operation]:
    """Yield the task again and again until no device of it is open."""
    while True:
        operation = client.operation(task)
        yield operation
        if not operation.sta_result.wait + operation.sta_result.processing:
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _move(progress: Progress, bar: TaskID, operation: Operation) -> None:
    counts = operation.sta_result
    ended = counts.total - counts.wait - counts.processing
    progress.update(bar, total=counts.total, completed=ended, description=f"{operation.status.value:<10}")


def _print_devices(client: NorthboundClient, task: str, *, as_json: bool) -> None:
    table = Table("device", "status", "from", "to", "runs", "why")
    for share in client.sub_operations(task):
        if as_json:
            typer.echo(msgspec.json.encode(share).decode())
            continue
        versions = share.extend_info
        table.add_row(
            share.device_id,
            share.status.value,
            (versions and versions.source_version) or "",
            (versions and versions.target_version) or "",
            (versions and versions.cur_version) or "",
            share.detail_info or "",
        )
    if not as_json:
        print_table(table)
