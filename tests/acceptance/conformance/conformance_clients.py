"""Six clients as they are on the wire: which headers they send, how they join a query and write a body.

Written after the clients that the contract page names (its sections 2, 3 and 10); no HTTP library comes between.
"""

import json
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

Pairs = Sequence[Sequence[str]]
ANSWER_SECONDS = 20


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _without_nothing(value: Any) -> Any:
    """Leave out nulls and empty lists."""
    if isinstance(value, dict):
        return {name: _without_nothing(inner) for name, inner in value.items() if inner is not None and inner != []}
    return value


def _encoded(pairs: Pairs) -> str:
    return urlencode([(name, value) for name, value in pairs])


def _raw(pairs: Pairs) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one client writes its requests."""

    name: str
    proof: tuple[str, ...]
    """Header lines, with the application and the token to be put in."""
    content_type: str = "application/json"
    always_says_type: bool = False
    says_empty: bool = False
    """Sends Content-Length: 0 with a DELETE."""
    other_headers: tuple[str, ...] = ()
    query: Callable[[Pairs], str] = lambda pairs: "?" + _encoded(pairs) if pairs else ""
    body: Callable[[Any], str] = _compact
    with_nulls: bool = False
    """Writes null for each optional field that a case names."""
    secret_key: str = "secret"
    form: Callable[[Pairs], str] = _raw


STYLES = {
    style.name: style
    for style in (
        Style(
            name="java",
            proof=("app_key: {app}", "Authorization: Bearer {token}"),
            content_type="application/json; charset=UTF-8",
            other_headers=("Connection: Keep-Alive", "User-Agent: Apache-HttpClient/4.5.2 (Java/1.8.0_161)"),
            body=lambda value: _compact(_without_nothing(value)),
            form=_encoded,
        ),
        Style(
            name="php",
            proof=("app_key:{app}", "Authorization:Bearer {token}"),
            query=lambda pairs: "?" + quote(_raw(pairs), safe="=&:/?,") if pairs else "",
            body=lambda value: json.dumps(value, separators=(",", ":")).replace("/", "\\/"),
        ),
        Style(
            name="python",
            proof=("app_key: {app}", "Authorization: Bearer {token}"),
            always_says_type=True,
            says_empty=True,
            other_headers=("Accept-Encoding: identity",),
            query=lambda pairs: "?&" + _raw(pairs) if pairs else "?",
            body=json.dumps,
            with_nulls=True,
        ),
        Style(
            name="go",
            proof=("App_key: {app}", "Access_token: {token}"),
            other_headers=("User-Agent: Go-http-client/1.1", "Accept-Encoding: gzip"),
            query=lambda pairs: "?" + "".join(f"{name}={quote(value)}&" for name, value in pairs) if pairs else "",
            secret_key="Secret",
        ),
        Style(
            name="node-a",
            proof=("app_key: {app}", "Authorization: bearer {token}"),
            always_says_type=True,
            says_empty=True,
        ),
        Style(
            name="node-b",
            proof=("app_key: {app}", "Authorization: Bearer {token}"),
            other_headers=("Connection: close",),
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Connection:
    """A TLS connection that is opened when it is needed, and stays open while the server lets it."""

    address: tuple[str, int]
    certificate: Path | None = None
    _file: Any = None
    _socket: ssl.SSLSocket | None = None

    def exchange(self, request: bytes) -> Answer:
        """Send a request and read its answer."""
        if self._socket is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # Most of these clients look at neither name nor authority.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self.certificate is not None:
                context.load_cert_chain(self.certificate)
            self._socket = context.wrap_socket(socket.create_connection(self.address, timeout=ANSWER_SECONDS))
            self._file = self._socket.makefile("rb")
        self._socket.sendall(request)
        answer = self._read()
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None

    def _read(self) -> Answer:
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers = {}
        while (header := self._file.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers.get("content-length", "0")))
        return Answer(status=int(line.split()[1]), headers=headers, body=body)


def request_bytes(method: str, target: str, headers: Sequence[str], body: bytes | None) -> bytes:
    """Return a request as it goes over the wire."""
    length = () if body is None else (f"Content-Length: {len(body)}",)
    lines = [f"{method} {target} HTTP/1.1", "Host: platform:8743", *headers, *length, "", ""]
    return "\r\n".join(lines).encode() + (body or b"")
