"""Replays over HTTP: `/v1/replays` orders them and tells how far they have come."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError, NotFoundError
from firmcast.ids import ApplicationId, DeviceId, ReplayId, SubscriptionId
from firmcast.push.replay import use_cases
from firmcast.push.replay.model import ReplayState
from firmcast.push.replay.orders import ReplayWish, order_of
from firmcast.push.replay.use_cases import ReplayNow
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import CONFLICT, INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import decode_known_body, decode_parameters, path_identifier, read_body
from firmcast.rest.times import requested_time
from firmcast.subscriptions.api import EVENT_TYPES
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.decoding import Hints, Short
from firmcast_sdk.wire.subscriptions import SubscribableType

_PAGE_SIZE: Final = 100
_LARGEST_PAGE_SIZE: Final = 1000
_BODY_LIMIT: Final = 1 << 14
_MOST_COUNTED: Final = 10_000
_FASTEST: Final = 10_000
_LARGEST_ID: Final = (1 << 63) - 1

ShownState = Literal["waiting", "running", "finished", "cancelled", "failed"]


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that has history told again: to one subscription, or to those of an application."""

    subscription_id: Short = ""
    application_id: Short = ""
    notify_types: Annotated[tuple[SubscribableType, ...], Hints(limit=64)] = ()
    """With an application: only its subscriptions of these types."""
    device_id: Short = ""
    """Only what happened to this device."""
    since: Annotated[str, Hints(limit=64)] = ""
    """RFC 3339: only what occurred at this time or later."""
    until: Annotated[str, Hints(limit=64)] = ""
    """RFC 3339: only what occurred before this time."""
    rate: Annotated[int | None, Hints(least=1, most=_FASTEST)] = None
    """Deliveries a second at the most; as the settings say without it."""


class ReplayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which replays are wanted."""

    application_id: Short = ""
    page: int | None = None
    page_size: int | None = None


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A replay."""

    replay_id: int
    application_id: str
    subscription_ids: tuple[str, ...]
    device_id: str | None
    since: datetime | None
    until: datetime | None
    rate: int
    state: ShownState
    """`waiting` while an older one of the application runs, or none of its subscriptions is called; `failed` when no
    subscription of it is left."""
    queued: int
    """Deliveries that were made of it."""
    outstanding: int
    """Of them, those that have not arrived yet; 10000 for as many and more."""
    passed_over: int
    """Events that were still on their way to the subscription, and were left alone."""
    incomplete: bool
    """Whether the log no longer held all that was asked for."""
    created_at: datetime
    created_by: str
    ended_at: datetime | None


