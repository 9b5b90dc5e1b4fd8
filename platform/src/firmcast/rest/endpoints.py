"""A call is declared once, with everything that can be told of it: so the routes and the published description agree.

What a handler may answer and what it may refuse stands beside its path; the tests hold the handlers to it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from firmcast.rest.answers import JSON
from firmcast_sdk.wire.errors import ErrorCode

Handler = Callable[[Request], Awaitable[Response]]


class Interface(StrEnum):
    """Which of the two descriptions a call belongs to."""

    NORTHBOUND = "northbound"
    """What applications call, as the vendor published it."""
    MANAGEMENT = "management"
    """What operators call: `/v1`."""


class Proof(StrEnum):
    """How a caller proves who it is."""

    NONE = "none"
    APPLICATION = "application"
    """`app_key` and an access token."""
    ADMINISTRATOR = "administrator"
    """An administrator's bearer token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One way in which a call succeeds."""

    status: int = 200
    body: type[msgspec.Struct] | None = None
    """The record of the body; None for an empty one."""
    media_type: str = JSON
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call: where it is reached, what it takes, what it answers."""

    method: str
    path: str
    """With parameters in braces."""
    handler: Handler
    summary: str
    """One imperative sentence without its full stop."""
    tag: str
    """The part of the description it stands in, such as `devices`."""
    interface: Interface = Interface.NORTHBOUND
    proof: Proof = Proof.APPLICATION
    scope: str = ""
    """What an administrator's token must allow."""
    description: str = ""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    body_media_type: str = JSON
    headers: tuple[str, ...] = ()
    """Names of further request headers that change what the call does."""
    answers: tuple[Answer, ...] = (Answer(),)
    errors: tuple[ErrorCode, ...] = ()
    """Beside those that every call of its interface and proof can be refused with."""
    aliases: tuple[str, ...] = ()
    """Older paths that clients still call; the same in everything else."""
    path_descriptions: dict[str, str] = field(default_factory=dict)
    takes_room: bool = False
    """Whether it begins work that must be stored; it is refused while there is no room."""

    def routes(self) -> list[Route]:
        """Return the routes of its path and of its aliases."""
        return [Route(path, self.handler, methods=[self.method]) for path in (self.path, *self.aliases)]


OCTETS: Final = "application/octet-stream"
FORM: Final = "application/x-www-form-urlencoded"


def within_room(call: Endpoint, require_room: Callable[[], None]) -> Endpoint:
    """Return a call that begins nothing while there is no room for it."""
    if not call.takes_room:
        return call
    handler = call.handler

    async def guarded(request: Request) -> Response:
        require_room()
        return await handler(request)

    return replace(call, handler=guarded)
