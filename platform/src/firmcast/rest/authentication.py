"""Every call proves who makes it, before anything else of it is looked at.

An application sends its id as `app_key` or `x-app-key`, and its token as `Authorization: Bearer …` (the scheme in any
case) or, as one client does, bare as `access_token`. An administrator sends a bearer token, which allows some scopes.
"""

import hashlib
import hmac
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from starlette.requests import Request

from firmcast.clock import Clock
from firmcast.errors import NotAllowedError
from firmcast.ids import ApplicationId
from firmcast.rest.errors import NOT_ALLOWED, UNAUTHORIZED, ApiError, ManagementError
from firmcast.rest.throttle import Throttle
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire import headers as wire_headers

_BEARER = re.compile(r"\s*bearer\s+(\S+)\s*", re.IGNORECASE)

CheckToken = Callable[[ApplicationId, str], Awaitable[object]]
"""Raises NotAllowedError unless the token is a live access token of the application, ApiError when that is frozen."""

LimitCalls = Callable[[ApplicationId], None]
"""Counts a call of an application that has proven itself, or raises ApiError when it has made too many."""

Authenticate = Callable[[Request], Awaitable[ApplicationId]]
"""Returns the application that makes a request, or raises ApiError."""


class Scope(StrEnum):
    """What an administrator's token can allow."""

    APPLICATIONS_READ = "applications:read"
    APPLICATIONS_WRITE = "applications:write"
    FIRMWARE_READ = "firmware:read"
    FIRMWARE_WRITE = "firmware:write"
    UPGRADES_READ = "upgrades:read"
    UPGRADES_WRITE = "upgrades:write"
    PUSH_READ = "push:read"
    PUSH_WRITE = "push:write"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"
    ADMINISTRATORS_READ = "administrators:read"
    ADMINISTRATORS_WRITE = "administrators:write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """Who holds an administrator's token."""

    token_id: str
    name: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = None


EVERY_SCOPE = frozenset(Scope)
OPERATOR: Final = Administrator(token_id="operator", name="operator", scopes=EVERY_SCOPE)  # noqa: S106 -- an id
"""Who holds the operator's own token, the one of the settings; no other token has this name or id."""

AuthoriseAdministrator = Callable[[Request, Scope | None], Awaitable[Administrator]]
"""Returns who makes a request, or raises ApiError: unless it is an administrator whose token allows the scope.

Without a scope any administrator's token will do.
"""

FindAdministrator = Callable[[str], Awaitable[Administrator | None]]
"""Returns who holds a token that is live, None for nobody."""


def call_limit(calls: int, period: timedelta, clock: Clock) -> LimitCalls:
    """Return what lets `calls` of each application through in any `period`, and all of them when `calls` is 0.

    It is asked only about applications that have proven themselves: so nobody uses up what is another's.
    """
    if not calls:
        return lambda _application_id: None
    throttle = Throttle(calls, period)

    def limit(application_id: ApplicationId) -> None:
        wait = throttle.admit(application_id, clock.monotonic())
        if wait > 0:
            reason = f"more than {calls} calls in {period.total_seconds():g} s"
            raise ApiError(wire.THROTTLED, reason, headers={"retry-after": str(math.ceil(wait))})

    return limit


def application_authentication(check_token: CheckToken, limit_calls: LimitCalls) -> Authenticate:
    """Return what finds out which application makes a request, and counts it."""

    async def authenticate(request: Request) -> ApplicationId:
        named = request.headers.get(wire_headers.APP_KEY) or request.headers.get(wire_headers.X_APP_KEY) or ""
        if not named.strip():
            raise ApiError(wire.APP_KEY_MISSING)
        application_id = ApplicationId(named.strip())
        token = bearer_token(request) or request.headers.get(wire_headers.ACCESS_TOKEN, "").strip()
        if not token:
            raise ApiError(wire.BAD_TOKEN, "no access token")
        try:
            await check_token(application_id, token)
        except NotAllowedError as error:
            raise ApiError(wire.BAD_TOKEN, str(error)) from None
        limit_calls(application_id)
        return application_id

    return authenticate


def administrator_authentication(token: str, find: FindAdministrator | None = None) -> AuthoriseAdministrator:
    """Return what lets nobody through who sends neither `token`, the operator's own, nor one that `find` knows."""
    expected = hashlib.sha256(token.encode()).digest()

    async def holder(given: str) -> Administrator | None:
        if not given:
            return None
        if hmac.compare_digest(hashlib.sha256(given.encode()).digest(), expected):
            return OPERATOR
        return None if find is None else await find(given)

    async def authorise(request: Request, scope: Scope | None) -> Administrator:
        found = await holder(bearer_token(request))
        if found is None:
            raise ManagementError(UNAUTHORIZED)
        if scope is not None and scope not in found.scopes:
            raise ManagementError(NOT_ALLOWED, f"this needs a token with the scope {scope}")
        return found

    return authorise


def bearer_token(request: Request) -> str:
    """Return the token of the Authorization header, the empty string for none."""
    match = _BEARER.fullmatch(request.headers.get(wire_headers.AUTHORIZATION, ""))
    return match[1] if match else ""


def require_own(application_id: ApplicationId, named: str | None) -> None:
    """Let a call name, as the owner of what it is about, no other application than its own.

    Raises:
        ApiError: it names another one.
    """
    if named and named != application_id:
        raise ApiError(wire.APPLICATION_NOT_AUTHORISED, "appId names another application")
