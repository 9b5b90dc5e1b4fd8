"""One HTTPS port serves every HTTP interface; its life is in the hands of whoever starts it, not of signals.

uvicorn drops no header for an underscore in its name, which clients of this API rely on (`app_key`).
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from firmcast.errors import StartError
from firmcast.rest.client_certificates import AskingContext
from firmcast.rest.handshakes import Handshakes
from firmcast.rest.http_protocol import ContractHttpProtocol

_KEEP_ALIVE_SECONDS = 75
_SHUTDOWN_SECONDS = 3


class _QuietServer(uvicorn.Server):
    """A uvicorn server that says when it is ready and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class HttpsServer:
    """Serves one ASGI application over TLS, or in clear when no certificate is given."""

    def __init__(
        self, server: _QuietServer, listening: socket.socket, scheme: str, handshakes: Handshakes | None = None
    ) -> None:
        self._handshakes = handshakes
        self._server = server
        self._listening = listening
        self._scheme = scheme
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        application: Any,
        *,
        host: str,
        port: int,
        certificate: Path | None = None,
        key: Path | None = None,
        ask_client_certificate: bool = False,
        protocol: type[ContractHttpProtocol] = ContractHttpProtocol,
        keep_alive: int = _KEEP_ALIVE_SECONDS,
        send_buffer: int | None = None,
        reuse_port: bool = False,
        handshakes: Handshakes | None = None,
    ) -> "HttpsServer":
        """Listen on `host` and `port` (0 for any free one) and serve until `stop`; with `reuse_port` beside others.

        Clients are asked for a certificate where that is wanted; none is needed, and any will do. An idle connection
        ends after `keep_alive` seconds; the kernel holds `send_buffer` bytes of one, or as many as it likes.
        `handshakes` bounds those of TLS; without it each has as long as the event loop allows.

        Raises:
            StartError: the address cannot be listened on.
            FileNotFoundError, ssl.SSLError: the certificate or its key cannot be used.
        """
        tls = _tls_context(certificate, key, asking=ask_client_certificate) if certificate and key else None
        listening = _bound(host, port, send_buffer=send_buffer, reuse_port=reuse_port)
        config = uvicorn.Config(
            application,
            http=protocol,
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        config.load()
        if tls is not None and handshakes is not None:
            config.http_protocol_class = handshakes.gate(tls, protocol)  # type: ignore[assignment]  # a factory will do
        else:
            config.ssl = tls
        self = cls(_QuietServer(config), listening, "http" if tls is None else "https", handshakes)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="https-server")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self._task
        return self

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that are listened on."""
        host, port = self._listening.getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """Where the server is reached, without a path."""
        host, port = self.address
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Finish the requests under way, then stop listening."""
        self._server.should_exit = True
        if self._handshakes is not None:
            self._handshakes.close()
        if self._task is not None:
            await self._task
        self._listening.close()


def _bound(host: str, port: int, *, send_buffer: int | None, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of a socket that does not say TCP, asyncio does not switch off Nagle's wait, and each answer costs 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if send_buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)  # connections inherit it
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        raise StartError(message) from error
    return listening


def _tls_context(certificate: Path, key: Path, *, asking: bool) -> ssl.SSLContext:
    if asking:
        return AskingContext(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context
