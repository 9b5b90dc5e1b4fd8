"""`/fw/<token>` by HTTP: a GET or HEAD of the package whose transfer the token names, or of ranges of it.

Whoever has the token is served, as by CoAP. A device that asks again and again, since its connections break, has a few
answers under way at a time: the oldest gives way. Source: RFC 9110, sections 13 to 15; RFC 9530 for Repr-Digest.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from firmcast.errors import StoreError
from firmcast.firmware.package_files import PackageUnreadableError
from firmcast.gateway.addresses import PACKAGE_PATH
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.package_port.byte_ranges import UnsatisfiableError, requested_parts
from firmcast.gateway.package_port.connections import RETRY_SECONDS
from firmcast.gateway.package_port.preconditions import Precondition, evaluate, range_holds
from firmcast.gateway.package_port.response import PackageResponse
from firmcast.gateway.transfers import Transfer, Transfers

_ANSWERS_OF_TRANSFER: Final = 4
_LOOK_UPS_AT_ONCE: Final = 64
_log = structlog.get_logger()


class PackageApplication:
    """What the package ports answer."""

    def __init__(self, transfers: Transfers, metrics: GatewayMetrics, *, patience: float) -> None:
        """Give up a device that acknowledges nothing for `patience` seconds."""
        self._transfers = transfers
        self._requests = metrics.package_requests
        self._patience = patience
        self._turns = asyncio.Semaphore(_LOOK_UPS_AT_ONCE)
        self._answering: dict[Transfer, deque[asyncio.Transport]] = {}
        self.asgi = Starlette(routes=[Route(f"/{PACKAGE_PATH}/{{token}}", self._fetch, methods=["GET"])])
        self.asgi.router.redirect_slashes = False

    async def _fetch(self, request: Request) -> Response:
        token = request.path_params["token"]
        try:
            async with self._turns:
                transfer = await self._transfers.look_up(token)
        except PackageUnreadableError as error:
            _log.error("download.unreadable", reason=str(error))
            return self._refused(HTTPStatus.INTERNAL_SERVER_ERROR, "unreadable")
        except StoreError:
            transfer = self._transfers.known(token)
            if transfer is None:
                return self._refused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", {"retry-after": str(RETRY_SECONDS)})
        if transfer is None:
            return self._refused(HTTPStatus.NOT_FOUND, "unknown")
        return self._answer(request, transfer)

    def _answer(self, request: Request, transfer: Transfer) -> Response:
        digest, size = transfer.target.digest, transfer.body.size
        entity_tag = f'"{digest}"'
        headers = {
            "etag": entity_tag,
            "accept-ranges": "bytes",
            # For this device alone, and not to be compressed on the way: ranges and digest are those of these bytes.
            "cache-control": "private, no-transform",
            "repr-digest": f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:",
        }
        match evaluate(_all(request, "if-match"), _all(request, "if-none-match"), entity_tag):
            case Precondition.FAILS:
                return self._refused(HTTPStatus.PRECONDITION_FAILED, "changed", headers)
            case Precondition.UNCHANGED:
                self._requests.of("unchanged").value += 1
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
            case _:
                pass
        parts = None
        if request.method == "GET" and range_holds(_all(request, "if-range"), entity_tag):
            try:
                parts = requested_parts(_all(request, "range"), size)
            except UnsatisfiableError:
                headers["content-range"] = f"bytes */{size}"
                return self._refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "unsatisfiable", headers)
        self._requests.of("whole" if parts is None else "part").value += 1
        return PackageResponse(
            transfer.body,
            parts,
            headers=headers,
            admit=partial(self._answer_under_way, transfer),
            reached=lambda start, had: self._transfers.advance(transfer, start, had),
            is_over=lambda: transfer.is_over,
            pace=transfer.pace,
            patience=self._patience,
        )

    def _refused(self, status: HTTPStatus, outcome: str, headers: dict[str, str] | None = None) -> Response:
        self._requests.of(outcome).value += 1
        return Response(status_code=status, headers={"content-length": "0", **(headers or {})})

    @contextmanager
    def _answer_under_way(self, transfer: Transfer, transport: asyncio.Transport) -> Iterator[None]:
        """Note that an answer is under way; the oldest of too many breaks off."""
        answering = self._answering.setdefault(transfer, deque())
        answering.append(transport)
        if len(answering) > _ANSWERS_OF_TRANSFER:
            answering.popleft().abort()
        try:
            yield
        finally:
            if transport in answering:
                answering.remove(transport)
            if not answering:
                self._answering.pop(transfer, None)


def _all(request: Request, name: str) -> str | None:
    """Return all fields of a name as one list (RFC 9110 section 5.3); None where there are none."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None
