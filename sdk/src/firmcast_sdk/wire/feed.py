"""The feed: an application's events, read by itself. This is ours; the vendor's platform had callbacks only.

A page is JSON, a stream is `text/event-stream` (WHATWG HTML, section 9.2) whose data is one item of a page each. What
is pushed of an event stands in an item as a text: its UTF-8 bytes are the body, to the byte.
"""

from typing import Annotated, Final

import msgspec

from firmcast_sdk.wire.decoding import Hints, Required, Short, WireEnum
from firmcast_sdk.wire.errors import ErrorCode
from firmcast_sdk.wire.notify_types import NotifyType

FEED_PATH: Final = "/v1/events"
STREAM_PATH: Final = "/v1/events/stream"
LAST_EVENT_ID: Final = "last-event-id"
OLDEST_CURSOR: Final = "firmcast-oldest-cursor"
"""On a refusal of a cursor that is too old: the one after which the log begins."""
DEFAULT_PAGE_SIZE: Final = 100
LARGEST_PAGE_SIZE: Final = 1000
LONGEST_WAIT: Final = 60

CURSOR_UNKNOWN: Final = ErrorCode("cursor_unknown", 400, "This is no cursor of this log.")
CURSOR_EXPIRED: Final = ErrorCode("cursor_expired", 410, "Events after this cursor have been removed.")
TOO_MANY_RECEIVERS: Final = ErrorCode("too_many_receivers", 429, "Too many calls wait for events at one time.")

Cursor = Annotated[str, Hints(limit=64)]


class FeedStart(WireEnum):
    """Where a feed without a cursor begins."""

    NOW = "now"
    BEGINNING = "beginning"
    """With the oldest event that is kept."""


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted, and after which; `notify_type` may name several types, with commas between."""

    after: Cursor | None = None
    start: FeedStart | None = msgspec.field(name="from", default=None)
    notify_type: Annotated[str, Hints(limit=1024)] | None = None
    device_id: Short | None = None


class FeedQuery(StreamQuery, frozen=True, kw_only=True):
    """The same of a page: at most `limit` events; without any an answer comes after `wait` seconds."""

    limit: Annotated[int, Hints(least=1, most=LARGEST_PAGE_SIZE)] | None = None
    wait: Annotated[int, Hints(least=0, most=LONGEST_WAIT)] | None = None


class FeedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One event, with what a push of it carries in headers; `occurred_at` is RFC 3339 in UTC."""

    cursor: Required
    webhook_id: Required
    sequence: int
    notify_type: NotifyType
    device_id: Required
    occurred_at: str
    synthesised: bool
    body: str


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order of the log, the cursor to go on after, and whether there are more already."""

    events: tuple[FeedItem, ...]
    cursor: Required
    more: bool
