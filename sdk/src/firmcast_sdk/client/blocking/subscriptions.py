"""The calls of the blocking client on subscriptions; written by `scripts/client_methods.py`, not by hand."""

from firmcast_sdk.client.blocking_sender import BlockingSender
from firmcast_sdk.client.calls import subscriptions as calls
from firmcast_sdk.client.listing import Listing
from firmcast_sdk.wire.notify_types import NotifyType
from firmcast_sdk.wire.subscriptions import SubscribableType, Subscription


class Subscriptions(BlockingSender):
    """The calls on subscriptions."""

    def subscribe(self, notify_type: NotifyType, callback_url: str) -> None:
        """Have upgrade pushes of one type sent to a callback URL; doing so again changes the URL.

        Args:
            notify_type: one of the four types of upgrades.
            callback_url: scheme, host, port and path, such as https://app.example:9443/pushes; 1024 characters at most.

        Raises:
            ValueError: the type is not one of the four.
            InvalidRequestError: the platform will not call such a URL.

        Source: contract page, section 3.
        """
        return self._call(calls.subscribe(notify_type, callback_url))

    def create_subscription(
        self,
        notify_type: NotifyType | SubscribableType,
        callback_url: str,
        *,
        app_id: str | None = None,
        owner_flag: bool | None = None,
        channel: str | None = None,
    ) -> Subscription:
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
        return self._call(
            calls.create_subscription(notify_type, callback_url, app_id=app_id, owner_flag=owner_flag, channel=channel)
        )

    def subscription(self, subscription_id: str, *, app_id: str | None = None) -> Subscription:
        """Read one subscription.

        Args:
            subscription_id: its id.
            app_id: the application that owns the devices; None for the caller itself.

        Raises:
            NotFoundError: there is none of this id.

        Source: contract page, section 4.
        """
        return self._call(calls.subscription(subscription_id, app_id=app_id))

    def subscriptions(
        self,
        *,
        notify_type: NotifyType | SubscribableType | None = None,
        app_id: str | None = None,
        page_size: int = 100,
    ) -> Listing[Subscription]:
        """Go through the subscriptions, page by page.

        Args:
            notify_type: only those of this type.
            app_id: the application that owns the devices; None for the caller itself.
            page_size: how many are read at a time.

        Source: contract page, section 4.
        """
        return self._listing(calls.subscriptions(notify_type=notify_type, app_id=app_id, page_size=page_size))

    def delete_subscription(self, subscription_id: str, *, app_id: str | None = None) -> None:
        """Delete one subscription; what happens from now on is not pushed for it.

        Args:
            subscription_id: its id.
            app_id: the application that owns the devices; None for the caller itself.

        Raises:
            NotFoundError: there is none of this id.

        Source: contract page, section 4.
        """
        return self._call(calls.delete_subscription(subscription_id, app_id=app_id))

    def delete_subscriptions(
        self,
        *,
        notify_type: NotifyType | SubscribableType | None = None,
        callback_url: str | None = None,
        channel: str | None = None,
        app_id: str | None = None,
        everything: bool = False,
    ) -> None:
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
        return self._call(
            calls.delete_subscriptions(
                notify_type=notify_type,
                callback_url=callback_url,
                channel=channel,
                app_id=app_id,
                everything=everything,
            )
        )
