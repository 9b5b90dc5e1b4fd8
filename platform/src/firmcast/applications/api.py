"""Login, refresh and logout of applications, and what an administrator does with applications.

Contract page, section 2; `/v1/applications` is the management API.
"""

from collections.abc import Awaitable
from typing import Annotated, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firmcast.applications import use_cases
from firmcast.applications.model import Application, FrozenError, IssuedTokens, RefreshTokenError
from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.errors import NotAllowedError
from firmcast.ids import ApplicationId
from firmcast.rest.answers import empty_answer, plain_answer, wire_answer
from firmcast.rest.authentication import AuthoriseAdministrator, CheckToken, LimitCalls, Scope
from firmcast.rest.errors import ApiError
from firmcast.rest.requests import decode_body, decode_pairs, path_identifier, read_body
from firmcast.sealing import Sealer
from firmcast.settings import RestSettings
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.authentication import (
    LOGIN_PATH,
    LOGOUT_PATH,
    REFRESH_PATH,
    LoginRequest,
    LogoutRequest,
    RefreshRequest,
    TokenResponse,
)
from firmcast_sdk.wire.decoding import Hints

_CA_LIMIT = 1 << 16

Result = TypeVar("Result")


class NewApplicationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that creates an application."""

    name: Annotated[str, Hints(limit=256, filled=True)]
    callback_ca: Annotated[str, Hints(limit=_CA_LIMIT)] = ""


class CallbackAuthorityRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that says which authorities callbacks are checked against: PEM, or empty for the system's."""

    callback_ca: Annotated[str, Hints(limit=_CA_LIMIT)]


def token_check(database: Database, clock: Clock) -> CheckToken:
    """Return what tells whether an access token is an application's."""

    async def check(application_id: ApplicationId, access_token: str) -> Application:
        try:
            return await database.read(use_cases.authenticate, application_id, access_token, clock.now())
        except FrozenError as error:
            raise ApiError(wire.APPLICATION_FROZEN, str(error)) from None

    return check


def routes(
    *,
    database: Database,
    clock: Clock,
    sealer: Sealer,
    settings: RestSettings,
    authorise_administrator: AuthoriseAdministrator,
    limit_calls: LimitCalls,
) -> list[BaseRoute]:
    """Return the routes of login, refresh and logout, and of `/v1/applications`."""
    tokens = _TokenCalls(database, clock, settings, limit_calls)
    management = _ManagementCalls(database, clock, sealer, authorise_administrator)
    one = "/v1/applications/{application_id}"
    return [
        Route(LOGIN_PATH, tokens.login, methods=["POST"]),
        Route(REFRESH_PATH, tokens.refresh, methods=["POST"]),
        Route(LOGOUT_PATH, tokens.logout, methods=["POST"]),
        Route("/v1/applications", management.create, methods=["POST"]),
        Route("/v1/applications", management.listed, methods=["GET"]),
        Route(one, management.find, methods=["GET"]),
        Route(f"{one}/secret", management.rotate_secret, methods=["POST"]),
        Route(f"{one}/callback-ca", management.set_callback_ca, methods=["PUT"]),
    ]


class _TokenCalls:
    def __init__(self, database: Database, clock: Clock, settings: RestSettings, limit_calls: LimitCalls) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._limit_calls = limit_calls

    async def _admit(self, application_id: ApplicationId, secret: str) -> None:
        """Count a call only once its secret is proven: else a stranger who knows an id could use up its calls."""
        await _proven(self._database.read(use_cases.prove, application_id, secret, self._clock.now()))
        self._limit_calls(application_id)

    async def login(self, request: Request) -> Response:
        body = await read_body(request, self._settings.body_limit)
        if body.lstrip().startswith(b"{"):
            said = decode_body(LoginRequest, body, missing=wire.REQUIRED_PARAMETER_MISSING)
        else:
            said = decode_pairs(LoginRequest, body, invalid=wire.INPUT_INVALID, missing=wire.REQUIRED_PARAMETER_MISSING)
        application_id = ApplicationId(said.app_id)
        await self._admit(application_id, said.secret)
        issued = await _proven(
            self._database.write(
                use_cases.login,
                application_id,
                said.secret,
                self._clock.now(),
                self._settings.access_token_life,
                self._settings.refresh_token_life,
                self._settings.token_grace,
            )
        )
        return _token_answer(issued)

    async def refresh(self, request: Request) -> Response:
        body = await read_body(request, self._settings.body_limit)
        said = decode_body(RefreshRequest, body, unreadable=wire.INPUT_INVALID)
        application_id = ApplicationId(said.app_id)
        await self._admit(application_id, said.secret)
        issued = await _proven(
            self._database.write(
                use_cases.refresh,
                application_id,
                said.secret,
                said.refresh_token,
                self._clock.now(),
                self._settings.access_token_life,
                self._settings.refresh_token_life,
                self._settings.token_grace,
            )
        )
        return _token_answer(issued)

    async def logout(self, request: Request) -> Response:
        body = await read_body(request, self._settings.body_limit)
        said = decode_body(LogoutRequest, body, unreadable=wire.INPUT_INVALID)
        await self._database.write(use_cases.logout, said.access_token)
        return empty_answer()


