"""What an administrator sees of push, and what he has sent again: `/v1/deliveries`, `/v1/dead-letters`, `/v1/attempts`.

Lists take `subscription_id`, `device_id` and `event_id` as filters, and `page` and `page_size` (100, at most 1000).
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firmcast.db.page import Page
from firmcast.db.port import Database
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push import use_cases
from firmcast.push.model import Attempt, DeadLetter, DeliveryFilter, PendingDelivery
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.paging import RequestedPage, requested_page
from firmcast.rest.requests import decode_body, decode_parameters, read_body
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.decoding import Hints, Short

_PAGE_SIZE = 100
_LARGEST_PAGE_SIZE = 1000
_LARGEST_EVENT_ID = (1 << 63) - 1


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries, dead letters or attempts are wanted."""

    subscription_id: Short = ""
    device_id: Short = ""
    event_id: int | None = None
    page: int | None = None
    page_size: int | None = None


class ResendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that has one event sent to one subscription again."""

    event_id: int
    subscription_id: Annotated[str, Hints(limit=256, filled=True)]


class ResendAllRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that has all dead letters of a subscription sent again."""

    subscription_id: Annotated[str, Hints(limit=256, filled=True)]


def routes(*, database: Database, authorise_administrator: AuthoriseAdministrator) -> list[BaseRoute]:
    """Return the routes of push."""
    calls = _PushCalls(database, authorise_administrator)
    return [
        Route("/v1/deliveries", calls.deliveries, methods=["GET"]),
        Route("/v1/deliveries/resend", calls.resend, methods=["POST"]),
        Route("/v1/dead-letters", calls.dead_letters, methods=["GET"]),
        Route("/v1/dead-letters/resend", calls.resend_dead_letters, methods=["POST"]),
        Route("/v1/attempts", calls.attempts, methods=["GET"]),
    ]


class _PushCalls:
    def __init__(self, database: Database, authorise_administrator: AuthoriseAdministrator) -> None:
        self._database = database
        self._authorise = authorise_administrator

    async def deliveries(self, request: Request) -> Response:
        wanted, page = await self._read(request)
        found, total = await self._database.read(use_cases.pending, wanted, Page(page.offset, page.size))
        return _listed("deliveries", [_shown_delivery(item) for item in found], page, total)

    async def dead_letters(self, request: Request) -> Response:
        wanted, page = await self._read(request)
        found, total = await self._database.read(use_cases.dead_letters, wanted, Page(page.offset, page.size))
        return _listed("dead_letters", [_shown_letter(item) for item in found], page, total)

    async def attempts(self, request: Request) -> Response:
        wanted, page = await self._read(request)
        found, total = await self._database.read(use_cases.attempts, wanted, Page(page.offset, page.size))
        return _listed("attempts", [_shown_attempt(item) for item in found], page, total)

    async def resend(self, request: Request) -> Response:
        await self._authorise(request, Scope.PUSH_WRITE)
        said = decode_body(ResendRequest, await read_body(request))
        subscription_id = SubscriptionId(said.subscription_id)
        await self._database.write(use_cases.resend, _event_id(said.event_id) or EventId(0), subscription_id)
        return plain_answer({"resent": 1})

    async def resend_dead_letters(self, request: Request) -> Response:
        """Move all dead letters back, a batch in each transaction; those that die again meanwhile are not met twice."""
        await self._authorise(request, Scope.PUSH_WRITE)
        said = decode_body(ResendAllRequest, await read_body(request))
        subscription_id = SubscriptionId(said.subscription_id)
        resent = 0
        last: EventId | None = None
        while True:
            count, last = await self._database.write(use_cases.resend_dead_letters, subscription_id, last)
            if last is None:
                return plain_answer({"resent": resent})
            resent += count

    async def _read(self, request: Request) -> tuple[DeliveryFilter, RequestedPage]:
        await self._authorise(request, Scope.PUSH_READ)
        said = decode_parameters(DeliveryQuery, request)
        page = requested_page(
            said.page,
            said.page_size,
            default_size=_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.PAGE_BEYOND_LIMIT,
        )
        wanted = DeliveryFilter(
            subscription_id=SubscriptionId(said.subscription_id) if said.subscription_id else None,
            device_id=DeviceId(said.device_id) if said.device_id else None,
            event_id=_event_id(said.event_id),
        )
        return wanted, page


def _event_id(said: int | None) -> EventId | None:
    """Return the position in the log; a number that can be none becomes 0, which no event has."""
    if said is None:
        return None
    return EventId(said if 0 < said <= _LARGEST_EVENT_ID else 0)


def _listed(name: str, items: Sequence[object], page: RequestedPage, total: int) -> Response:
    return plain_answer({name: items, "page": page.number, "page_size": page.size, "total": total})


def _shown_delivery(item: PendingDelivery) -> dict[str, object]:
    return {
        "event_id": item.event_id,
        "subscription_id": item.subscription_id,
        "device_id": item.device_id,
        "sequence": item.sequence,
        "attempts": item.attempts,
        "next_attempt_at": item.next_attempt_at,
        "reason": item.reason,
    }


def _shown_letter(item: DeadLetter) -> dict[str, object]:
    return {
        "event_id": item.event_id,
        "subscription_id": item.subscription_id,
        "device_id": item.device_id,
        "sequence": item.sequence,
        "attempts": item.attempts,
        "reason": item.reason,
        "failure": item.failure,
        "died_at": item.died_at,
    }


def _shown_attempt(item: Attempt) -> dict[str, object]:
    return {
        "attempt_id": item.attempt_id,
        "event_id": item.event_id,
        "subscription_id": item.subscription_id,
        "device_id": item.device_id,
        "number": item.number,
        "attempted_at": item.attempted_at,
        "seconds": item.duration.total_seconds(),
        "status": item.status,
        "failure": item.failure,
        "detail": item.detail,
        "address": item.address,
        "answer": item.answer.decode("utf-8", "replace"),
    }
