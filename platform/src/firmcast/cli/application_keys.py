"""`firmcast app callback-ca`, `callback-headers`, `client-certificate`, `signing-key`, `verification-key`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from firmcast.cli.applications import Application, Overlap, overlap_body
from firmcast.cli.connection import DEFAULT_FOLDER, AdminToken, Authority, DataFolder, Json, Url, connect, quoted
from firmcast.cli.failures import CommandError, told_plainly
from firmcast.cli.files import read_text
from firmcast.cli.output import print_fields, print_json

Remove = Annotated[bool, typer.Option("--remove", help="Take it away.")]


def callback_ca(
    application: Application,
    file: Annotated[Path | None, typer.Argument(help="PEM file of the authority.", exists=True)] = None,
    remove: Remove = False,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Check an application's callbacks against this authority instead of the system's."""
    with told_plainly():
        body = {"callback_ca": read_text(_one(file, remove=remove))} if not remove else None
        _change(connect(url, authority, admin_token, data), application, "callback-ca", body, as_json=as_json)


def client_certificate(
    application: Application,
    certificate: Annotated[Path | None, typer.Argument(help="PEM file of the certificate and its chain.")] = None,
    key: Annotated[Path | None, typer.Argument(help="PEM file of its key.")] = None,
    remove: Remove = False,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Present this certificate in pushes to an application."""
    with told_plainly():
        body = None
        if not remove:
            body = {
                "certificate": read_text(_one(certificate, remove=remove)),
                "key": read_text(_one(key, remove=remove)),
            }
        _change(connect(url, authority, admin_token, data), application, "client-certificate", body, as_json=as_json)


def verification_key(
    application: Application,
    file: Annotated[Path | None, typer.Argument(help="PEM file of the public key.", exists=True)] = None,
    remove: Remove = False,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Take only packages that this key's owner has signed."""
    with told_plainly():
        body = {"verification_key": read_text(_one(file, remove=remove))} if not remove else None
        _change(connect(url, authority, admin_token, data), application, "verification-key", body, as_json=as_json)


def callback_headers(
    application: Application,
    file: Annotated[
        Path | None, typer.Argument(help="File of lines such as `authorization: Bearer …`.", exists=True)
    ] = None,
    remove: Remove = False,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Send these headers too in pushes to an application; their values are not shown again."""
    with told_plainly():
        body = {"headers": _headers(read_text(_one(file, remove=remove)))} if not remove else None
        _change(connect(url, authority, admin_token, data), application, "callback-headers", body, as_json=as_json)


def signing_key(
    application: Application,
    overlap: Overlap = None,
    remove: Remove = False,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Sign pushes to an application with a new Ed25519 key too, and show its public key."""
    path = f"/v1/applications/{quoted(application)}/signing-key"
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        said = client.call("DELETE", path) if remove else client.call("POST", path, json_body=overlap_body(overlap))
    if as_json:
        print_json(said)
    else:
        print_fields(said)


def _one(file: Path | None, *, remove: bool) -> Path:
    if file is None or remove:
        message = "a file is needed, or --remove"
        raise CommandError(message)
    return file


def _headers(text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon or name.strip().lower() in map(str.lower, headers):
            message = "each line must be `name: value`, with another name each"
            raise CommandError(message)
        headers[name.strip()] = value.strip()
    return headers


def _change(connection: Any, application: str, what: str, body: Mapping[str, object] | None, *, as_json: bool) -> None:
    path = f"/v1/applications/{quoted(application)}/{what}"
    with connection.management() as client:
        said = client.call("DELETE" if body is None else "PUT", path, json_body=body)
    if as_json:
        print_json(said)
    else:
        print_fields(said)
