"""Pure: which requests a call needs, its token and its retries included, decided once for both senders.

The steps of a call are a generator. It yields `Send` to have a request sent and is sent the reply or the failure,
`Wait` to have time pass, and `Renew` to have the token renewed by one caller at a time. A token is renewed before it
ends, and once more when the platform says that it is bad.
"""

from collections.abc import Callable, Generator
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from firmcast_sdk.client.call import Call, Repeat, Reply, Request, refusal_in
from firmcast_sdk.client.calls import authentication
from firmcast_sdk.client.retry import RetryPolicy
from firmcast_sdk.errors import (
    ClientError,
    NorthboundError,
    NotReachedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from firmcast_sdk.wire import headers
from firmcast_sdk.wire.authentication import TokenResponse
from firmcast_sdk.wire.errors import BAD_TOKEN

Result = TypeVar("Result")
LONGEST_MARGIN = timedelta(seconds=60)
LONGEST_LIFE = 10**9  # seconds; more would not fit a moment
TOKENS_TRIED = 3
"""By one try of a call: the platform may take away each token it gave, when others log in as the same application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token and when to get the next one: a tenth of its life, at most a minute, before its end."""

    access_token: str
    refresh_token: str
    renew_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send this, and hand back the reply or the failure."""

    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No reply came; `error` says whether the request can have reached the platform."""

    error: TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Let this time pass."""

    duration: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Take `Session.renewal(step)` alone, and hand back nothing.

    `refused` is the token that the platform called bad, `renewals` the number of renewals that had ended when this one
    was asked for.
    """

    refused: Token | None
    renewals: int


Steps = Generator[Send | Wait | Renew, Reply | Failed | None, Result]


class Session:
    """An application's credentials and its current token. Its sender makes sure that one renewal runs at a time."""

    def __init__(
        self,
        *,
        app_id: str,
        secret: str,
        policy: RetryPolicy,
        clock: Callable[[], datetime],
        make_key: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        for name, value in (("app_id", app_id), ("secret", secret)):
            if not value or not value.isascii() or not value.isprintable() or " " in value:
                raise ValueError(f"{name} must be printable ASCII without blanks")
        self._app_id = app_id
        self._secret = secret
        self._policy = policy
        self._clock = clock
        self._make_key = make_key
        self._token: Token | None = None
        self._renewals = 0
        self._last_failure: ClientError | None = None

    @property
    def has_token(self) -> bool:
        """Whether somebody is logged in, as far as is known."""
        return self._token is not None

    def call(self, call: Call[Result]) -> Steps[Result]:
        """The steps of one call, made with a good token; returns what its answer says."""
        request = call.request
        if call.repeat is Repeat.WITH_KEY and headers.IDEMPOTENCY_KEY not in request.headers:
            request = request.with_headers({headers.IDEMPOTENCY_KEY: self._make_key()})
        return (yield from self._tries(call, lambda: self._send_with_token(request)))

    def renewal(self, step: Renew) -> Steps[None]:
        """The steps to a good token: none when another caller got one meanwhile, else a refresh, else a login.

        Raises:
            ClientError: there is none to be had; who waited for a renewal that failed is told its error.
        """
        token = self._token
        if token is not None and token is not step.refused and self._clock() < token.renew_at:
            return
        if self._renewals != step.renewals and self._last_failure is not None:
            raise copy(self._last_failure)
        if token is not None and token is not step.refused and token.refresh_token:
            yield from self.refresh()
        else:
            yield from self.login()

    def login(self) -> Steps[None]:
        """The steps of a login, whatever the token."""
        yield from self._get(authentication.login(self._app_id, self._secret))

    def refresh(self) -> Steps[None]:
        """The steps to another token by the refresh token, or by a login when there is none or it does not hold."""
        token = self._token
        if token is not None and token.refresh_token:
            try:
                yield from self._get(authentication.refresh(self._app_id, self._secret, token.refresh_token))
            except (NotReachedError, ThrottledError):
                raise
            except ClientError:
                pass  # a refresh token ends too, and one whose answer was lost may be used up; the secret stays
            else:
                return
        yield from self.login()

    def logout(self) -> Steps[None]:
        """The steps that end the token: none when there is none. A token that is bad already is as good as ended."""
        token, self._token = self._token, None
        if token is None:
            return
        try:
            yield from self._tries_plain(authentication.logout(token.access_token))
        except NorthboundError as error:
            if error.code != BAD_TOKEN.code:
                raise

    def _get(self, call: Call[TokenResponse]) -> Steps[None]:
        asked_at = self._clock()
        try:
            response = yield from self._tries_plain(call)
        except ClientError as error:
            self._renewals += 1
            self._last_failure = error
            raise
        life = timedelta(seconds=max(0, min(response.expires_in, LONGEST_LIFE)))
        self._token = Token(
            access_token=response.access_token,
            refresh_token=response.refresh_token,
            renew_at=asked_at + life - min(life / 10, LONGEST_MARGIN),
        )
        self._renewals += 1
        self._last_failure = None

    def _tries_plain(self, call: Call[Result]) -> Steps[Result]:
        return self._tries(call, lambda: _send(call.request))

    def _tries(self, call: Call[Result], send: Callable[[], Steps[Reply | Failed]]) -> Steps[Result]:
        tried = 0
        waited = timedelta()
        parse = call.parse
        while True:
            answer = yield from send()
            tried += 1
            try:
                return parse(_reply(answer))
            except ClientError as error:
                wait = self._policy.wait(error, call.repeat, tried=tried, waited=waited)
                if wait is None:
                    raise
                if _may_have_acted(error):
                    parse = call.parse_repeated or call.parse
            waited += wait
            yield Wait(duration=wait)

    def _send_with_token(self, request: Request) -> Steps[Reply | Failed]:
        refused: Token | None = None
        for _ in range(TOKENS_TRIED - 1):
            token = yield from self._good_token(refused)
            answer = yield from _send(self._authorised(request, token))
            if not _is_bad_token(answer):
                return answer
            if refused is not None and self._token is token:
                return answer  # fresh, ours alone and refused all the same: another one will not help
            refused = token
        token = yield from self._good_token(refused)
        return (yield from _send(self._authorised(request, token)))

    def _good_token(self, refused: Token | None) -> Steps[Token]:
        token = self._token
        while token is None or token is refused or self._clock() >= token.renew_at:
            yield Renew(refused=refused, renewals=self._renewals)
            token = self._token
            if token is not None and token is not refused:
                return token  # just made, however short its life
        return token

    def _authorised(self, request: Request, token: Token) -> Request:
        proof = {headers.APP_KEY: self._app_id, headers.AUTHORIZATION: f"{headers.BEARER} {token.access_token}"}
        return request.with_headers(proof)


def _send(request: Request) -> Steps[Reply | Failed]:
    answer = yield Send(request=request)
    assert answer is not None
    return answer


def _reply(answer: Reply | Failed) -> Reply:
    if isinstance(answer, Failed):
        raise answer.error
    return answer


def _may_have_acted(error: ClientError) -> bool:
    """Whether a try that ended so may have done its work: not when it never arrived or was turned away."""
    match error:
        case NotReachedError():
            return False
        case NorthboundError() | UnexpectedAnswerError():
            return error.status in {502, 504}
        case _:
            return True


def _is_bad_token(answer: Reply | Failed) -> bool:
    return isinstance(answer, Reply) and (refusal_in(answer) or ("",))[0] == BAD_TOKEN.code
