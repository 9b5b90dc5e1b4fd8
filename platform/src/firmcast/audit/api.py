"""Who changed what: `/v1/audit`, the newest first. Nothing can be changed here."""

from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases
from firmcast.audit.model import ActorKind, AuditEntry, AuditFilter
from firmcast.db.page import Page
from firmcast.db.port import Database
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_REQUEST, INVALID_VALUE
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import decode_parameters
from firmcast.rest.times import requested_time
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.decoding import Hints, Short

_PAGE_SIZE = 100
_LARGEST_PAGE_SIZE = 1000


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"made_from": "from", "made_until": "until"}):
    """Which entries are wanted; what is not given matches all."""

    actor: Short = ""
    """The name of an administrator's token, or the id of an application."""
    action: Annotated[str, Hints(limit=64)] = ""
    """A whole action such as `application.create`, or its thing with the full stop: `application.`."""
    subject: Short = ""
    """The id of what was changed."""
    made_from: Annotated[str, Hints(limit=64)] = ""
    """RFC 3339; entries of this moment and later."""
    made_until: Annotated[str, Hints(limit=64)] = ""
    """RFC 3339; entries before this moment."""
    page: int | None = None
    page_size: int | None = None


class AuditEntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One change that was made."""

    entry_id: int
    made_at: datetime
    actor_kind: ActorKind
    actor: str
    action: str
    subject: str
    details: dict[str, str]


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of entries, the newest first."""

    entries: tuple[AuditEntryAnswer, ...]
    page: int
    page_size: int
    total: int


def endpoints(*, database: Database, authorise_administrator: AuthoriseAdministrator) -> list[Endpoint]:
    """Return the call of `/v1/audit`."""

    async def listed(request: Request) -> Response:
        await authorise_administrator(request, Scope.AUDIT_READ)
        said = decode_parameters(AuditQuery, request)
        page = requested_page(
            said.page,
            said.page_size,
            default_size=_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.PAGE_BEYOND_LIMIT,
        )
        wanted = AuditFilter(
            actor=said.actor,
            action=said.action,
            subject=said.subject,
            made_from=requested_time(said.made_from, "from"),
            made_until=requested_time(said.made_until, "until"),
        )
        entries, total = await database.read(use_cases.listed, wanted, Page(page.offset, page.size))
        shown = tuple(_shown(entry) for entry in entries)
        return plain_answer(AuditList(entries=shown, page=page.number, page_size=page.size, total=total))

    managed = partial(Endpoint, tag="audit", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR)
    return [
        managed(
            method="GET",
            path="/v1/audit",
            handler=listed,
            summary="List who changed what, the newest first",
            scope=Scope.AUDIT_READ,
            query=AuditQuery,
            answers=(Answer(body=AuditList),),
            errors=(INVALID_REQUEST, INVALID_VALUE),
        )
    ]


def _shown(entry: AuditEntry) -> AuditEntryAnswer:
    return AuditEntryAnswer(
        entry_id=entry.entry_id,
        made_at=entry.made_at,
        actor_kind=entry.actor.kind,
        actor=entry.actor.name,
        action=entry.action,
        subject=entry.subject,
        details=dict(entry.details),
    )
