"""How an application asks for its events: a page, with or without waiting for it, or a stream that goes on.

Both give the same items in the same order, with the marks that pushes carry in headers; subscriptions have no part in
it. The calls are ours, and refuse in the contract's form like all calls of applications.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from firmcast.applications import use_cases as applications
from firmcast.db.port import Database
from firmcast.errors import InvalidValueError, StoreUnreachableError
from firmcast.events.model import EventFilter, EventType, StoredEvent
from firmcast.feed.cursor import parse_cursor, spell_cursor
from firmcast.feed.event_feed import CursorExpiredError, EventFeed, Wanted
from firmcast.feed.event_stream import (
    EVENT_STREAM,
    EventStreamResponse,
    departure,
    told_beginning,
    told_end,
    told_event,
    told_life,
)
from firmcast.feed.places import NoPlaceError, Places
from firmcast.ids import ApplicationId, DeviceId, EventId
from firmcast.rest.answers import encode_told, wire_answer
from firmcast.rest.authentication import Authenticate, AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_VALUE, NOT_FOUND, ApiError, ManagementError
from firmcast.rest.requests import decode_parameters, path_identifier
from firmcast.subscriptions.api import EVENT_TYPES
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire import feed as wire_feed
from firmcast_sdk.wire.feed import FeedItem, FeedPage, FeedQuery, FeedStart, StreamQuery
from firmcast_sdk.wire.notify_types import NotifyType
from firmcast_sdk.wire.subscriptions import SubscribableType
from firmcast_sdk.wire.times import format_moment

_NOTIFY_TYPES: Final = MappingProxyType({event_type: name for name, event_type in EVENT_TYPES.items()})
_STREAM_PART: Final = 100
"""Events that a stream reads at one time: what it holds for a reader who is slow."""
LIFE_SECONDS: Final = 15.0
"""Between two signs of life, and two looks at the proof of who reads."""
_TAG: Final = "events"
_REFUSALS: Final = (
    wire.INPUT_INVALID,
    wire_feed.CURSOR_UNKNOWN,
    wire_feed.CURSOR_EXPIRED,
    wire_feed.TOO_MANY_RECEIVERS,
)
_PAGE: Final = """\
The application's events in the order of the log, each as it is pushed; subscriptions do not matter. Without `after`
the feed begins with what happens from now on, or with the oldest event that is kept (`from=beginning`). Each answer
names the `cursor` to go on after; one that is older than what is kept is refused with 410, and
`firmcast-oldest-cursor` names the one to go on after instead. With `wait` an answer without events comes only after so
many seconds. `body` is the body of a push as a text: its UTF-8 bytes are those that are pushed."""
_STREAM: Final = """\
The same events as Server-Sent Events, for as long as the connection and the access token last: `data` is one item of
a page, `id` its cursor. An `id` without data comes at least every 15 seconds. A client that comes back sends the last
`id` as `Last-Event-ID`, which counts before `after`."""

Refuse = Callable[..., ApiError]


def endpoints(
    *,
    database: Database,
    feed: EventFeed,
    authenticate: Authenticate,
    prove: Authenticate,
    authorise_administrator: AuthoriseAdministrator,
    receivers: int,
    life_seconds: float = LIFE_SECONDS,
) -> list[Endpoint]:
    """Return the calls; `authenticate` counts a call, `prove` only looks at who makes it."""
    calls = _FeedCalls(database, feed, authenticate, prove, authorise_administrator, Places(receivers), life_seconds)
    return [
        Endpoint(
            method="GET",
            path=wire_feed.FEED_PATH,
            handler=calls.page,
            summary="Read the application's events after a cursor, or wait for some",
            tag=_TAG,
            description=_PAGE,
            query=FeedQuery,
            answers=(Answer(body=FeedPage),),
            errors=_REFUSALS,
        ),
        Endpoint(
            method="GET",
            path=wire_feed.STREAM_PATH,
            handler=calls.stream,
            summary="Follow the application's events",
            tag=_TAG,
            description=_STREAM,
            query=StreamQuery,
            headers=(wire_feed.LAST_EVENT_ID,),
            answers=(Answer(media_type=EVENT_STREAM, description="Events, until the connection ends."),),
            errors=_REFUSALS,
        ),
        Endpoint(
            method="GET",
            path="/v1/applications/{application_id}/events",
            handler=calls.page_for_operator,
            summary="Read an application's events after a cursor, or wait for some",
            tag=_TAG,
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.PUSH_READ,
            description=_PAGE,
            query=FeedQuery,
            answers=(Answer(body=FeedPage),),
            errors=(INVALID_VALUE, NOT_FOUND, *_REFUSALS[1:]),
        ),
    ]


@dataclass(frozen=True, slots=True)
class _FeedCalls:
    database: Database
    feed: EventFeed
    authenticate: Authenticate
    prove: Authenticate
    authorise_administrator: AuthoriseAdministrator
    places: Places
    life_seconds: float

    async def page(self, request: Request) -> Response:
        application_id = await self.authenticate(request)
        return await self._page(request, application_id, application_id, ApiError)

    async def page_for_operator(self, request: Request) -> Response:
        holder = await self.authorise_administrator(request, Scope.PUSH_READ)
        application_id = ApplicationId(path_identifier(request, "application_id"))
        await self.database.read(applications.find, application_id)
        return await self._page(request, application_id, f"administrator {holder.token_id}", ManagementError)

    async def stream(self, request: Request) -> Response:
        application_id = await self.authenticate(request)
        said = decode_parameters(StreamQuery, request)
        resumed = request.headers.get(wire_feed.LAST_EVENT_ID, "").strip()
        wanted = Wanted(application_id=application_id, events=_filter(said), limit=_STREAM_PART)
        # Who comes back asks again for what he asked for at first, and adds where he is.
        after = await self._start(resumed or said.after, None if resumed else said.start, ApiError)
        try:
            await self.feed.require_kept(after)
            place = self.places.take(application_id)
        except CursorExpiredError as error:
            raise _expired(error, ApiError) from None
        except NoPlaceError as error:
            raise _no_place(error, ApiError) from None
        return EventStreamResponse(self._parts(request, wanted, after), place)

    async def _page(self, request: Request, application_id: ApplicationId, who: str, refuse: Refuse) -> Response:
        said = decode_parameters(FeedQuery, request)
        limit = wire_feed.DEFAULT_PAGE_SIZE if said.limit is None else said.limit
        wanted = Wanted(application_id=application_id, events=_filter(said), limit=limit)
        after = await self._start(said.after, said.start, refuse)
        try:
            if said.wait:
                gone = asyncio.ensure_future(departure(request.receive))
                try:
                    with self.places.take(who):
                        found = await self.feed.next(wanted, after, seconds=said.wait, gone=gone)
                finally:
                    gone.cancel()
            else:
                found = await self.feed.next(wanted, after, seconds=0)
        except CursorExpiredError as error:
            raise _expired(error, refuse) from None
        except NoPlaceError as error:
            raise _no_place(error, refuse) from None
        page = FeedPage(
            events=tuple(map(_item, found.events)),
            cursor=spell_cursor(found.reached),
            more=self.feed.has_more(found.reached),
        )
        return wire_answer(page)

    async def _start(self, cursor: str | None, start: FeedStart | None, refuse: Refuse) -> EventId:
        if cursor is None:
            beginning = start is FeedStart.BEGINNING
            return await (self.feed.beginning() if beginning else self.feed.end())
        if start is not None:
            raise InvalidValueError("from", "does not go with a cursor")
        try:
            return await self.feed.known(parse_cursor(cursor))
        except InvalidValueError as error:
            raise refuse(wire_feed.CURSOR_UNKNOWN, str(error)) from None

    async def _parts(self, request: Request, wanted: Wanted, after: EventId) -> AsyncGenerator[bytes, None]:
        now = asyncio.get_running_loop().time
        yield told_beginning(spell_cursor(after))
        proven_until = now() + self.life_seconds
        while not self.feed.is_closed:
            try:
                if now() >= proven_until:
                    await self.prove(request)
                    proven_until = now() + self.life_seconds
                found = await self.feed.next(wanted, after, seconds=max(0.0, proven_until - now()))
            except (ApiError, CursorExpiredError) as error:
                yield told_end(str(error))
                return
            except StoreUnreachableError:
                yield told_end("the store does not answer; come back after the last id")
                return
            after = found.reached
            told = b"".join(
                told_event(spell_cursor(event.event_id), encode_told(_item(event))) for event in found.events
            )
            yield told or told_life(spell_cursor(after))


def _filter(said: StreamQuery) -> EventFilter:
    named = [word.strip() for word in (said.notify_type or "").split(",")]
    try:
        event_types = frozenset(EVENT_TYPES[SubscribableType(word)] for word in named if word)
    except ValueError:
        raise InvalidValueError("notify_type", "names a type that the contract does not know") from None
    return EventFilter(event_types=event_types, device_id=DeviceId(said.device_id) if said.device_id else None)


def _item(event: StoredEvent) -> FeedItem:
    return FeedItem(
        cursor=spell_cursor(event.event_id),
        webhook_id=event.message_id,
        sequence=event.sequence,
        notify_type=_notify_type(event.event_type),
        device_id=event.device_id,
        occurred_at=format_moment(event.occurred_at),
        synthesised=event.synthesised,
        body=event.body.decode(),
    )


def _notify_type(event_type: EventType) -> NotifyType:
    return NotifyType(_NOTIFY_TYPES[event_type].value)


def _expired(error: CursorExpiredError, refuse: Refuse) -> ApiError:
    oldest = spell_cursor(error.begins_after)
    reason = f"the log begins after {oldest}"
    return refuse(wire_feed.CURSOR_EXPIRED, reason, headers={wire_feed.OLDEST_CURSOR: oldest})


def _no_place(error: NoPlaceError, refuse: Refuse) -> ApiError:
    return refuse(wire_feed.TOO_MANY_RECEIVERS, str(error), headers={"retry-after": "5"})
