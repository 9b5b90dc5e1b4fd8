"""What an administrator sees of push, and how he tries a callback.

`/v1/deliveries`, `/v1/dead-letters` and `/v1/attempts` take `subscription_id`, `device_id` and `event_id` as filters,
and `page_size` (100, at most 1000), with `after` to go on from page to page, or `page` for one of the first;
`/v1/callback-tests` sends one push that nothing keeps.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError
from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, DeviceId, EventId, MessageId, SubscriptionId, new_hex
from firmcast.push import callback_test, cursors, use_cases
from firmcast.push.answer import Answer as CallbackAnswer
from firmcast.push.http_sender import OutgoingRequest
from firmcast.push.model import Attempt, DeadLetter, DeliveryFilter, PendingDelivery
from firmcast.push.retry import DeadReason, FailureReason, failure_reason
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast.rest.paging import RequestedPage, requested_page
from firmcast.rest.requests import decode_known_body, decode_parameters, read_body
from firmcast.sealing import Sealer
from firmcast.subscriptions.api import EVENT_TYPES, CheckCallback
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.decoding import Hints, Short
from firmcast_sdk.wire.subscriptions import SubscribableType

SendCallback = Callable[[OutgoingRequest], Awaitable[CallbackAnswer]]
"""Makes one attempt, by the rules of all of them."""

_PAGE_SIZE = 100
_LARGEST_PAGE_SIZE = 1000
_FARTHEST = 10_000
_LARGEST_EVENT_ID = (1 << 63) - 1
_BODY_LIMIT = 1 << 14


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries, dead letters or attempts are wanted."""

    subscription_id: Short = ""
    device_id: Short = ""
    event_id: int | None = None
    after: Short = ""
    """Where the page before ended: its `next`."""
    page: int | None = None
    page_size: int | None = None


class CallbackTestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that has a callback tried: a URL, or the one of a subscription; not both."""

    application_id: Annotated[str, Hints(limit=256, filled=True)]
    callback_url: Annotated[str, Hints(limit=1024)] = ""
    notify_type: SubscribableType | None = None
    """Without a URL: the subscription whose callback is tried; `fwUpgradeStateChangeNotify` unless it is said."""


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery still to be made."""

    event_id: int
    subscription_id: str
    device_id: str
    sequence: int
    attempts: int
    next_attempt_at: datetime | None
    reason: FailureReason | None
    blocked: bool
    """True when it is a dead letter too, and what is behind it waits until somebody decides about it."""


class DeadLetterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was given up."""

    event_id: int
    subscription_id: str
    device_id: str
    sequence: int
    attempts: int
    reason: DeadReason
    failure: FailureReason
    died_at: datetime


class AttemptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP try."""

    attempt_id: int
    event_id: int
    subscription_id: str
    device_id: str
    number: int
    attempted_at: datetime
    seconds: float
    status: int | None
    failure: FailureReason | None
    detail: str
    address: str
    answer: str
    """The first KiB of the answer's body."""


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries, the oldest first."""

    deliveries: tuple[DeliveryAnswer, ...]
    page: int
    page_size: int
    total: int
    """On all pages; more than 100000 are not counted."""
    next: str | None
    """What to give as `after` for the page behind this one; null on the last."""


class DeadLetterList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of dead letters, the oldest first."""

    dead_letters: tuple[DeadLetterAnswer, ...]
    page: int
    page_size: int
    total: int
    """On all pages; more than 100000 are not counted."""
    next: str | None
    """What to give as `after` for the page behind this one; null on the last."""


