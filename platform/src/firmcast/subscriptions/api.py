"""The management subscription: an application says where it wants to be told of upgrades. Contract page, section 3.

All four types of upgrade pushes can be subscribed to; those of software are kept, and nothing is told of them yet.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.errors import InvalidValueError
from firmcast.events.model import EventType
from firmcast.rest.answers import empty_answer
from firmcast.rest.authentication import Authenticate
from firmcast.rest.errors import ApiError
from firmcast.rest.requests import DEFAULT_BODY_LIMIT, decode_body, read_body
from firmcast.subscriptions import use_cases
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.notifications import NotifyType
from firmcast_sdk.wire.subscriptions import MANAGEMENT_SUBSCRIBE_PATH, ManagementSubscribeRequest

CheckCallback = Callable[[str], object]
"""Raises InvalidValueError for a callback URL that will never be called."""

EVENT_TYPES: Final = MappingProxyType(
    {
        NotifyType.FW_UPGRADE_STATE_CHANGE: EventType.FIRMWARE_STATE_CHANGED,
        NotifyType.FW_UPGRADE_RESULT: EventType.FIRMWARE_UPGRADE_ENDED,
        NotifyType.SW_UPGRADE_STATE_CHANGE: EventType.SOFTWARE_STATE_CHANGED,
        NotifyType.SW_UPGRADE_RESULT: EventType.SOFTWARE_UPGRADE_ENDED,
    }
)


def routes(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    check_callback: CheckCallback,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> list[BaseRoute]:
    """Return the route of the management subscription."""

    async def subscribe(request: Request) -> Response:
        application_id = await authenticate(request)
        said = decode_body(
            ManagementSubscribeRequest,
            await read_body(request, body_limit),
            by_field={"callbackurl": wire.CALLBACK_URL_ILLEGAL},
        )
        try:
            check_callback(said.callback_url)
        except InvalidValueError as error:
            raise ApiError(wire.CALLBACK_URL_ILLEGAL, str(error)) from None
        event_type = EVENT_TYPES[said.notify_type]
        await database.write(use_cases.subscribe, application_id, event_type, said.callback_url, clock.now())
        return empty_answer()

    return [Route(MANAGEMENT_SUBSCRIBE_PATH, subscribe, methods=["POST"])]
