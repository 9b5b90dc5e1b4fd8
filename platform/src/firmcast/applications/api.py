"""Login, refresh and logout of applications. Contract page, section 2."""

from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from firmcast.applications import logins
from firmcast.applications.model import Application, FrozenError, IssuedTokens, RefreshTokenError
from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.errors import NotAllowedError
from firmcast.ids import ApplicationId
from firmcast.rest.answers import empty_answer, wire_answer
from firmcast.rest.authentication import CheckToken, LimitCalls
from firmcast.rest.endpoints import FORM, Answer, Endpoint, Proof
from firmcast.rest.errors import ApiError
from firmcast.rest.requests import decode_body, decode_pairs, read_body
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

Result = TypeVar("Result")


def token_check(database: Database, clock: Clock) -> CheckToken:
    """Return what tells whether an access token is an application's."""

    async def check(application_id: ApplicationId, access_token: str) -> Application:
        try:
            return await database.read(logins.authenticate, application_id, access_token, clock.now())
        except FrozenError as error:
            raise ApiError(wire.APPLICATION_FROZEN, str(error)) from None

    return check


def endpoints(*, database: Database, clock: Clock, settings: RestSettings, limit_calls: LimitCalls) -> list[Endpoint]:
    """Return the calls of login, refresh and logout."""
    calls = _TokenCalls(database, clock, settings, limit_calls)
    issued = (Answer(body=TokenResponse),)
    return [
        Endpoint(
            method="POST",
            path=LOGIN_PATH,
            handler=calls.login,
            summary="Log an application in; access tokens of its earlier logins end",
            tag="authentication",
            proof=Proof.NONE,
            description="The form may also come as a JSON object.",
            body=LoginRequest,
            body_media_type=FORM,
            answers=issued,
            errors=(
                wire.REQUIRED_PARAMETER_MISSING,
                wire.INPUT_INVALID,
                wire.BAD_REQUEST_MESSAGE,
                wire.APP_ID_OR_SECRET_WRONG,
                wire.APPLICATION_FROZEN,
                wire.THROTTLED,
            ),
        ),
        Endpoint(
            method="POST",
            path=REFRESH_PATH,
            handler=calls.refresh,
            summary="Give new tokens for a refresh token, which ends",
            tag="authentication",
            proof=Proof.NONE,
            body=RefreshRequest,
            answers=issued,
            errors=(
                wire.INPUT_INVALID,
                wire.APP_ID_OR_SECRET_WRONG,
                wire.REFRESH_FAILED,
                wire.APPLICATION_FROZEN,
                wire.THROTTLED,
            ),
        ),
        Endpoint(
            method="POST",
            path=LOGOUT_PATH,
            handler=calls.logout,
            summary="End an access token",
            tag="authentication",
            proof=Proof.NONE,
            body=LogoutRequest,
            errors=(wire.INPUT_INVALID,),
        ),
    ]


class _TokenCalls:
    def __init__(self, database: Database, clock: Clock, settings: RestSettings, limit_calls: LimitCalls) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._limit_calls = limit_calls

    async def _admit(self, application_id: ApplicationId, secret: str) -> None:
        """Count a call only once its secret is proven: else a stranger who knows an id could use up its calls."""
        await _proven(self._database.read(logins.prove, application_id, secret, self._clock.now()))
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
                logins.login,
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
                logins.refresh,
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
        await self._database.write(logins.logout, said.access_token)
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
