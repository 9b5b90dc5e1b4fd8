"""`firmcast device`: the devices of an application."""

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
from firmcast.cli.failures import CommandError, say_error, told_plainly
from firmcast.cli.keys import read_key
from firmcast.cli.northbound import northbound
from firmcast.cli.output import plain, print_fields, print_json, print_rows
from firmcast_sdk import NorthboundError

app = typer.Typer(no_args_is_help=True, help="Devices: add, list, show, modify, delete; see why one is where it is.")

Device = Annotated[str, typer.Argument(help="Device id.")]


@app.command()
def add(
    endpoint_names: Annotated[
        list[str], typer.Argument(help="LwM2M endpoint names, such as urn:imei:490154203237518.")
    ],
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    psk: Annotated[
        str | None, typer.Option(help="Their pre-shared key, 32 hexadecimal digits; they must come over DTLS, with it.")
    ] = None,
    generate_psk: Annotated[
        bool, typer.Option("--generate-psk", help="The same with a key of each device's own, which is shown once.")
    ] = False,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Make devices known, so that they may register; prints their ids, and with --generate-psk names and keys.

    A device that is refused does not keep the others out; the status is 1 then.
    """
    made: list[dict[str, str]] = []
    refused = 0
    keyed = psk is not None or generate_psk
    with told_plainly():
        if psk is not None and generate_psk:
            raise CommandError("a key is given or made, not both")
        key = None if psk is None else read_key(psk).hex()
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        # Once, and not for each device: wrong credentials are not the devices' fault.
        client.login()
        for name in endpoint_names:
            try:
                answer = client.register_device(
                    name, verify_code=name, timeout_seconds=0, psk=key, is_secure=keyed or None
                )
            except NorthboundError as error:
                refused += 1
                made.append({"endpoint_name": name, "error": str(error)})
                say_error(f"{name}: {error}")
                continue
            device = {"endpoint_name": name, "device_id": answer.device_id}
            made.append({**device, "psk": answer.psk or ""} if generate_psk else device)
            if not as_json:
                typer.echo(f"{answer.device_id} {name} {answer.psk}" if generate_psk else answer.device_id)
    if as_json:
        print_json(made)
    if refused:
        raise typer.Exit(1)


@app.command("list")
def list_(
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List the devices."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        found = list(client.devices())
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "device": device.device_id,
            "endpoint_name": device.device_info.node_id,
            "status": device.device_info.status,
            "firmware": device.device_info.fw_version,
            "model": device.device_info.model,
        }
        for device in found
    ]
    print_rows(rows, ("device", "endpoint_name", "status", "firmware", "model"))


@app.command()
def show(
    device: Device,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show what is known of a device."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        found = client.device(device)
    if as_json:
        print_json(found)
        return
    record = plain(found)
    information = record.pop("deviceInfo")
    record.pop("services", None)
    print_fields({**record, **information})


@app.command()
def modify(
    device: Device,
    application: ApplicationOption,
    secret: SecretOption,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    device_type: Annotated[str | None, typer.Option(help="Device type.")] = None,
    model: Annotated[str | None, typer.Option(help="Model.")] = None,
    manufacturer: Annotated[str | None, typer.Option(help="Name of the manufacturer.")] = None,
    manufacturer_id: Annotated[str | None, typer.Option(help="Id of the manufacturer.")] = None,
    location: Annotated[str | None, typer.Option(help="Where it is.")] = None,
    region: Annotated[str | None, typer.Option(help="Region.")] = None,
    organization: Annotated[str | None, typer.Option(help="Organization.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone.")] = None,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Change what is said of a device; what is not given stays."""
    said = (name, device_type, model, manufacturer, manufacturer_id, location, region, organization, timezone)
    with told_plainly():
        if all(value is None for value in said):
            message = "nothing to change was given"
            raise CommandError(message)
        with northbound(connect(url, authority, "", data), application, secret) as client:
            client.modify_device(
                device,
                name=name,
                device_type=device_type,
                model=model,
                manufacturer_name=manufacturer,
                manufacturer_id=manufacturer_id,
                location=location,
                region=region,
                organization=organization,
                timezone=timezone,
            )


@app.command()
def delete(
    device: Device,
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Delete a device; its upgrade, if one is open, is stopped."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        client.delete_device(device)
