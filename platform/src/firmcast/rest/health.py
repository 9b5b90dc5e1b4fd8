"""Liveness answers as long as the process can; readiness asks the parts, and says which of them is not ready.

Neither needs a token: whoever balances load has none. They tell nothing but names of parts.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firmcast.rest.answers import plain_answer

CheckReadiness = Callable[[], Awaitable[Mapping[str, bool]]]
"""Tells for each part of the platform whether it is ready."""


def routes(check_readiness: CheckReadiness) -> list[BaseRoute]:
    """Return `/v1/health` and `/v1/readiness`."""

    async def health(_request: Request) -> Response:
        return plain_answer({"status": "alive"})

    async def readiness(_request: Request) -> Response:
        parts = dict(await check_readiness())
        ready = all(parts.values())
        return plain_answer({"status": "ready" if ready else "not ready", "parts": parts}, 200 if ready else 503)

    return [Route("/v1/health", health), Route("/v1/readiness", readiness)]
