"""What operators decide about deliveries: whether a subscription is called, how is retried, what is thrown away.

Every change is in the audit.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import Actor, administrator
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.push import standings
from firmcast.push.management import bodies, dead_letters, resends
from firmcast.push.retry import RetryPolicy
from firmcast.push.standing import DeliveryPolicy, SubscriptionState
from firmcast.rest.answers import plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import decode_known_body, decode_parameters, path_identifier, read_body
from firmcast_sdk.wire import errors as wire

_PAGE_SIZE: Final = 100
_LARGEST_PAGE_SIZE: Final = 1000
_BODY_LIMIT: Final = 1 << 14
_ONE: Final = "/v1/subscriptions/{subscription_id}"
_SHOWN: Final = (Answer(body=bodies.SubscriptionAnswer),)
_MANAGED: Final = partial(Endpoint, tag="push", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR)
_READ: Final = partial(_MANAGED, method="GET", scope=Scope.PUSH_READ)
_CHANGE: Final = partial(_MANAGED, scope=Scope.PUSH_WRITE, answers=_SHOWN)


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authorise_administrator: AuthoriseAdministrator,
    usual: RetryPolicy,
    resend_rate: int,
) -> list[Endpoint]:
    """Return the calls; `usual` are the rules of those that have none of their own.

    Of dead letters no more than `resend_rate` are sent again in a second.
    """
    calls = _SubscriptionCalls(database, clock, authorise_administrator, usual)
    return [
        *resends.endpoints(
            database=database, clock=clock, authorise_administrator=authorise_administrator, rate=resend_rate
        ),
        *dead_letters.endpoints(database=database, clock=clock, authorise_administrator=authorise_administrator),
        _READ(
            path="/v1/subscriptions",
            handler=calls.listed,
            summary="List the subscriptions of all applications with how they stand, the oldest first",
            query=bodies.SubscriptionQuery,
            answers=(Answer(body=bodies.ManagedSubscriptionList),),
            errors=(INVALID_REQUEST,),
        ),
        _READ(path=_ONE, handler=calls.find, summary="Show a subscription", answers=_SHOWN, errors=(NOT_FOUND,)),
        _CHANGE(
            method="POST",
            path=f"{_ONE}/pause",
            handler=calls.pause,
            summary="Call a subscription no more, until it is resumed",
            description="What happens meanwhile is kept for it. What is under way may end.",
            errors=(NOT_FOUND,),
        ),
        _CHANGE(
            method="POST",
            path=f"{_ONE}/resume",
            handler=calls.resume,
            summary="Call a subscription again that is paused or disabled, from the first that was kept for it",
            errors=(NOT_FOUND,),
        ),
        _CHANGE(
            method="PUT",
            path=f"{_ONE}/policy",
            handler=calls.set_policy,
            summary="Set how the deliveries of a subscription are retried",
            description="What is left out, or null, is as the platform's settings say. It holds from the next attempt.",
            body=bodies.PolicyRequest,
            errors=(INVALID_REQUEST, INVALID_VALUE, NOT_FOUND),
        ),
    ]


class _SubscriptionCalls:
    def __init__(
        self, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator, usual: RetryPolicy
    ) -> None:
        self._database = database
        self._clock = clock
        self._authorise = authorise_administrator
        self._usual = usual

    async def listed(self, request: Request) -> Response:
        await self._authorise(request, Scope.PUSH_READ)
        said = decode_parameters(bodies.SubscriptionQuery, request)
        page = requested_page(
            said.page,
            said.page_size,
            default_size=_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.PAGE_BEYOND_LIMIT,
        )
        application_id = ApplicationId(said.application_id) if said.application_id else None
        found, total = await self._database.read(
            standings.listed, application_id, said.state, Page(page.offset, page.size)
        )
        shown = tuple(bodies.shown(served, self._usual) for served in found)
        return plain_answer(
            bodies.ManagedSubscriptionList(subscriptions=shown, page=page.number, page_size=page.size, total=total)
        )

    async def find(self, request: Request) -> Response:
        await self._authorise(request, Scope.PUSH_READ)
        return self._answer(await self._database.read(standings.find, _identifier(request)))

    async def pause(self, request: Request) -> Response:
        actor, subscription_id = await self._admit(request), _identifier(request)
        now = self._clock.now()

        async def change(tx: Transaction) -> standings.Served:
            before = await standings.pause(tx, subscription_id, now)
            if before.standing.paused_at is None:
                await audit.record(tx, actor, "subscription.pause", subscription_id, now)
            return await standings.find(tx, subscription_id)

        return self._answer(await self._database.write(change))

    async def resume(self, request: Request) -> Response:
        actor, subscription_id = await self._admit(request), _identifier(request)
        now = self._clock.now()

        async def change(tx: Transaction) -> standings.Served:
            before = await standings.resume(tx, subscription_id)
            if before.state is not SubscriptionState.ACTIVE:
                details = {"was": before.state.value}
                await audit.record(tx, actor, "subscription.resume", subscription_id, now, details)
            return await standings.find(tx, subscription_id)

        return self._answer(await self._database.write(change))

    async def set_policy(self, request: Request) -> Response:
        actor, subscription_id = await self._admit(request), _identifier(request)
        said = decode_known_body(bodies.PolicyRequest, await read_body(request, _BODY_LIMIT))
        policy, now = bodies.policy_of(said), self._clock.now()

        async def change(tx: Transaction) -> standings.Served:
            await standings.set_policy(tx, subscription_id, policy)
            await audit.record(tx, actor, "subscription.set_policy", subscription_id, now, _told(policy))
            return await standings.find(tx, subscription_id)

        return self._answer(await self._database.write(change))

    async def _admit(self, request: Request) -> Actor:
        return administrator((await self._authorise(request, Scope.PUSH_WRITE)).name)

    def _answer(self, served: standings.Served) -> Response:
        return plain_answer(bodies.shown(served, self._usual))


def _identifier(request: Request) -> SubscriptionId:
    return SubscriptionId(path_identifier(request, "subscription_id"))


def _told(policy: DeliveryPolicy) -> Mapping[str, str]:
    """Return what was set, as words for the audit."""
    told = {}
    if policy.retry_delays is not None:
        told["retry_delay_seconds"] = " ".join(f"{each / timedelta(seconds=1):g}" for each in policy.retry_delays)
    if policy.age_limit is not None:
        told["age_limit_seconds"] = f"{policy.age_limit / timedelta(seconds=1):g}"
    if policy.when_given_up is not None:
        told["when_given_up"] = policy.when_given_up.value
    return told
