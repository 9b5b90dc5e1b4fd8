"""Liveness answers as long as the process can; readiness asks the parts, and says which of them is not ready.

Neither needs a token: whoever balances load has none. They tell nothing but names of parts.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.rest.answers import plain_answer
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof

CheckReadiness = Callable[[], Awaitable[Mapping[str, bool]]]
"""Tells for each part of the platform whether it is ready."""


class HealthAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """That the process can answer."""

    status: str


class ReadinessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the platform can do its work, and which part can not."""

    status: str
    parts: dict[str, bool]


def endpoints(check_readiness: CheckReadiness) -> list[Endpoint]:
    """Return `/v1/health` and `/v1/readiness`."""

    async def health(_request: Request) -> Response:
        return plain_answer(HealthAnswer(status="alive"))

    async def readiness(_request: Request) -> Response:
        parts = dict(await check_readiness())
        ready = all(parts.values())
        return plain_answer(
            ReadinessAnswer(status="ready" if ready else "not ready", parts=parts), 200 if ready else 503
        )

    told = partial(Endpoint, method="GET", tag="health", interface=Interface.MANAGEMENT, proof=Proof.NONE)
    return [
        told(
            path="/v1/health",
            handler=health,
            summary="Ask whether the process lives",
            answers=(Answer(body=HealthAnswer),),
        ),
        told(
            path="/v1/readiness",
            handler=readiness,
            summary="Ask whether every part is ready",
            answers=(
                Answer(body=ReadinessAnswer),
                Answer(status=503, body=ReadinessAnswer, description="Not every part is ready."),
            ),
        ),
    ]
