"""Tokens of administrators: `/v1/administrators`; and which one a caller holds: `/v1/whoami`."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.administrators import use_cases
from firmcast.administrators.model import AdministratorToken
from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError, StoreFullError
from firmcast.ids import AdministratorTokenId
from firmcast.rest.answers import no_content, plain_answer, shown_once
from firmcast.rest.authentication import OPERATOR, Administrator, AuthoriseAdministrator, FindAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import CONFLICT, INVALID_REQUEST, INVALID_VALUE, NOT_ALLOWED, NOT_FOUND
from firmcast.rest.requests import decode_known_body, path_identifier, read_body
from firmcast.rest.times import requested_time
from firmcast_sdk.wire.decoding import Hints

_BODY_LIMIT = 1 << 16


class NewAdministratorRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that makes a token."""

    name: Annotated[str, Hints(limit=256, filled=True)]
    scopes: Annotated[tuple[Annotated[str, Hints(limit=64)], ...], Hints(limit=64)]
    expires_at: Annotated[str, Hints(limit=64)] = ""
    """RFC 3339; empty for never."""


class AdministratorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without itself."""

    token_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime | None
    """None for the operator's own, which the settings hold."""
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None


class NewAdministratorAnswer(AdministratorAnswer, frozen=True, kw_only=True):
    """A token that was made; `token` is shown this once."""

    token: str


class AdministratorList(msgspec.Struct, frozen=True, kw_only=True):
    """Every token, the operator's own first."""

    administrators: tuple[AdministratorAnswer, ...]


class WhoamiAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The token that a call was made with."""

    token_id: str
    name: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None


def token_holder(database: Database, clock: Clock) -> FindAdministrator:
    """Return what finds out who holds a token; its use is noted once a minute, so a call seldom writes."""

    async def find(token: str) -> Administrator | None:
        now = clock.now()
        found = await database.read(use_cases.holder, token, now)
        if found is None:
            return None
        if use_cases.use_is_to_be_noted(found, now):
            with contextlib.suppress(StoreFullError):  # on a full disk administrators are needed most
                await database.write(use_cases.note_use, found.token_id, now)
        return Administrator(token_id=found.token_id, name=found.name, scopes=found.scopes, expires_at=found.expires_at)

    return find


def endpoints(*, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator) -> list[Endpoint]:
    """Return the calls of `/v1/administrators` and `/v1/whoami`."""
    calls = _AdministratorCalls(database, clock, authorise_administrator)
    managed = partial(Endpoint, tag="administrators", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR)
    one = "/v1/administrators/{token_id}"
    names = {"token_id": "the id of a token, not the token itself"}
    return [
        managed(
            method="POST",
            path="/v1/administrators",
            handler=calls.create,
            summary="Make a token for an administrator; it is shown this once",
            scope=Scope.ADMINISTRATORS_WRITE,
            body=NewAdministratorRequest,
            answers=(Answer(status=201, body=NewAdministratorAnswer),),
            errors=(INVALID_REQUEST, INVALID_VALUE, NOT_ALLOWED, CONFLICT),
        ),
        managed(
            method="GET",
            path="/v1/administrators",
            handler=calls.listed,
            summary="List the tokens of administrators",
            scope=Scope.ADMINISTRATORS_READ,
            answers=(Answer(body=AdministratorList),),
        ),
        managed(
            method="GET",
            path=one,
            handler=calls.find,
            summary="Show a token of an administrator",
            scope=Scope.ADMINISTRATORS_READ,
            answers=(Answer(body=AdministratorAnswer),),
            errors=(NOT_FOUND,),
            path_descriptions=names,
        ),
        managed(
            method="DELETE",
            path=one,
            handler=calls.delete,
            summary="Revoke a token of an administrator, at once",
            scope=Scope.ADMINISTRATORS_WRITE,
            answers=(Answer(status=204),),
            errors=(NOT_FOUND, CONFLICT),
            path_descriptions=names,
        ),
        managed(
            method="GET",
            path="/v1/whoami",
            handler=calls.whoami,
            summary="Show the token that this call is made with",
            answers=(Answer(body=WhoamiAnswer),),
        ),
    ]


class _AdministratorCalls:
    def __init__(self, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator

    async def create(self, request: Request) -> Response:
        maker = await self._authorise(request, Scope.ADMINISTRATORS_WRITE)
        said = decode_known_body(NewAdministratorRequest, await read_body(request, _BODY_LIMIT))
        scopes = _scopes(said.scopes)
        expires_at = requested_time(said.expires_at, "expires_at")
        now = self._clock.now()

        async def change(tx: Transaction) -> tuple[AdministratorToken, str]:
            made, token = await use_cases.create(
                tx, name=said.name, scopes=scopes, expires_at=expires_at, maker=maker, now=now
            )
            details = {"name": made.name, "scopes": " ".join(sorted(made.scopes))}
            if expires_at is not None:
                details["expires_at"] = expires_at.isoformat()
            await audit.record(tx, administrator(maker.name), "administrator.create", made.token_id, now, details)
            return made, token

        made, token = await self._database.write(change)
        return shown_once(_shown_with(made, token), 201)

    async def listed(self, request: Request) -> Response:
        await self._authorise(request, Scope.ADMINISTRATORS_READ)
        tokens = await self._database.read(use_cases.listed)
        shown = (_OPERATORS_OWN, *(_shown(token) for token in tokens))
        return plain_answer(AdministratorList(administrators=shown))

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.ADMINISTRATORS_READ)
        token_id = _token_id(request)
        if token_id == OPERATOR.token_id:
            return plain_answer(_OPERATORS_OWN)
        return plain_answer(_shown(await self._database.read(use_cases.find, token_id)))

    async def delete(self, request: Request) -> Response:
        caller = await self._authorise(request, Scope.ADMINISTRATORS_WRITE)
        token_id, now = _token_id(request), self._clock.now()

        async def change(tx: Transaction) -> None:
            gone = await use_cases.delete(tx, token_id)
            details = {"name": gone.name}
            await audit.record(tx, administrator(caller.name), "administrator.delete", token_id, now, details)

        await self._database.write(change)
        return no_content()

    async def whoami(self, request: Request) -> Response:
        caller = await self._authorise(request, None)
        return plain_answer(
            WhoamiAnswer(
                token_id=caller.token_id,
                name=caller.name,
                scopes=tuple(sorted(caller.scopes)),
                expires_at=caller.expires_at,
            )
        )


_OPERATORS_OWN = AdministratorAnswer(
    token_id=OPERATOR.token_id,
    name=OPERATOR.name,
    scopes=tuple(sorted(OPERATOR.scopes)),
    created_at=None,
    created_by="",
    expires_at=None,
    last_used_at=None,
)


def _shown(token: AdministratorToken) -> AdministratorAnswer:
    return AdministratorAnswer(
        token_id=token.token_id,
        name=token.name,
        scopes=tuple(sorted(token.scopes)),
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )


def _shown_with(token: AdministratorToken, secret: str) -> NewAdministratorAnswer:
    return NewAdministratorAnswer(**msgspec.structs.asdict(_shown(token)), token=secret)


def _token_id(request: Request) -> AdministratorTokenId:
    return AdministratorTokenId(path_identifier(request, "token_id"))


def _scopes(words: Sequence[str]) -> frozenset[Scope]:
    try:
        return frozenset(Scope(word) for word in words)
    except ValueError:
        raise InvalidValueError("scopes", f"each is one of {', '.join(Scope)}") from None