class AttemptList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of attempts, the latest first."""

    attempts: tuple[AttemptAnswer, ...]
    page: int
    page_size: int
    total: int
    """On all pages; more than 100000 are not counted."""
    next: str | None
    """What to give as `after` for the page behind this one; null on the last."""


class CallbackTestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test."""

    application_id: str
    callback_url: str
    message_id: str
    """The `webhook-id` that it was sent with."""
    sent_at: datetime
    delivered: bool
    """Whether an event would have counted as delivered."""
    status: int | None
    """None when no answer came."""
    failure: FailureReason | None
    detail: str
    """What the HTTP library says of a failure, such as why a certificate is not trusted."""
    address: str
    """The IP address that was dialled; empty when none was."""
    seconds: float
    answer: str
    """The first KiB of the answer's body."""


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authorise_administrator: AuthoriseAdministrator,
    sealer: Sealer,
    check_callback: CheckCallback,
    send_callback: SendCallback,
) -> list[Endpoint]:
    """Return the calls of push."""
    lists = _ListCalls(database, authorise_administrator)
    tests = _CallbackTestCalls(database, clock, authorise_administrator, sealer, check_callback, send_callback)
    return [*_list_endpoints(lists), *_change_endpoints(tests)]


_MANAGED: Final = partial(Endpoint, tag="push", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR)


def _list_endpoints(calls: "_ListCalls") -> list[Endpoint]:
    read = partial(
        _MANAGED, method="GET", scope=Scope.PUSH_READ, query=DeliveryQuery, errors=(INVALID_REQUEST, INVALID_VALUE)
    )
    return [
        read(
            path="/v1/deliveries",
            handler=calls.deliveries,
            summary="List the deliveries still to be made, the oldest first",
            answers=(Answer(body=DeliveryList),),
        ),
        read(
            path="/v1/dead-letters",
            handler=calls.dead_letters,
            summary="List what was given up, the oldest first",
            answers=(Answer(body=DeadLetterList),),
        ),
        read(
            path="/v1/attempts",
            handler=calls.attempts,
            summary="List the attempts to deliver, the latest first",
            answers=(Answer(body=AttemptList),),
        ),
    ]


def _change_endpoints(tests: "_CallbackTestCalls") -> list[Endpoint]:
    change = partial(_MANAGED, method="POST", scope=Scope.PUSH_WRITE)
    return [
        change(
            path="/v1/callback-tests",
            handler=tests.send,
            summary="Send one signed push that tries a callback, and tell what came of it",
            description=(
                "The push tells of a device `firmcast-callback-test` that is idle, and carries the header"
                " `firmcast-test: true`. It is sent once, and is not kept."
            ),
            body=CallbackTestRequest,
            answers=(Answer(body=CallbackTestAnswer),),
            errors=(INVALID_REQUEST, INVALID_VALUE, NOT_FOUND),
        ),
    ]


class _ListCalls:
    def __init__(self, database: Database, authorise_administrator: AuthoriseAdministrator) -> None:
        self._database = database
        self._authorise = authorise_administrator

    async def deliveries(self, request: Request) -> Response:
        wanted, page, after = await self._read(request)
        part = Page(page.offset, page.size + 1)
        found, total = await self._database.read(use_cases.pending, wanted, part, cursors.position(after))
        shown = tuple(_shown_delivery(item) for item in found[: page.size])
        further = cursors.after_position(found, page.size)
        return plain_answer(
            DeliveryList(deliveries=shown, page=page.number, page_size=page.size, total=total, next=further)
        )

    async def dead_letters(self, request: Request) -> Response:
        wanted, page, after = await self._read(request)
        part = Page(page.offset, page.size + 1)
        found, total = await self._database.read(use_cases.dead_letters, wanted, part, cursors.position(after))
        shown = tuple(_shown_letter(item) for item in found[: page.size])
        further = cursors.after_position(found, page.size)
        return plain_answer(
            DeadLetterList(dead_letters=shown, page=page.number, page_size=page.size, total=total, next=further)
        )

    async def attempts(self, request: Request) -> Response:
        wanted, page, after = await self._read(request)
        part = Page(page.offset, page.size + 1)
        found, total = await self._database.read(use_cases.attempts, wanted, part, cursors.attempt(after))
        shown = tuple(_shown_attempt(item) for item in found[: page.size])
        further = cursors.before_attempt(found, page.size)
        return plain_answer(
            AttemptList(attempts=shown, page=page.number, page_size=page.size, total=total, next=further)
        )

    async def _read(self, request: Request) -> tuple[DeliveryFilter, RequestedPage, str]:
        await self._authorise(request, Scope.PUSH_READ)
        said = decode_parameters(DeliveryQuery, request)
        page = requested_page(
            said.page,
            said.page_size,
            default_size=_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.PAGE_BEYOND_LIMIT,
        )
        if page.offset > _FARTHEST:
            raise InvalidValueError("page", f"beyond {_FARTHEST} rows go on with `after`, from page to page")
        wanted = DeliveryFilter(
            subscription_id=SubscriptionId(said.subscription_id) if said.subscription_id else None,
            device_id=DeviceId(said.device_id) if said.device_id else None,
            event_id=_event_id(said.event_id),
        )
        return wanted, page, said.after


