"""`/v1/dead-letters/discard`: what was given up, and nobody wants. Its events are in the log, the wish in the audit."""

from typing import Annotated, Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError
from firmcast.ids import DeviceId, EventId, SubscriptionId
from firmcast.push import use_cases
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast.rest.requests import decode_known_body, read_body
from firmcast_sdk.wire.decoding import LARGEST_NUMBER, Hints, Short

_log = structlog.get_logger()
_BODY_LIMIT: Final = 1 << 14


class DiscardRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body that throws dead letters of a subscription away: one event, those of a device, or all."""

    subscription_id: Annotated[str, Hints(limit=256, filled=True)]
    event_id: Annotated[int | None, Hints(least=1, most=LARGEST_NUMBER)] = None
    device_id: Short = ""


class DiscardedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters were thrown away."""

    discarded: int


def endpoints(*, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator) -> list[Endpoint]:
    """Return the call that discards."""
    calls = _DiscardCalls(database, clock, authorise_administrator)
    return [
        Endpoint(
            method="POST",
            path="/v1/dead-letters/discard",
            handler=calls.discard,
            summary="Throw dead letters of a subscription away",
            description=(
                "With `event_id` that one, with `device_id` those of the device, else all. A lane that stands because"
                " of one goes on with what is behind it. The events stay in the log."
            ),
            tag="push",
            interface=Interface.MANAGEMENT,
            proof=Proof.ADMINISTRATOR,
            scope=Scope.PUSH_WRITE,
            body=DiscardRequest,
            answers=(Answer(body=DiscardedAnswer),),
            errors=(INVALID_REQUEST, INVALID_VALUE, NOT_FOUND),
        )
    ]


class _DiscardCalls:
    def __init__(self, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator

    async def discard(self, request: Request) -> Response:
        actor = administrator((await self._authorise(request, Scope.PUSH_WRITE)).name)
        said = decode_known_body(DiscardRequest, await read_body(request, _BODY_LIMIT))
        if said.event_id is not None and said.device_id:
            raise InvalidValueError("device_id", "give an event or a device, not both")
        subscription_id, now = SubscriptionId(said.subscription_id), self._clock.now()
        details = {"event_id": str(said.event_id)} if said.event_id is not None else {}
        details |= {"device_id": said.device_id} if said.device_id else {}

        async def change(tx: Transaction, after: EventId | None) -> list[EventId]:
            discarded = await self._some(tx, said, after)
            if after is None:  # the wish is one, however many batches it takes
                await audit.record(tx, actor, "push.discard_dead_letters", subscription_id, now, details)
            return discarded

        total, last = 0, None
        while discarded := await self._database.write(change, last):
            _log.info("push.dead_letters_discarded", subscription_id=subscription_id, event_ids=discarded)
            total, last = total + len(discarded), discarded[-1]
            if said.event_id is not None:
                break
        return plain_answer(DiscardedAnswer(discarded=total))

    async def _some(self, tx: Transaction, said: DiscardRequest, after: EventId | None) -> list[EventId]:
        subscription_id = SubscriptionId(said.subscription_id)
        if said.event_id is None:
            device_id = DeviceId(said.device_id) if said.device_id else None
            return await use_cases.discard_dead_letters(tx, subscription_id, after, device_id=device_id)
        event_id = EventId(said.event_id)
        await use_cases.discard(tx, event_id, subscription_id)
        return [event_id]
