"""How a command reaches a platform: options, then environment, then what a platform on this machine left in its folder.

A running platform writes `running.json` (where it is reached), `authority.pem` and `admin-token` into its data folder,
so that commands beside it need no options at all.
"""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote

import httpx2
import typer

from firmcast.cli.failures import CommandError

RUNNING_FILE = "running.json"
ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 -- a file's name
_TIMEOUT_SECONDS = 30.0
_PAGE_SIZE = 1000

Url = Annotated[str, typer.Option("--url", envvar="FIRMCAST_URL", help="Where the platform is, as https://host:port.")]
Authority = Annotated[
    Path | None,
    typer.Option("--authority", envvar="FIRMCAST_AUTHORITY", help="PEM file that its certificate is checked against."),
]
AdminToken = Annotated[
    str, typer.Option("--admin-token", envvar="FIRMCAST_ADMIN_TOKEN", help="The administrator's token.")
]
DataFolder = Annotated[
    Path, typer.Option("--data", envvar="FIRMCAST_DATA", help="Data folder of a platform on this machine.")
]
ApplicationOption = Annotated[str, typer.Option("--app", envvar="FIRMCAST_APP_ID", help="Application id.")]
SecretOption = Annotated[str, typer.Option("--secret", envvar="FIRMCAST_APP_SECRET", help="Secret of the application.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

DEFAULT_FOLDER = Path("firmcast-data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a platform is and how its certificate is checked."""

    url: str
    tls: ssl.SSLContext
    admin_token: str

    def management(self) -> "ManagementClient":
        """Return a client of `/v1`.

        Raises:
            CommandError: no administrator's token is known.
        """
        if not self.admin_token:
            message = "no administrator's token: give --admin-token, or --data with the folder of the platform"
            raise CommandError(message)
        return ManagementClient(self)


def quoted(identifier: str) -> str:
    """Return an id as one segment of a path, whatever was typed."""
    return quote(identifier, safe="")


def running_platform(data: Path) -> dict[str, str] | None:
    """Return what a platform that runs on this machine left in its folder, None when there is none.

    Raises:
        CommandError: what is there cannot be read.
    """
    file = data / RUNNING_FILE
    try:
        said = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        message = f"{file} cannot be read: {error}"
        raise CommandError(message) from error
    return {str(name): str(value) for name, value in said.items()}


def connect(
    url: str = "", authority: Path | None = None, admin_token: str = "", data: Path = DEFAULT_FOLDER
) -> Connection:
    """Return how to reach the platform, filling what is not given from the data folder.

    Raises:
        CommandError: nothing tells where the platform is, or the authority's file is no certificate.
    """
    said = running_platform(data)
    if not url:
        if said is None:
            message = f"no platform is known: give --url, or --data with the folder of one that runs here (not {data})"
            raise CommandError(message)
        url = said["url"]
    token_file = data / ADMIN_TOKEN_FILE
    if not admin_token and token_file.exists():
        admin_token = token_file.read_text().strip()
    made = Path(said["authority"]) if said and said.get("authority") else None
    return Connection(url=url.rstrip("/"), tls=_trusting(authority, made), admin_token=admin_token)


def _trusting(given: Path | None, made: Path | None) -> ssl.SSLContext:
    """Return what trusts the authority that was given, else those of the system and the one that the platform made."""
    read = given or made
    try:
        tls = ssl.create_default_context(cafile=str(given) if given else None)
        if made and not given:
            tls.load_verify_locations(str(made))
    except (OSError, ssl.SSLError) as error:
        message = f"the authority {read} cannot be read: {error}"
        raise CommandError(message) from error
    return tls


class UnreachableError(CommandError):
    """No answer came; the platform may be there again later."""


class RefusalError(CommandError):
    """The platform answered that it will not do it."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ManagementClient:
    """Calls of the management API."""

    def __init__(self, connection: Connection) -> None:
        self._client = httpx2.Client(
            base_url=connection.url,
            verify=connection.tls,
            trust_env=False,
            headers={"authorization": f"Bearer {connection.admin_token}"},
            timeout=_TIMEOUT_SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        query: Mapping[str, Any] | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Make a call and return its JSON, None for none.

        Raises:
            UnreachableError: no answer came.
            RefusalError: the platform refuses; the message says why.
        """
        given: dict[str, Any] = {
            "params": {name: value for name, value in (query or {}).items() if value not in (None, "")}
        }
        if json_body is not None:
            given["json"] = json_body
        if content is not None:
            given["content"] = content
        try:
            answer = self._client.request(method, path, headers=dict(headers or {}), **given)
        except httpx2.HTTPError as error:
            message = f"{self._client.base_url} cannot be reached: {error}"
            raise UnreachableError(message) from error
        body = _json_of(answer)
        if answer.is_error:
            said = body.get("error_desc", "") if isinstance(body, dict) else ""
            reason = answer.headers.get("firmcast-reason", "")
            words = f"{said or answer.reason_phrase}{f': {reason}' if reason else ''} (HTTP {answer.status_code})"
            raise RefusalError(words, status=answer.status_code)
        return body

    def pages(self, path: str, key: str, query: Mapping[str, Any]) -> list[Any]:
        """Return what is under `key` of all pages of a list; raises as `call` does."""
        found: list[Any] = []
        while True:
            number = len(found) // _PAGE_SIZE
            answer = self.call("GET", path, query={**query, "page": number, "page_size": _PAGE_SIZE})
            found += answer[key]
            if len(answer[key]) < _PAGE_SIZE:
                return found


def _json_of(answer: httpx2.Response) -> Any:
    try:
        return answer.json() if answer.content else None
    except ValueError:
        if answer.is_error:
            return None
        message = f"{answer.url} does not answer JSON: is a platform there?"
        raise CommandError(message) from None