class ReplayList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of replays, the latest first."""

    replays: tuple[ReplayAnswer, ...]
    page: int
    page_size: int
    total: int


def endpoints(
    *, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator, usual_rate: int
) -> list[Endpoint]:
    """Return the calls of replays; one is told `usual_rate` deliveries a second unless it is said otherwise."""
    calls = _ReplayCalls(database, clock, authorise_administrator, usual_rate)
    managed = partial(Endpoint, tag="push", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR)
    one = partial(managed, path_descriptions={"replay_id": "the number of a replay"})
    return [
        managed(
            method="POST",
            path="/v1/replays",
            handler=calls.start,
            summary="Tell history again to one subscription, or to those of an application",
            description=(
                "What had been committed when this was asked for is told, in the order of each device, with the header"
                " `firmcast-replay: true`; what comes later is told live, and before it. An event may be older than the"
                " subscription. What is still on its way is left alone. One replay of an application runs at a time."
            ),
            scope=Scope.PUSH_WRITE,
            body=ReplayRequest,
            answers=(Answer(status=201, body=ReplayAnswer),),
            errors=(INVALID_REQUEST, INVALID_VALUE, NOT_FOUND),
        ),
        managed(
            method="GET",
            path="/v1/replays",
            handler=calls.listed,
            summary="List the replays, the latest first",
            scope=Scope.PUSH_READ,
            query=ReplayQuery,
            answers=(Answer(body=ReplayList),),
            errors=(INVALID_REQUEST,),
        ),
        one(
            method="GET",
            path="/v1/replays/{replay_id}",
            handler=calls.find,
            summary="Show how far a replay has come",
            scope=Scope.PUSH_READ,
            answers=(Answer(body=ReplayAnswer),),
            errors=(NOT_FOUND,),
        ),
        one(
            method="POST",
            path="/v1/replays/{replay_id}/cancel",
            handler=calls.cancel,
            summary="End a replay: what it has not sent is not sent any more",
            scope=Scope.PUSH_WRITE,
            answers=(Answer(body=ReplayAnswer),),
            errors=(NOT_FOUND, CONFLICT),
        ),
    ]


class _ReplayCalls:
    def __init__(
        self, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator, usual_rate: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._usual_rate = usual_rate

    async def start(self, request: Request) -> Response:
        actor = administrator((await self._authorise(request, Scope.PUSH_WRITE)).name)
        said = decode_known_body(ReplayRequest, await read_body(request, _BODY_LIMIT))
        wish = self._wish(said)

        async def change(tx: Transaction) -> ReplayNow:
            order, now = await order_of(tx, wish), self._clock.now()
            replay_id = await use_cases.start(tx, order, now, actor.name)
            await audit.record(tx, actor, "replay.create", str(replay_id), now, _details(said))
            return await use_cases.find(tx, replay_id, _MOST_COUNTED)

        return plain_answer(_shown(await self._database.write(change)), status=201)

    async def listed(self, request: Request) -> Response:
        await self._authorise(request, Scope.PUSH_READ)
        said = decode_parameters(ReplayQuery, request)
        page = requested_page(
            said.page,
            said.page_size,
            default_size=_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.PAGE_BEYOND_LIMIT,
        )
        application_id = ApplicationId(said.application_id) if said.application_id else None
        found, total = await self._database.read(
            use_cases.listed, application_id, Page(page.offset, page.size), _MOST_COUNTED
        )
        shown = tuple(_shown(item) for item in found)
        return plain_answer(ReplayList(replays=shown, page=page.number, page_size=page.size, total=total))

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.PUSH_READ)
        found = await self._database.read(use_cases.find, _replay_id(request), _MOST_COUNTED)
        return plain_answer(_shown(found))

    async def cancel(self, request: Request) -> Response:
        actor = administrator((await self._authorise(request, Scope.PUSH_WRITE)).name)
        replay_id = _replay_id(request)

        async def change(tx: Transaction) -> ReplayNow:
            now = self._clock.now()
            await use_cases.cancel(tx, replay_id, now)
            await audit.record(tx, actor, "replay.cancel", str(replay_id), now)
            return await use_cases.find(tx, replay_id, _MOST_COUNTED)

        return plain_answer(_shown(await self._database.write(change)))

    def _wish(self, said: ReplayRequest) -> ReplayWish:
        if bool(said.subscription_id) == bool(said.application_id):
            raise InvalidValueError("subscription_id", "give a subscription or an application, not both")
        if said.subscription_id and said.notify_types:
            raise InvalidValueError("notify_types", "a subscription has one type; these choose those of an application")
        since, until = requested_time(said.since, "since"), requested_time(said.until, "until")
        if since is not None and until is not None and since >= until:
            raise InvalidValueError("until", "must be later than since")
        return ReplayWish(
            subscription_id=SubscriptionId(said.subscription_id) if said.subscription_id else None,
            application_id=ApplicationId(said.application_id) if said.application_id else None,
            event_types=frozenset(EVENT_TYPES[each] for each in said.notify_types),
            device_id=DeviceId(said.device_id) if said.device_id else None,
            since=since,
            until=until,
            rate=said.rate or self._usual_rate,
        )


def _details(said: ReplayRequest) -> dict[str, str]:
    """Return what was asked for, as an audit entry has it."""
    asked = msgspec.structs.asdict(said) | {"notify_types": ", ".join(said.notify_types)}
    return {name: str(value) for name, value in asked.items() if value}


def _replay_id(request: Request) -> ReplayId:
    text = path_identifier(request, "replay_id")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    if not 0 < number <= _LARGEST_ID:
        raise NotFoundError("replay", text)
    return ReplayId(number)


def _shown(found: ReplayNow) -> ReplayAnswer:
    replay, order = found.replay, found.replay.order
    return ReplayAnswer(
        replay_id=replay.replay_id,
        application_id=order.application_id,
        subscription_ids=order.subscription_ids,
        device_id=order.device_id,
        since=order.since,
        until=order.until,
        rate=order.rate,
        state=_shown_state(found),
        queued=replay.queued,
        outstanding=found.outstanding,
        passed_over=replay.passed_over,
        incomplete=replay.incomplete,
        created_at=replay.created_at,
        created_by=replay.created_by,
        ended_at=replay.ended_at,
    )


def _shown_state(found: ReplayNow) -> ShownState:
    match found.replay.state:
        case ReplayState.OPEN:
            return "waiting" if found.waits else "running"
        case ReplayState.FINISHED:
            return "finished"
        case ReplayState.CANCELLED:
            return "cancelled"
        case ReplayState.FAILED:
            return "failed"
