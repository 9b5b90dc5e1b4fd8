"""Requests are counted by the path as it was declared, never by the one that was sent: so a guesser makes no labels."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firmcast.metrics import CONTENT_TYPE, Metrics
from firmcast.rest.authentication import AuthoriseAdministrator
from firmcast.rest.authentication import Scope as Allowed
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.handshakes import HandshakeEnd, Handshakes, places
from firmcast.settings import RestSettings
from firmcast_sdk.wire.feed import FEED_PATH, STREAM_PATH

_NOT_FOUND: Final = "none"
_MOST_ROUTES: Final = 2000
_WAITING: Final = frozenset({FEED_PATH, STREAM_PATH, "/v1/applications/{application_id}/events"})
"""What takes as long as nothing happens says nothing of how quick the platform is."""


class HttpMetrics:
    """The counts of one HTTP server."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        """Declare them; `monotonic` gives seconds of a clock that never steps back."""
        self.monotonic = monotonic
        self.requests = metrics.counts(
            "firmcast_http_requests",
            "Requests that were answered, by method, route and status",
            "method",
            "route",
            "status",
            most=_MOST_ROUTES,
        )
        self.seconds = metrics.histogram(
            "firmcast_http_request_seconds",
            "From a request's head until the end of its answer, but of those that wait for events",
        )
        self.under_way = metrics.gauge("firmcast_http_requests_under_way", "Requests that are being answered")
        handshakes = metrics.counts(
            "firmcast_http_handshakes",
            "TLS handshakes at the HTTPS port that came to nothing, by why: they had not ended in time (stalled), were"
            " given up for newer ones (crowded_out) or were none (failed)",
            "reason",
        )
        self._handshakes = {end: handshakes.of(end.value) for end in HandshakeEnd}

    def handshake_ended(self, end: HandshakeEnd) -> None:
        """Count a handshake that came to nothing."""
        self._handshakes[end].value += 1


def handshakes_of(settings: RestSettings, metrics: HttpMetrics) -> Handshakes:
    """Return the bounds of the handshakes at the HTTPS port; a quarter of the files is for them, at the most."""
    return Handshakes(
        limit=places(settings.handshakes, share=4),
        deadline=settings.handshake_patience.total_seconds(),
        count=metrics.handshake_ended,
    )


class CountedApplication:
    """An ASGI application whose answers are counted."""

    def __init__(self, application: ASGIApp, calls: Iterable[Any], metrics: HttpMetrics) -> None:
        """Count what `application` answers; `calls` are what its routes were made of."""
        self._application = application
        self._metrics = metrics
        self._paths: dict[object, str] = {call.handler: call.path for call in calls if isinstance(call, Endpoint)}
        self._under_way = 0
        metrics.under_way.read = lambda: self._under_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status = 500  # of an application that fails before it answers

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics = self._metrics
        began = metrics.monotonic()
        self._under_way += 1
        try:
            await self._application(scope, receive, noting)
        finally:
            self._under_way -= 1
            path = self._paths.get(scope.get("endpoint"), _NOT_FOUND)
            method = scope["method"] if path != _NOT_FOUND else _NOT_FOUND
            metrics.requests.of(method, path, str(status)).value += 1
            if path not in _WAITING:
                metrics.seconds.observe(metrics.monotonic() - began)


def endpoints(metrics: Metrics, authorise: AuthoriseAdministrator | None) -> list[Endpoint]:
    """Return `/metrics`; with None nobody is asked for a token."""

    async def tell(request: Request) -> Response:
        if authorise is not None:
            await authorise(request, Allowed.METRICS_READ)
        return Response(await metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    return [
        Endpoint(
            method="GET",
            path="/metrics",
            handler=tell,
            summary="Tell what the platform counts of itself, as Prometheus reads it",
            tag="health",
            interface=Interface.MANAGEMENT,
            proof=Proof.NONE if authorise is None else Proof.ADMINISTRATOR,
            scope="" if authorise is None else Allowed.METRICS_READ,
            answers=(Answer(media_type="text/plain"),),
        )
    ]
