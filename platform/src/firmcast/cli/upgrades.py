"""`firmcast upgrade`: upgrade tasks, and how their devices get on."""

import time
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

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
    quoted,
)
from firmcast.cli.failures import CommandError, told_plainly
from firmcast.cli.northbound import northbound
from firmcast.cli.output import plain, print_fields, print_json, print_rows
from firmcast_sdk import NorthboundClient
from firmcast_sdk.wire.operations import ExecuteType, Operation, OperationStatus, Policy, SubOperation

app = typer.Typer(no_args_is_help=True, help="Upgrade tasks: create, list, show, watch, transfers, stop.")

Task = Annotated[str, typer.Argument(help="Task id.")]
_SECONDS_BETWEEN_LOOKS = 1.0
_NOT_ALL_SUCCEEDED = 3
_TASK_COLUMNS = ("task", "created", "status", "devices", "succeeded", "failed", "open")
_TRANSFER_COLUMNS = ("device", "phase", "bytes_done", "of", "percent", "bytes_per_second", "expected_end", "noted_at")
_DEVICE_COLUMNS = ("device", "status", "from", "to", "runs", "why")


class When(StrEnum):
    """When a task begins with a device."""

    NOW = "now"
    DEVICE_ONLINE = "device_online"
    WINDOW = "window"


@app.command()
def create(
    package: Annotated[str, typer.Option(help="Package id.")],
    application: ApplicationOption,
    secret: SecretOption,
    device: Annotated[
        list[str] | None, typer.Option(help="Device id; may be given many times, 256 at the most.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Name of a device group; may be given many times, in place of devices.")
    ] = None,
    device_type: Annotated[str | None, typer.Option(help="Device type; needed with groups.")] = None,
    model: Annotated[str | None, typer.Option(help="Model; needed with groups.")] = None,
    manufacturer: Annotated[str | None, typer.Option(help="Name of the manufacturer; needed with groups.")] = None,
    when: Annotated[When, typer.Option(help="Now, when the device next comes online, or in a window.")] = When.NOW,
    start: Annotated[str, typer.Option(help="Begin of the window, such as 2026-01-31T22:00:00Z.")] = "",
    end: Annotated[str, typer.Option(help="End of the window.")] = "",
    retries: Annotated[
        int, typer.Option(min=0, max=5, help="How often devices that failed are tried again when all have ended.")
    ] = 0,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again makes no second task, but prints the first one's id.")
    ] = None,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Create an upgrade task and print its id."""
    with told_plainly():
        policy = _policy(when, start, end, retries)
        with northbound(connect(url, authority, "", data), application, secret) as client:
            task_id = client.create_firmware_upgrade(
                package,
                devices=device or None,
                device_groups=group or None,
                device_type=device_type,
                model=model,
                manufacturer_name=manufacturer,
                policy=policy,
                idempotency_key=idempotency_key,
            )
    if as_json:
        print_json({"operationId": task_id})
    else:
        typer.echo(task_id)


@app.command()
def watch(
    task: Task,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Follow a task to its end; the status is 0 when every device was upgraded, 3 when not."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        operation = client.operation(task)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), disable=as_json) as progress:
            bar = progress.add_task(f"task {task}", total=None)
            for look in _looks(client, operation):
                operation = look
                _move(progress, bar, look)
                if as_json:
                    print_json(look.sta_result)
        if as_json:
            for share in client.sub_operations(task):
                print_json(share)
        else:
            print_rows([_device_row(share) for share in client.sub_operations(task)], _DEVICE_COLUMNS)
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
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        found = list(client.operations())
    if as_json:
        print_json(found)
    else:
        print_rows([_task_row(operation) for operation in found], _TASK_COLUMNS)


@app.command()
def show(
    task: Task,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show a task and its devices."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        operation = client.operation(task)
        shares = list(client.sub_operations(task))
    if as_json:
        print_json({**plain(operation), "subOperations": shares})
        return
    print_fields(_task_row(operation))
    print_rows([_device_row(share) for share in shares], _DEVICE_COLUMNS)


@app.command()
def transfers(
    task: Task,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show how far the packages of a task are on their way, how fast they go, and when they will be there.

    Shown are devices whose upgrade is under way and that have had a byte.
    """
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        path = f"/v1/upgrades/{quoted(task)}/devices"
        found = client.pages(path, "devices", {"counts_as": "processing"})
    running = [device for device in found if device["transfer"] is not None]
    if as_json:
        print_json(running)
    else:
        print_rows([_transfer_row(device) for device in running], _TRANSFER_COLUMNS)


@app.command()
def stop(
    task: Task,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Stop a task; devices that install already are not interrupted."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        said = client.call("POST", f"/v1/upgrades/{quoted(task)}/stop")
    if as_json:
        print_json(said)
    else:
        print_fields(said)


def _policy(when: When, start: str, end: str, retries: int) -> Policy:
    if (when is When.WINDOW) != bool(start and end) or bool(start) != bool(end):
        message = "--when window goes together with --start and --end"
        raise CommandError(message)
    return Policy(
        execute_type=ExecuteType("custom" if when is When.WINDOW else when.value),
        start_time=_time(start) if start else None,
        end_time=_time(end) if end else None,
        retry_type=retries > 0,
        retry_times=retries or None,
    )


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"{text!r} is no time such as 2026-01-31T22:00:00Z"
        raise CommandError(message)
    return moment


def _looks(client: NorthboundClient, operation: Operation) -> Iterator[Operation]:
    """Yield the task again and again until it has ended; it may have no device yet, or try some again."""
    while True:
        yield operation
        if operation.status not in {OperationStatus.WAIT, OperationStatus.PROCESSING}:
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        operation = client.operation(operation.operation_id)


def _move(progress: Progress, bar: TaskID, operation: Operation) -> None:
    counts = operation.sta_result
    ended = counts.total - counts.wait - counts.processing
    progress.update(bar, total=counts.total, completed=ended, description=f"{operation.status.value:<10}")


def _task_row(operation: Operation) -> dict[str, Any]:
    counts = operation.sta_result
    return {
        "task": operation.operation_id,
        "created": operation.create_time.isoformat(),
        "status": operation.status.value,
        "devices": counts.total,
        "succeeded": counts.success,
        "failed": counts.fail + counts.stop + counts.timeout,
        "open": counts.wait + counts.processing,
    }


def _device_row(share: SubOperation) -> dict[str, Any]:
    versions = share.extend_info
    return {
        "device": share.device_id,
        "status": share.status.value,
        "from": versions and versions.source_version,
        "to": versions and versions.target_version,
        "runs": versions and versions.cur_version,
        "why": share.detail_info,
    }


def _transfer_row(device: dict[str, Any]) -> dict[str, Any]:
    transfer = device["transfer"]
    return {
        "device": device["device_id"],
        "phase": device["phase"],
        "of": transfer["bytes_total"],
        "percent": f"{100 * transfer['bytes_done'] / max(1, transfer['bytes_total']):.0f}",
        **transfer,
    }
