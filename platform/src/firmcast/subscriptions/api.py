"""Applications say here what they want to be told, and where. Contract page, sections 3 and 4.

There is one set of subscriptions, one for each application and type. The management subscription (section 3) moves
the callback of the one that there is; a business subscription (section 4) of a type that is subscribed to is refused.
Listing, reading and deleting cover both. Every type that the contract names is taken and kept; some are never told.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import application
from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.errors import InvalidValueError, NotFoundError
from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.rest.answers import empty_answer, no_content, wire_answer
from firmcast.rest.authentication import Authenticate, require_own
from firmcast.rest.endpoints import Answer, Endpoint
from firmcast.rest.errors import ApiError
from firmcast.rest.paging import requested_page
from firmcast.rest.requests import DEFAULT_BODY_LIMIT, decode_body, decode_parameters, path_identifier, read_body
from firmcast.subscriptions import use_cases
from firmcast.subscriptions.model import Subscription, callback_host
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire import subscriptions as wire_subscriptions
from firmcast_sdk.wire.subscriptions import SubscribableType

CheckCallback = Callable[[str], object]
"""Raises InvalidValueError for a callback URL that will never be called."""

EVENT_TYPES: Final = MappingProxyType(
    {
        SubscribableType.FW_UPGRADE_STATE_CHANGE: EventType.FIRMWARE_STATE_CHANGED,
        SubscribableType.FW_UPGRADE_RESULT: EventType.FIRMWARE_UPGRADE_ENDED,
        SubscribableType.SW_UPGRADE_STATE_CHANGE: EventType.SOFTWARE_STATE_CHANGED,
        SubscribableType.SW_UPGRADE_RESULT: EventType.SOFTWARE_UPGRADE_ENDED,
        SubscribableType.DEVICE_ADDED: EventType.DEVICE_ADDED,
        SubscribableType.BIND_DEVICE: EventType.DEVICE_BOUND,
        SubscribableType.DEVICE_INFO_CHANGED: EventType.DEVICE_INFO_CHANGED,
        SubscribableType.DEVICE_DELETED: EventType.DEVICE_DELETED,
        SubscribableType.DEVICE_DATA_CHANGED: EventType.DATA_CHANGED,
        SubscribableType.DEVICE_DATAS_CHANGED: EventType.DATA_OF_SERVICES_CHANGED,
        SubscribableType.SERVICE_INFO_CHANGED: EventType.SERVICE_INFO_CHANGED,
        SubscribableType.MESSAGE_CONFIRM: EventType.MESSAGE_CONFIRMED,
        SubscribableType.COMMAND_RSP: EventType.COMMAND_ANSWERED,
        SubscribableType.DEVICE_EVENT: EventType.DEVICE_EVENT_REPORTED,
        SubscribableType.DEVICE_MODEL_ADDED: EventType.MODEL_ADDED,
        SubscribableType.DEVICE_MODEL_DELETED: EventType.MODEL_DELETED,
        SubscribableType.RULE_EVENT: EventType.RULE_FIRED,
        SubscribableType.DEVICE_DESIRED_PROPERTIES_MODIFY_STATUS_CHANGED: EventType.DESIRED_PROPERTIES_SETTLED,
        SubscribableType.DEVICE_REAL_TIME_DATA_QUERY_STATUS_CHANGED: EventType.DATA_QUERY_CHANGED,
        SubscribableType.APP_AUTHORIZATION: EventType.APPLICATION_AUTHORISED,
        SubscribableType.APP_DEAUTHORIZATION: EventType.APPLICATION_DEAUTHORISED,
        SubscribableType.LOCATION_CHANGED: EventType.LOCATION_CHANGED,
        SubscribableType.DEVICE_CAPABILITIES_ADDED: EventType.CAPABILITIES_ADDED,
        SubscribableType.DEVICE_CAPABILITIES_CHANGED: EventType.CAPABILITIES_CHANGED,
        SubscribableType.DEVICE_CAPABILITIES_DELETED: EventType.CAPABILITIES_DELETED,
    }
)
_NOTIFY_TYPES: Final = MappingProxyType({event_type: name for name, event_type in EVENT_TYPES.items()})
_OUR_CHANNEL: Final = "http"
_LARGEST_PAGE_SIZE: Final = 1000
_TAG: Final = "subscriptions"


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    check_callback: CheckCallback,
    one_callback_host: bool = False,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> list[Endpoint]:
    """Return the management subscription and the calls on business subscriptions."""
    calls = _SubscriptionCalls(database, clock, authenticate, check_callback, one_callback_host, body_limit)
    return [*_subscribing(calls, one_callback_host=one_callback_host), *_existing(calls)]


def _subscribing(calls: "_SubscriptionCalls", *, one_callback_host: bool) -> list[Endpoint]:
    bad_body = (wire.BAD_REQUEST_MESSAGE, wire.INPUT_INVALID, wire.CALLBACK_URL_ILLEGAL)
    refused = (
        *bad_body,
        wire.APPLICATION_NOT_AUTHORISED,
        wire.SUBSCRIPTION_CONFLICT,
        *((wire.CALLBACK_HOST_CONFLICT,) if one_callback_host else ()),
    )
    return [
        Endpoint(
            method="POST",
            path=wire_subscriptions.MANAGEMENT_SUBSCRIBE_PATH,
            handler=calls.subscribe_to_upgrades,
            summary="Subscribe to a type of upgrade pushes, or move the callback of such a subscription",
            tag=_TAG,
            body=wire_subscriptions.ManagementSubscribeRequest,
            errors=bad_body,
        ),
        Endpoint(
            method="POST",
            path=wire_subscriptions.SUBSCRIPTIONS_PATH,
            handler=calls.subscribe,
            summary="Subscribe to a type of pushes",
            tag=_TAG,
            query=wire_subscriptions.SubscribeQuery,
            body=wire_subscriptions.SubscribeRequest,
            answers=(Answer(status=201, body=wire_subscriptions.Subscription),),
            errors=refused,
            aliases=wire_subscriptions.OLDER_SUBSCRIBE_PATHS,
        ),
        Endpoint(
            method="POST",
            path=wire_subscriptions.VOID_SUBSCRIBE_PATH,
            handler=calls.subscribe_silently,
            summary="Subscribe to a type of pushes, and be told nothing of the subscription",
            tag=_TAG,
            query=wire_subscriptions.SubscribeQuery,
            body=wire_subscriptions.SubscribeRequest,
            answers=(Answer(status=201),),
            errors=refused,
        ),
    ]


def _existing(calls: "_SubscriptionCalls") -> list[Endpoint]:
    return [
        Endpoint(
            method="GET",
            path=wire_subscriptions.SUBSCRIPTIONS_PATH,
            handler=calls.listed,
            summary="List the application's subscriptions, of both kinds",
            tag=_TAG,
            query=wire_subscriptions.SubscriptionQuery,
            answers=(Answer(body=wire_subscriptions.SubscriptionList),),
            errors=(wire.INPUT_INVALID, wire.APPLICATION_NOT_AUTHORISED),
        ),
        Endpoint(
            method="GET",
            path=wire_subscriptions.SUBSCRIPTION_PATH,
            handler=calls.find,
            summary="Read a subscription",
            tag=_TAG,
            query=wire_subscriptions.SubscriptionAddress,
            answers=(Answer(body=wire_subscriptions.Subscription),),
            errors=(wire.INPUT_INVALID, wire.APPLICATION_NOT_AUTHORISED, wire.SUBSCRIPTION_NOT_FOUND),
        ),
        Endpoint(
            method="DELETE",
            path=wire_subscriptions.SUBSCRIPTION_PATH,
            handler=calls.remove,
            summary="Delete a subscription and what is still to be delivered to it",
            tag=_TAG,
            query=wire_subscriptions.SubscriptionAddress,
            answers=(Answer(status=204),),
            errors=(wire.INPUT_INVALID, wire.APPLICATION_NOT_AUTHORISED, wire.SUBSCRIPTION_NOT_FOUND),
        ),
        Endpoint(
            method="DELETE",
            path=wire_subscriptions.SUBSCRIPTIONS_PATH,
            handler=calls.remove_matching,
            summary="Delete the subscriptions that fit every filter, without a filter all of the application",
            tag=_TAG,
            query=wire_subscriptions.SubscriptionDeletion,
            answers=(Answer(status=204),),
            errors=(wire.INPUT_INVALID, wire.APPLICATION_NOT_AUTHORISED),
        ),
    ]


class _SubscriptionCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authenticate: Authenticate,
        check_callback: CheckCallback,
        one_callback_host: bool,
        body_limit: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authenticate = authenticate
        self._check_callback = check_callback
        self._one_callback_host = one_callback_host
        self._body_limit = body_limit

    async def subscribe_to_upgrades(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_body(
            wire_subscriptions.ManagementSubscribeRequest,
            await read_body(request, self._body_limit),
            by_field={"callbackurl": wire.CALLBACK_URL_ILLEGAL},
        )
        callback_url = self._callable(said.callback_url)
        event_type = EVENT_TYPES[SubscribableType(said.notify_type)]
        await self._database.write(_set, application_id, event_type, callback_url, self._clock.now())
        return empty_answer()

    async def subscribe(self, request: Request) -> Response:
        return wire_answer(_shown(await self._subscribed(request)), status=201)

    async def subscribe_silently(self, request: Request) -> Response:
        await self._subscribed(request)
        return empty_answer(status=201)

    async def _subscribed(self, request: Request) -> Subscription:
        application_id = await self._authenticate(request)
        query = decode_parameters(wire_subscriptions.SubscribeQuery, request)
        said = decode_body(
            wire_subscriptions.SubscribeRequest,
            await read_body(request, self._body_limit),
            by_field={"callbackUrl": wire.CALLBACK_URL_ILLEGAL},
        )
        require_own(application_id, query.app_id)
        require_own(application_id, said.app_id)
        if said.channel and not _is_our_channel(said.channel):
            raise ApiError(wire.INPUT_INVALID, "pushes are sent over HTTP only")
        callback_url = self._callable(said.callback_url)
        try:
            return await self._database.write(
                _create,
                application_id,
                EVENT_TYPES[said.notify_type],
                callback_url,
                self._clock.now(),
                one_host=self._one_callback_host,
            )
        except use_cases.AlreadySubscribedError as error:
            # Refused, as the contract says; yet who asks for what he has wants to be called there.
            await self._database.write(use_cases.renew, application_id, callback_url)
            raise ApiError(wire.SUBSCRIPTION_CONFLICT, str(error)) from None
        except use_cases.CallbackHostError as error:
            raise ApiError(wire.CALLBACK_HOST_CONFLICT, str(error)) from None

    async def listed(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_subscriptions.SubscriptionQuery, request)
        require_own(application_id, said.app_id)
        page = requested_page(
            said.page_no,
            said.page_size,
            default_size=wire_subscriptions.DEFAULT_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.INPUT_INVALID,
        )
        # The contract: without a number there is no paging at all.
        paged = said.page_no is not None
        found, total = await self._database.read(
            use_cases.listed,
            application_id,
            event_type=None if said.notify_type is None else EVENT_TYPES[said.notify_type],
            page=Page(page.offset, page.size) if paged else use_cases.EVERYTHING,
        )
        return wire_answer(
            wire_subscriptions.SubscriptionList(
                total_count=total,
                page_no=page.number,
                page_size=page.size if paged else total,
                subscriptions=tuple(_shown(subscription) for subscription in found),
            )
        )

    async def find(self, request: Request) -> Response:
        application_id, subscription_id = await self._addressed(request)
        try:
            subscription = await self._database.read(use_cases.find, application_id, subscription_id)
        except NotFoundError as error:
            raise ApiError(wire.SUBSCRIPTION_NOT_FOUND, str(error)) from None
        return wire_answer(_shown(subscription))

    async def remove(self, request: Request) -> Response:
        application_id, subscription_id = await self._addressed(request)
        if not await self._database.write(_remove, application_id, subscription_id, self._clock.now()):
            raise ApiError(wire.SUBSCRIPTION_NOT_FOUND, "the application has no such subscription")
        return no_content()

    async def remove_matching(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_subscriptions.SubscriptionDeletion, request)
        require_own(application_id, said.app_id)
        # Every subscription here is of one channel: a filter for another one fits none, and deletes nothing.
        if said.channel is None or _is_our_channel(said.channel):
            await self._database.write(
                _remove_matching,
                application_id,
                None if said.notify_type is None else EVENT_TYPES[said.notify_type],
                said.callback_url or "",
                self._clock.now(),
            )
        return no_content()

    async def _addressed(self, request: Request) -> tuple[ApplicationId, SubscriptionId]:
        application_id = await self._authenticate(request)
        require_own(application_id, decode_parameters(wire_subscriptions.SubscriptionAddress, request).app_id)
        return application_id, SubscriptionId(path_identifier(request, "subscription_id"))

    def _callable(self, callback_url: str) -> str:
        try:
            self._check_callback(callback_url)
        except InvalidValueError as error:
            raise ApiError(wire.CALLBACK_URL_ILLEGAL, str(error)) from None
        return callback_url


async def _set(
    tx: Transaction, application_id: ApplicationId, event_type: EventType, callback_url: str, now: datetime
) -> None:
    subscription = await use_cases.subscribe(tx, application_id, event_type, callback_url, now)
    await _record(tx, "subscription.set", subscription, now)


async def _create(
    tx: Transaction,
    application_id: ApplicationId,
    event_type: EventType,
    callback_url: str,
    now: datetime,
    *,
    one_host: bool,
) -> Subscription:
    subscription = await use_cases.create(tx, application_id, event_type, callback_url, now, one_host=one_host)
    await _record(tx, "subscription.create", subscription, now)
    return subscription


async def _remove(
    tx: Transaction, application_id: ApplicationId, subscription_id: SubscriptionId, now: datetime
) -> bool:
    removed = await use_cases.remove(tx, application_id, [subscription_id])
    await _record_ends(tx, application_id, removed, now)
    return bool(removed)


async def _remove_matching(
    tx: Transaction, application_id: ApplicationId, event_type: EventType | None, callback_url: str, now: datetime
) -> None:
    removed = await use_cases.remove_matching(tx, application_id, event_type=event_type, callback_url=callback_url)
    await _record_ends(tx, application_id, removed, now)


async def _record(tx: Transaction, action: str, subscription: Subscription, now: datetime) -> None:
    # Not the whole callback: a path or a query may be what proves to the receiver who calls.
    details = {"event_type": subscription.event_type.value, "callback": callback_host(subscription.callback_url)}
    await audit.record(tx, application(subscription.application_id), action, subscription.subscription_id, now, details)


async def _record_ends(
    tx: Transaction, application_id: ApplicationId, removed: Sequence[SubscriptionId], now: datetime
) -> None:
    for subscription_id in removed:
        await audit.record(tx, application(application_id), "subscription.delete", subscription_id, now)


def _is_our_channel(channel: str) -> bool:
    return channel.strip().lower() == _OUR_CHANNEL


def _shown(subscription: Subscription) -> wire_subscriptions.Subscription:
    return wire_subscriptions.Subscription(
        subscription_id=subscription.subscription_id,
        notify_type=_NOTIFY_TYPES[subscription.event_type],
        callback_url=subscription.callback_url,
    )
