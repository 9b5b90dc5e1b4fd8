"""A delivery is one event for one subscription; what has become of it is told by where its record stands."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NewType, Protocol, TypeVar

import msgspec

from firmcast.ids import ApplicationId, DeviceId, EventId, MessageId, Partition, SubscriptionId, partition_of
from firmcast.nodes.model import Epoch
from firmcast.push.answer import Answer
from firmcast.push.retry import DeadReason, FailureReason, Verdict

ALONE: Final = Epoch(0)
"""The epoch of a process that shares its store with nobody."""

Claim = tuple[Partition, Epoch]
"""A partition, and the epoch under which it is, or was, ours."""

GroupId = NewType("GroupId", int)
"""Names a callback group: subscriptions of one application that are called at one URL."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is remembered of a delivery that failed."""

    attempts: int
    """Attempts spent so far."""

    first_attempted_at: datetime
    due_at: datetime
    """When the next attempt may be made."""

    blocked: bool = False
    """True when it was given up and its lane stands still until somebody acts; `due_at` then means nothing."""


class DeliveryKey(Protocol):
    """What is stored of a delivery; the rest stands in the log."""

    @property
    def event_id(self) -> EventId: ...

    @property
    def subscription_id(self) -> SubscriptionId: ...

    @property
    def device_id(self) -> DeviceId: ...

    @property
    def sequence(self) -> int: ...


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event on its way to a subscription, with all that is sent of it."""

    event_id: EventId
    subscription_id: SubscriptionId
    application_id: ApplicationId
    device_id: DeviceId
    sequence: int
    message_id: MessageId
    occurred_at: datetime
    synthesised: bool
    body: bytes
    """The bytes of the request, the same at each attempt."""

    trouble: Trouble | None = None
    """What the store remembers of failed attempts, when it was read from there."""

    replay: int = 0
    """0 for what is told live, RESENT for what a person sends again, else the number of its replay."""

    edition: int = 0
    """Which row this is of those that the event and the subscription have had; 0 for what is told live."""


RESENT: Final = -1
"""Stands for the number of a replay where a person had a delivery made once more, or a dead letter.

It keeps its place before the live events behind it: they are newer, and it may be the first of them to arrive.
"""


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that has ended, and what was decided about its delivery."""

    delivery: Delivery
    attempt: int
    attempted_at: datetime
    first_attempted_at: datetime
    retried: bool
    """True when the store remembers an earlier attempt."""

    answer: Answer
    verdict: Verdict
    settled_at: datetime
    epoch: Epoch = ALONE
    """Under which the device's partition was ours when the attempt began."""

    @property
    def claim(self) -> Claim:
        """What the settlement may be written for."""
        return partition_of(self.delivery.device_id), self.epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was found when a batch of settlements was written."""

    refused: int
    """Settlements that were not written, since their partition has changed hands since their attempts began."""

    made_since: list[Delivery]
    """Deliveries that came into being after those that were settled had been taken back: they are still to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDelivery:
    """A delivery that is still to be made, as an operator sees it."""

    event_id: EventId
    subscription_id: SubscriptionId
    device_id: DeviceId
    sequence: int
    attempts: int
    next_attempt_at: datetime | None
    """None when nothing but its turn is waited for."""

    reason: FailureReason | None
    """Why the last attempt failed; None when there was none."""

    blocked: bool
    """True when it is a dead letter, and its lane stands until somebody decides about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestUndelivered:
    """The oldest event that a subscription still waits for."""

    subscription_id: SubscriptionId
    event_id: EventId
    device_id: DeviceId
    occurred_at: datetime
    tried: bool
    """True when an attempt at it has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that was given up and is kept for a person."""

    event_id: EventId
    subscription_id: SubscriptionId
    device_id: DeviceId
    sequence: int
    attempts: int
    reason: DeadReason
    failure: FailureReason
    died_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An entry of the log of attempts."""

    attempt_id: int
    event_id: EventId
    subscription_id: SubscriptionId
    device_id: DeviceId
    number: int
    attempted_at: datetime
    duration: timedelta
    status: int | None
    failure: FailureReason | None
    """None when the event was delivered."""

    detail: str
    address: str
    answer: bytes
    """The first bytes of the answer's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """How much was removed of what nobody will be told any more."""

    deliveries: int
    dead_letters: int
    more: bool
    """True when there may be more to remove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a list of deliveries or dead letters that is in the order of the log."""

    event_id: EventId
    subscription_id: SubscriptionId
    """Empty for before all of the event."""


ListedT = TypeVar("ListedT")

Listed = tuple[list[ListedT], int]
"""A page of a list, and how many rows there are on all pages, as far as they are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries, dead letters or attempts are wanted; None for any."""

    subscription_id: SubscriptionId | None = None
    device_id: DeviceId | None = None
    event_id: EventId | None = None
