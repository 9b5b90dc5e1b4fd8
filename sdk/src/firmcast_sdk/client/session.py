"""Pure: which requests a call needs, its token included, decided once for both senders.

A course is a generator: it yields `Send` to have a request sent and is sent the reply; it yields `Renew` to have the
token renewed by one caller at a time and is sent the token. A token is renewed before it ends, and once more when the
platform says that it is bad.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from firmcast_sdk.client import calls
from firmcast_sdk.client.calls import Call, Reply, Request
from firmcast_sdk.errors import NorthboundError
from firmcast_sdk.wire.authentication import TokenResponse
from firmcast_sdk.wire.errors import BAD_TOKEN

Result = TypeVar("Result")
LONGEST_MARGIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token and when to get the next one: a tenth of its life, at most a minute, before its end."""

    access_token: str
    refresh_token: str
    renew_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send this and hand back the reply."""

    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Run `Session.renewal` alone and hand back the token; `refused` is the one that the platform called bad."""

    refused: Token | None


Course = Generator[Send | Renew, Reply | Token, Result]
Renewal = Generator[Send, Reply, Token]


class Session:
    """An application's credentials and its current token. Its sender makes sure that one renewal runs at a time."""

    def __init__(self, *, app_id: str, secret: str, clock: Callable[[], datetime]) -> None:
        self._app_id = app_id
        self._secret = secret
        self._clock = clock
        self._token: Token | None = None

    def course(self, call: Call[Result]) -> Course[Result]:
        """The steps of one call, made with a good token; returns what its answer says."""
        token = self._token
        if token is None or self._clock() >= token.renew_at:
            token = _token((yield Renew(refused=None)))
        reply = _reply((yield Send(request=self._authorised(call.request, token))))
        try:
            return call.parse(reply)
        except NorthboundError as error:
            if error.code != BAD_TOKEN.code:
                raise
        token = _token((yield Renew(refused=token)))
        reply = _reply((yield Send(request=self._authorised(call.request, token))))
        return call.parse(reply)

    def renewal(self, refused: Token | None) -> Renewal:
        """The steps to a good token: none when another caller got one meanwhile, else a refresh, else a login."""
        token = self._token
        if token is not None and token is not refused and self._clock() < token.renew_at:
            return token
        if token is not None and token is not refused and token.refresh_token:
            try:
                return (yield from self._get(calls.refresh(self._app_id, self._secret, token.refresh_token)))
            except NorthboundError:
                pass  # a refresh token ends too; the secret does not
        return (yield from self.login())

    def login(self) -> Renewal:
        """The steps of a login, whatever the token."""
        return (yield from self._get(calls.login(self._app_id, self._secret)))

    def _get(self, call: Call[TokenResponse]) -> Renewal:
        asked_at = self._clock()
        response = call.parse((yield Send(request=call.request)))
        life = timedelta(seconds=max(0, min(response.expires_in, 10**9)))
        self._token = Token(
            access_token=response.access_token,
            refresh_token=response.refresh_token,
            renew_at=asked_at + life - min(life / 10, LONGEST_MARGIN),
        )
        return self._token

    def _authorised(self, request: Request, token: Token) -> Request:
        return calls.authorised(request, app_id=self._app_id, access_token=token.access_token)


def _token(answer: Reply | Token) -> Token:
    assert isinstance(answer, Token)
    return answer


def _reply(answer: Reply | Token) -> Reply:
    assert isinstance(answer, Reply)
    return answer
