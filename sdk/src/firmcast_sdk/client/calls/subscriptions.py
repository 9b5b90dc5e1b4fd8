"""Pure: the calls that say which pushes go to which callback URL. Contract page, sections 3 and 4."""

from firmcast_sdk.client.call import Call, Page, Paging, delete, fill, get, nothing, page_of, page_reader, post, reader
from firmcast_sdk.wire import subscriptions as wire
from firmcast_sdk.wire.decoding import InvalidValueError
from firmcast_sdk.wire.errors import SUBSCRIPTION_NOT_FOUND
from firmcast_sdk.wire.notify_types import NotifyType
from firmcast_sdk.wire.subscriptions import SubscribableType, Subscription

_GONE = frozenset({SUBSCRIPTION_NOT_FOUND.code, "200001"})  # the second is the 2018 edition's


def subscribe(notify_type: NotifyType, callback_url: str) -> Call[None]:
    """Have upgrade pushes of one type sent to a callback URL; doing so again changes the URL.

    Args:
        notify_type: one of the four types of upgrades.
        callback_url: scheme, host, port and path, such as https://app.example:9443/pushes; 1024 characters at most.

    Raises:
        ValueError: the type is not one of the four.
        InvalidRequestError: the platform will not call such a URL.

    Source: contract page, section 3.
    """
    try:
        body = wire.ManagementSubscribeRequest(notify_type=notify_type, callback_url=callback_url)
    except InvalidValueError as error:
        raise ValueError(str(error)) from error
    return post(wire.MANAGEMENT_SUBSCRIBE_PATH, body, nothing)


def create_subscription(
    notify_type: NotifyType | SubscribableType,
    callback_url: str,
    *,
    app_id: str | None = None,
    owner_flag: bool | None = None,
    channel: str | None = None,
) -> Call[Subscription]:
    """Have pushes of one type, whatever it is about, sent to a callback URL.

    Args:
        notify_type: any type that can be subscribed to.
        callback_url: scheme, host, port and path, such as https://app.example:9443/pushes; 1024 characters at most.
        app_id: the application that owns the devices; None for the caller itself.
        owner_flag: False: the callback is the authorising application's; True: the authorised one's.
        channel: "HTTP", which is also what None means.

    Returns:
        The subscription with its id.

    Raises:
        InvalidRequestError: the platform will not call such a URL.
        ConflictError: the type is subscribed to already, or the application's other callbacks are on another host.

    Source: contract page, section 4.
    """
    body = wire.SubscribeRequest(
        notify_type=SubscribableType(notify_type.value), callback_url=callback_url, app_id=app_id, channel=channel
    )
    query = wire.SubscribeQuery(owner_flag=owner_flag)
    return post(wire.SUBSCRIPTIONS_PATH, body, reader(Subscription), query=query)


def subscription(subscription_id: str, *, app_id: str | None = None) -> Call[Subscription]:
    """Read one subscription.

    Args:
        subscription_id: its id.
        app_id: the application that owns the devices; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 4.
    """
    path = fill(wire.SUBSCRIPTION_PATH, subscription_id=subscription_id)
    return get(path, reader(Subscription), wire.SubscriptionAddress(app_id=app_id))


def subscriptions(
    *,
    notify_type: NotifyType | SubscribableType | None = None,
    app_id: str | None = None,
    page_size: int = 100,
) -> Paging[Subscription]:
    """Go through the subscriptions, page by page.

    Args:
        notify_type: only those of this type.
        app_id: the application that owns the devices; None for the caller itself.
        page_size: how many are read at a time.

    Source: contract page, section 4.
    """

    def call(page_no: int) -> Call[Page[Subscription]]:
        query = wire.SubscriptionQuery(
            app_id=app_id,
            notify_type=None if notify_type is None else SubscribableType(notify_type.value),
            page_no=page_no,
            page_size=page_size,
        )
        read = page_reader(wire.SubscriptionList, lambda page: page_of(page, page.subscriptions))
        return get(wire.SUBSCRIPTIONS_PATH, read, query)

    return Paging(page_size=page_size, call=call, identify=lambda one: one.subscription_id)


def delete_subscription(subscription_id: str, *, app_id: str | None = None) -> Call[None]:
    """Delete one subscription; what happens from now on is not pushed for it.

    Args:
        subscription_id: its id.
        app_id: the application that owns the devices; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 4.
    """
    path = fill(wire.SUBSCRIPTION_PATH, subscription_id=subscription_id)
    return delete(path, gone=_GONE, query=wire.SubscriptionAddress(app_id=app_id))


def delete_subscriptions(
    *,
    notify_type: NotifyType | SubscribableType | None = None,
    callback_url: str | None = None,
    channel: str | None = None,
    app_id: str | None = None,
    everything: bool = False,
) -> Call[None]:
    """Delete the subscriptions that fit every filter.

    Args:
        notify_type: only those of this type.
        callback_url: only those with exactly this URL.
        channel: "HTTP" or "MQTTS"; None for both, and for any other word nothing is deleted.
        app_id: the application that owns the devices; None for the caller itself.
        everything: must be True for a call without any filter, which deletes all of the application.

    Raises:
        ValueError: there is no filter, and `everything` was not said; or both.

    Source: contract page, section 4.
    """
    filtered = notify_type is not None or callback_url is not None or channel is not None
    if filtered == everything:
        raise ValueError("say by a filter which subscriptions to delete, or everything=True")
    query = wire.SubscriptionDeletion(
        app_id=app_id,
        notify_type=None if notify_type is None else SubscribableType(notify_type.value),
        callback_url=callback_url,
        channel=channel,
    )
    return delete(wire.SUBSCRIPTIONS_PATH, gone=_GONE, query=query)
