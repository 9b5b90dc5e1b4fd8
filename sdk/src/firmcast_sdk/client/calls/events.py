"""Pure: the calls that read the application's events, for one that cannot be called back. They are our own."""

from collections.abc import Iterable

from firmcast_sdk.client.call import Call, Following, get, reader
from firmcast_sdk.wire import feed as wire
from firmcast_sdk.wire.feed import FeedPage
from firmcast_sdk.wire.notify_types import NotifyType


def events(
    *,
    after: str | None = None,
    from_beginning: bool = False,
    notify_types: Iterable[NotifyType] = (),
    device_id: str | None = None,
    limit: int = 100,
    wait_seconds: int = 20,
) -> Following:
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
    types = tuple(notify_types)
    return Following(
        after=after,
        call=lambda cursor: read_events(
            after=cursor,
            from_beginning=from_beginning and cursor is None,
            notify_types=types,
            device_id=device_id,
            limit=limit,
            # The first call says where "now" is, so what happens while it is answered is not missed.
            wait_seconds=0 if cursor is None else wait_seconds,
        ),
    )


def read_events(
    *,
    after: str | None = None,
    from_beginning: bool = False,
    notify_types: Iterable[NotifyType] = (),
    device_id: str | None = None,
    limit: int = 100,
    wait_seconds: int = 0,
) -> Call[FeedPage]:
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
    query = wire.FeedQuery(
        after=after,
        start=wire.FeedStart.BEGINNING if from_beginning else None,
        notify_type=",".join(notify_types) or None,
        device_id=device_id,
        limit=limit,
        wait=wait_seconds,
    )
    return get(wire.FEED_PATH, reader(FeedPage), query)
