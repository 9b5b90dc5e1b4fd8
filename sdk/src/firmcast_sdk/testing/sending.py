"""One push goes out here: to an application in this process, or over the network."""

import asyncio
import http.client
import io
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

from firmcast_sdk.receiver.asgi import Message, Receive, Scope, Send
from firmcast_sdk.testing.pushes import Response
from firmcast_sdk.wire import headers as names

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

AsgiApplication = Callable[[Scope, Receive, Send], Any]


def send_wsgi(app: "WSGIApplication", path: str, headers: Mapping[str, str], body: bytes) -> Response:
    """POST to a WSGI application."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": headers[names.CONTENT_TYPE],
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers.items():
        if name != names.CONTENT_TYPE:
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    statuses: list[str] = []

    def start_response(
        status: str, _headers: list[tuple[str, str]], _error: object = None, /
    ) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _: None

    answer = b"".join(app(environ, start_response))
    return Response(status=int(statuses[0].split()[0]), body=answer)


async def send_asgi(app: AsgiApplication, path: str, headers: Mapping[str, str], body: bytes) -> Response:
    """POST to an ASGI application, on this loop."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"receiver.test"),
            (b"content-length", str(len(body)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    outgoing: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        outgoing.append(message)

    await app(scope, receive, send)
    answer = b"".join(message.get("body", b"") for message in outgoing)
    return Response(status=int(outgoing[0]["status"]), body=answer)


def send_http(url: str, headers: Mapping[str, str], body: bytes, tls: ssl.SSLContext | None) -> Response:
    """POST to a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None, "the URL has no host"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=15, context=tls)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=15)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("POST", target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return Response(status=answer.status, body=answer.read())
    finally:
        connection.close()


def run_apart(function: Callable[..., Any], *arguments: object) -> Response:
    """Run a coroutine function on a loop of its own, in a thread of its own, so that a running loop does not matter."""
    future: Future[Response] = Future()

    def run() -> None:
        try:
            future.set_result(asyncio.run(function(*arguments)))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="firmcast-test-platform")
    thread.start()
    thread.join()
    return future.result()
