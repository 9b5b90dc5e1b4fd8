"""`/v1/devices/{device}/timeline`: why a device is where it is. Nothing can be changed here.

Who may see upgrades may see it; what is of pushes is left out for whoever may not see those.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.clock import Clock
from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Database
from firmcast.errors import InvalidValueError
from firmcast.ids import DeviceUpgradeId
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import decode_parameters, path_identifier
from firmcast.rest.times import requested_time
from firmcast.timeline import reading
from firmcast.timeline.details import details
from firmcast.timeline.model import Cursor, Entry, EntryKind, Present, Timeline, Wanted
from firmcast.timeline.words import line, present_lines
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.decoding import Short

_PAGE_SIZE: Final = 100
_LARGEST_PAGE_SIZE: Final = 1000
_CURSOR: Final = re.compile(r"([0-9]{1,17})-([0-9]{1,9})")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=1)
_FAR_FUTURE: Final = datetime(9000, 1, 1, tzinfo=UTC)


class TimelineQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the history is wanted; without arguments the latest."""

    upgrade: Short = ""
    """Only what is of this device upgrade (subOperationId)."""
    since: Short = ""
    """RFC 3339; entries of this moment and later."""
    until: Short = ""
    """RFC 3339; entries before this moment."""
    oldest_first: bool = False
    after: Short = ""
    """Where the page before ended: its `next`."""
    page_size: int | None = None


class OpenUpgradeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An upgrade of the device that has not ended."""

    device_upgrade_id: str
    task_id: str
    phase: str
    attempt: int
    order: str
    """What waits for the device to be carried out; empty for nothing."""
    deadline_at: datetime | None
    """When it is looked at next."""
    phase_ends_at: datetime | None


class RegistrationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The device's live registration."""

    registered_at: datetime
    updated_at: datetime
    expires_at: datetime
    address: str
    binding: str
    queue_mode: bool
    lwm2m_version: str
    is_secure: bool


class PresentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Where the device is now."""

    registration: RegistrationAnswer | None
    """Null while it has none."""
    upgrades: tuple[OpenUpgradeAnswer, ...]
    deliveries_waiting: int
    """Events of it that wait to be pushed."""
    text: tuple[str, ...]
    """The same in sentences."""


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    at: datetime
    kind: EntryKind
    device_upgrade_id: str
    """Empty for what is of no upgrade."""
    text: str
    details: object
    """What the text was made of; its members depend on the kind."""


class TimelineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a device's history."""

    device_id: str
    endpoint_name: str
    application_id: str
    present: PresentAnswer
    entries: tuple[EntryAnswer, ...]
    left_out: tuple[str, ...]
    """Kinds that the token does not allow to be seen."""
    next: str | None
    """What to give as `after` for the page behind this one; null on the last."""


def endpoints(*, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator) -> list[Endpoint]:
    """Return the call."""

    async def timeline(request: Request) -> Response:
        holder = await authorise_administrator(request, Scope.UPGRADES_READ)
        wanted = _wanted(decode_parameters(TimelineQuery, request), with_pushes=Scope.PUSH_READ in holder.scopes)
        now = clock.now()
        found = await database.read(reading.timeline, path_identifier(request, "device"), wanted, now)
        return plain_answer(_shown(found, wanted, now))

    return [
        Endpoint(
            method="GET",
            path="/v1/devices/{device}/timeline",
            handler=timeline,
            summary="Show why a device is where it is: everything that is known of it, on one line of time",
            description=(
                "Exchanges with the device, its package's way to it, decisions of the state machine, events, pushes and"
                " their answers, the newest first. The journal of exchanges and decisions is kept for"
                " `retention.journal`, and the latest of each device only. Pushes need a token with `push:read` too."
            ),
            tag="devices",
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.UPGRADES_READ,
            query=TimelineQuery,
            answers=(Answer(body=TimelineAnswer),),
            errors=(INVALID_REQUEST, INVALID_VALUE, NOT_FOUND),
            path_descriptions={"device": "The id of a device, or its endpoint name."},
        )
    ]


def _wanted(said: TimelineQuery, *, with_pushes: bool) -> Wanted:
    page = requested_page(
        None, said.page_size, default_size=_PAGE_SIZE, largest_size=_LARGEST_PAGE_SIZE, beyond=wire.PAGE_BEYOND_LIMIT
    )
    return Wanted(
        begin=requested_time(said.since, "since") or _LONG_AGO,
        end=requested_time(said.until, "until") or _FAR_FUTURE,
        device_upgrade_id=DeviceUpgradeId(said.upgrade) if said.upgrade else None,
        newest_first=not said.oldest_first,
        limit=page.size,
        after=_cursor(said.after),
        with_pushes=with_pushes,
    )


def _cursor(word: str) -> Cursor | None:
    if not word:
        return None
    found = _CURSOR.fullmatch(word)
    if found is None:
        raise InvalidValueError("after", "must be the `next` of a page")
    return Cursor(moment=from_column(int(found[1])), passed=int(found[2]))


def _shown(found: Timeline, wanted: Wanted, now: datetime) -> TimelineAnswer:
    device, after = found.present.device, found.next
    return TimelineAnswer(
        device_id=device.device_id,
        endpoint_name=device.endpoint_name,
        application_id=device.application_id,
        present=_present(found.present, now),
        entries=tuple(_entry(entry) for entry in found.entries),
        left_out=() if wanted.with_pushes else (EntryKind.PUSH.value, EntryKind.DEAD_LETTER.value),
        next=None if after is None else f"{to_column(after.moment)}-{after.passed}",
    )


def _present(present: Present, now: datetime) -> PresentAnswer:
    registration = present.registration
    orders = {command.device_upgrade_id: command.kind.value for command in present.commands}
    return PresentAnswer(
        registration=None
        if registration is None
        else RegistrationAnswer(
            registered_at=registration.registered_at,
            updated_at=registration.updated_at,
            expires_at=registration.expires_at,
            address=f"{registration.host} {registration.port}",
            binding=registration.binding,
            queue_mode=registration.queue_mode,
            lwm2m_version=registration.lwm2m_version,
            is_secure=registration.is_secure,
        ),
        upgrades=tuple(
            OpenUpgradeAnswer(
                device_upgrade_id=upgrade.device_upgrade_id,
                task_id=upgrade.task_id,
                phase=upgrade.phase.value,
                attempt=upgrade.attempt,
                order=orders.get(upgrade.device_upgrade_id, ""),
                deadline_at=upgrade.deadline_at,
                phase_ends_at=upgrade.phase_ends_at,
            )
            for upgrade in present.upgrades
        ),
        deliveries_waiting=present.deliveries_waiting,
        text=tuple(present_lines(present, now)),
    )


def _entry(entry: Entry) -> EntryAnswer:
    return EntryAnswer(
        at=entry.at,
        kind=entry.kind,
        device_upgrade_id=entry.device_upgrade_id or "",
        text=line(entry),
        details=details(entry),
    )
