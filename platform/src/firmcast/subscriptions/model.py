"""A subscription is an application's wish to be told of one type of event at one callback."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, SubscriptionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Who wants which events where; one for each application and type."""

    subscription_id: SubscriptionId
    application_id: ApplicationId
    event_type: EventType
    callback_url: str
    created_at: datetime
    generation: int = 1
    """Grows with each word of the application that it is to be called there."""


def callback_host(callback_url: str) -> str:
    """Return the host and the port of a callback, as `host:port`; a port left out is the scheme's own."""
    parts = urlsplit(callback_url)
    port = parts.port or (80 if parts.scheme.lower() == "http" else 443)
    return f"{parts.hostname or ''}:{port}"
