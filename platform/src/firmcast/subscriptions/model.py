"""A subscription is an application's wish to be told of one type of event at one callback."""

from dataclasses import dataclass
from datetime import datetime

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
