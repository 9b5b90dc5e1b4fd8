"""`/v1/deliveries/resend` and `/v1/dead-letters/resend`: one event once more, or all that was given up, at a pace."""

import asyncio
from functools import partial
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push import use_cases
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_REQUEST, NOT_FOUND
from firmcast.rest.requests import decode_known_body, read_body
from firmcast_sdk.wire.decoding import LARGEST_NUMBER, Hints, Short

_BODY_LIMIT: Final = 1 << 14
_LONGEST_SECONDS: Final = 10.0
"""A call that has worked for so long says where to go on."""


class ResendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that has one event sent to one subscription again."""

    event_id: int
    subscription_id: Annotated[str, Hints(limit=256, filled=True)]


class ResendAllRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that has all dead letters of a subscription, or of one device, sent again."""

    subscription_id: Annotated[str, Hints(limit=256, filled=True)]
    device_id: Short = ""
    """Only those of this device."""
    after: Annotated[int | None, Hints(least=0, most=LARGEST_NUMBER)] = None
    """Only those behind this event: the `next` of the call before."""


class ResentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries are made once more."""

    resent: int
    next: int | None = None
    """What to give as `after` to go on: there may be more. Null when that was all."""


def event_id_of(said: int) -> EventId:
    """Return the position in the log; a number that can be none becomes 0, which no event has."""
    return EventId(said if 0 < said < 1 << 63 else 0)


def endpoints(
    *, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator, rate: int
) -> list[Endpoint]:
    """Return the calls that send again, `rate` dead letters a second at the most."""
    calls = _ResendCalls(database, clock, authorise_administrator, rate)
    change = partial(
        Endpoint,
        method="POST",
        tag="push",
        interface=Interface.MANAGEMENT,
        proof=Proof.ADMINISTRATOR,
        scope=Scope.PUSH_WRITE,
        answers=(Answer(body=ResentAnswer),),
        errors=(INVALID_REQUEST, NOT_FOUND),
    )
    return [
        change(
            path="/v1/deliveries/resend",
            handler=calls.resend,
            summary="Deliver one event to one subscription again",
            body=ResendRequest,
        ),
        change(
            path="/v1/dead-letters/resend",
            handler=calls.resend_dead_letters,
            summary="Deliver all dead letters of a subscription, or of one device of it, again, the oldest first",
            description=(
                "No more in a second than `push.replay_rate` says, so that what is live is not kept waiting. A call"
                " lasts some ten seconds at the most; where there is more, its `next` says how to go on."
            ),
            body=ResendAllRequest,
        ),
    ]


class _ResendCalls:
    def __init__(
        self, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator, rate: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._rate = rate

    async def resend(self, request: Request) -> Response:
        actor = administrator((await self._authorise(request, Scope.PUSH_WRITE)).name)
        said = decode_known_body(ResendRequest, await read_body(request, _BODY_LIMIT))
        subscription_id, event_id = SubscriptionId(said.subscription_id), event_id_of(said.event_id)

        async def change(tx: Transaction) -> None:
            await use_cases.resend(tx, event_id, subscription_id)
            details = {"event_id": str(event_id)}
            await audit.record(tx, actor, "push.resend", subscription_id, self._clock.now(), details)

        await self._database.write(change)
        return plain_answer(ResentAnswer(resent=1))

    async def resend_dead_letters(self, request: Request) -> Response:
        """Move all dead letters back, a batch in each transaction; those that die again meanwhile are not met twice."""
        actor = administrator((await self._authorise(request, Scope.PUSH_WRITE)).name)
        said = decode_known_body(ResendAllRequest, await read_body(request, _BODY_LIMIT))
        subscription_id = SubscriptionId(said.subscription_id)
        device_id = DeviceId(said.device_id) if said.device_id else None

        async def change(tx: Transaction, after: EventId | None) -> tuple[int, EventId | None]:
            moved = await use_cases.resend_dead_letters(tx, subscription_id, after, device_id=device_id)
            if after is None:  # the wish is one, however many batches and calls it takes
                details = {"device_id": said.device_id} if said.device_id else audit.NOTHING_MORE
                await audit.record(tx, actor, "push.resend_dead_letters", subscription_id, self._clock.now(), details)
            return moved

        resent, began = 0, self._clock.monotonic()
        last = None if said.after is None else EventId(said.after)
        while True:
            count, last = await self._database.write(change, last)
            resent += count
            if last is None or count < use_cases.RESENT_AT_ONCE:
                return plain_answer(ResentAnswer(resent=resent))
            if self._clock.monotonic() - began >= _LONGEST_SECONDS:
                return plain_answer(ResentAnswer(resent=resent, next=last))
            await asyncio.sleep(max(0.0, began + resent / self._rate - self._clock.monotonic()))