class _CallbackTestCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authorise_administrator: AuthoriseAdministrator,
        sealer: Sealer,
        check_callback: CheckCallback,
        send_callback: SendCallback,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._sealer = sealer
        self._check_callback = check_callback
        self._send = send_callback

    async def send(self, request: Request) -> Response:
        actor = administrator((await self._authorise(request, Scope.PUSH_WRITE)).name)
        said = decode_known_body(CallbackTestRequest, await read_body(request, _BODY_LIMIT))
        application_id, target = ApplicationId(said.application_id), self._target(said)
        message_id, now = MessageId(f"test_{new_hex()}"), self._clock.now()

        async def change(tx: Transaction) -> callback_test.TestedCallback:
            tested = await callback_test.look_up(tx, application_id, target, self._sealer)
            details = {"callback_url": tested.url, "message_id": message_id}
            await audit.record(tx, actor, "callback.test", application_id, now, details)
            return tested

        tested = await self._database.write(change)
        answer = await self._send(callback_test.request(tested, message_id, now))
        failure = failure_reason(answer)
        return plain_answer(
            CallbackTestAnswer(
                application_id=application_id,
                callback_url=tested.url,
                message_id=message_id,
                sent_at=now,
                delivered=failure is None,
                status=answer.status,
                failure=failure,
                detail=answer.detail,
                address=answer.address or "",
                seconds=answer.duration,
                answer=answer.snippet.decode("utf-8", "replace"),
            )
        )

    def _target(self, said: CallbackTestRequest) -> str | EventType:
        if not said.callback_url:
            return EVENT_TYPES[said.notify_type or SubscribableType.FW_UPGRADE_STATE_CHANGE]
        if said.notify_type is not None:
            raise InvalidValueError("callback_url", "give a URL or a notify_type, not both")
        self._check_callback(said.callback_url)
        return said.callback_url


def _event_id(said: int | None) -> EventId | None:
    """Return the position in the log; a number that can be none becomes 0, which no event has."""
    if said is None:
        return None
    return EventId(said if 0 < said <= _LARGEST_EVENT_ID else 0)


def _shown_delivery(item: PendingDelivery) -> DeliveryAnswer:
    return DeliveryAnswer(
        event_id=item.event_id,
        subscription_id=item.subscription_id,
        device_id=item.device_id,
        sequence=item.sequence,
        attempts=item.attempts,
        next_attempt_at=item.next_attempt_at,
        reason=item.reason,
        blocked=item.blocked,
    )


def _shown_letter(item: DeadLetter) -> DeadLetterAnswer:
    return DeadLetterAnswer(
        event_id=item.event_id,
        subscription_id=item.subscription_id,
        device_id=item.device_id,
        sequence=item.sequence,
        attempts=item.attempts,
        reason=item.reason,
        failure=item.failure,
        died_at=item.died_at,
    )


def _shown_attempt(item: Attempt) -> AttemptAnswer:
    return AttemptAnswer(
        attempt_id=item.attempt_id,
        event_id=item.event_id,
        subscription_id=item.subscription_id,
        device_id=item.device_id,
        number=item.number,
        attempted_at=item.attempted_at,
        seconds=item.duration.total_seconds(),
        status=item.status,
        failure=item.failure,
        detail=item.detail,
        address=item.address,
        answer=item.answer.decode("utf-8", "replace"),
    )
