"""The calls of the blocking client on events; written by `scripts/client_methods.py`, not by hand."""

from collections.abc import Iterable

from firmcast_sdk.client.blocking_sender import BlockingSender
from firmcast_sdk.client.calls import events as calls
from firmcast_sdk.client.following import EventFeed
from firmcast_sdk.wire.feed import FeedPage
from firmcast_sdk.wire.notify_types import NotifyType


class Events(BlockingSender):
    """The calls on events."""

    def events(
        self,
        *,
        after: str | None = None,
        from_beginning: bool = False,
        notify_types: Iterable[NotifyType] = (),
        device_id: str | None = None,
        limit: int = 100,
        wait_seconds: int = 20,
    ) -> EventFeed:
        """Follow the application's events, as they are pushed and in that order; it ends only with an error.

        Without `after` it begins with what happens from the first look on. Its `cursor` is the one to go on after.

        Args:
            after: the cursor of the last event that was handled.
            from_beginning: begin with the oldest event that is kept.
            notify_types: only events of these types.
            device_id: only events of this device.
            limit: how many are read at a time, 1 to 1000.
            wait_seconds: how long one call waits for events, 1 to 60 and less than the read time-out.

        Raises:
            NotFoundError: events after the cursor have been removed (`cursor_expired`).
            InvalidRequestError: a value is out of its range, or the cursor is none.

        Source: the platform's description, section events.
        """
        return self._follow(
            calls.events(
                after=after,
                from_beginning=from_beginning,
                notify_types=notify_types,
                device_id=device_id,
                limit=limit,
                wait_seconds=wait_seconds,
            )
        )

    def read_events(
        self,
        *,
        after: str | None = None,
        from_beginning: bool = False,
        notify_types: Iterable[NotifyType] = (),
        device_id: str | None = None,
        limit: int = 100,
        wait_seconds: int = 0,
    ) -> FeedPage:
        """Read the application's next events, or learn after waiting that there are none.

        Args:
            after: the cursor of the last event that was handled; None: from now on.
            from_beginning: begin with the oldest event that is kept.
            notify_types: only events of these types.
            device_id: only events of this device.
            limit: how many at the most, 1 to 1000.
            wait_seconds: how long to wait for events, 0 to 60 and less than the read time-out.

        Raises:
            NotFoundError: events after the cursor have been removed (`cursor_expired`).
            InvalidRequestError: a value is out of its range, or the cursor is none.

        Source: the platform's description, section events.
        """
        return self._call(
            calls.read_events(
                after=after,
                from_beginning=from_beginning,
                notify_types=notify_types,
                device_id=device_id,
                limit=limit,
                wait_seconds=wait_seconds,
            )
        )