async def _proven(asked: Awaitable[Result]) -> Result:
    try:
        return await asked
    except FrozenError as error:
        raise ApiError(wire.APPLICATION_FROZEN, str(error)) from None
    except RefreshTokenError as error:
        raise ApiError(wire.REFRESH_FAILED, str(error)) from None
    except NotAllowedError:
        # Which of the two is wrong is not said: it would tell strangers which ids exist.
        raise ApiError(wire.APP_ID_OR_SECRET_WRONG) from None


def _token_answer(issued: IssuedTokens) -> Response:
    answer = wire_answer(
        TokenResponse(
            expires_in=issued.expires_in, access_token=issued.access_token, refresh_token=issued.refresh_token
        )
    )
    answer.headers["cache-control"] = "no-store"
    return answer


class _ManagementCalls:
    def __init__(
        self, database: Database, clock: Clock, sealer: Sealer, authorise_administrator: AuthoriseAdministrator
    ) -> None:
        self._database = database
        self._clock = clock
        self._sealer = sealer
        self._authorise = authorise_administrator

    async def create(self, request: Request) -> Response:
        await self._authorise(request, Scope.APPLICATIONS_WRITE)
        said = decode_body(NewApplicationRequest, await read_body(request))
        credentials = await self._database.write(
            use_cases.create, said.name, self._sealer, self._clock.now(), callback_ca=said.callback_ca
        )
        return _once(
            {
                "application_id": credentials.application_id,
                "name": said.name,
                "secret": credentials.secret,
                "signing_secret": credentials.signing_secret,
            },
            201,
        )

    async def listed(self, request: Request) -> Response:
        await self._authorise(request, Scope.APPLICATIONS_READ)
        applications = await self._database.read(use_cases.listed)
        return plain_answer({"applications": [_shown(application) for application in applications]})

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.APPLICATIONS_READ)
        return plain_answer(_shown(await self._database.read(use_cases.find, _identifier(request))))

    async def rotate_secret(self, request: Request) -> Response:
        await self._authorise(request, Scope.APPLICATIONS_WRITE)
        application_id = _identifier(request)
        secret = await self._database.write(use_cases.rotate_secret, application_id)
        return _once({"application_id": application_id, "secret": secret})

    async def set_callback_ca(self, request: Request) -> Response:
        await self._authorise(request, Scope.APPLICATIONS_WRITE)
        said = decode_body(CallbackAuthorityRequest, await read_body(request))
        application_id = _identifier(request)
        await self._database.write(use_cases.set_callback_ca, application_id, said.callback_ca)
        return plain_answer(_shown(await self._database.read(use_cases.find, application_id)))


def _identifier(request: Request) -> ApplicationId:
    return ApplicationId(path_identifier(request, "application_id"))


def _once(shown: dict[str, str], status: int = 200) -> Response:
    answer = plain_answer(shown, status)
    answer.headers["cache-control"] = "no-store"
    return answer


def _shown(application: Application) -> dict[str, object]:
    return {
        "application_id": application.application_id,
        "name": application.name,
        "created_at": application.created_at,
        "frozen": application.frozen,
        "callback_ca": application.callback_ca,
    }
