"""An attempt's answer decides alone what becomes of its delivery: delivered, tried again at a time, or dead.

A step is only given up when it is too old, or when the receiver says again and again that it can never take this very
one. Everything else is tried again: applications are deployed broken, and mended. A callback that is gone (410) for
whatever it is told is no longer called at all: see `gone_watch`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, assert_never

import msgspec

from firmcast.push.answer import Answer, FailureKind


class FailureReason(StrEnum):
    """Why an attempt did not deliver."""

    REDIRECTED = "redirected"
    REFUSED = "refused"
    """A 4xx that a mended application would not send again."""

    UNACCEPTABLE = "unacceptable"
    """413, 415 or 422: the receiver objects to this very body."""

    GONE = "gone"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    """502, 503 or 504: what stands before the application does not reach it."""

    THROTTLED = "throttled"
    """429, or a 503 that says when to come back."""

    BLOCKED = "blocked"
    UNRESOLVED = "unresolved"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    PROTOCOL = "protocol"
    PROXY = "proxy"
    """The operator's proxy, not the receiver; no attempt is spent on it."""

    LOCAL = "local"


class DeadReason(StrEnum):
    """Why a delivery is given up and kept for a person."""

    EXPIRED = "expired"
    """It was tried for as long as the policy allows."""

    GONE = "gone"
    """The receiver said of this event alone, and as often as the policy allows, that it is gone (410)."""

    UNACCEPTABLE = "unacceptable"
    """The receiver objected to this body as often as the policy allows."""


_CALLBACK_WIDE = frozenset(
    {
        FailureReason.UNAVAILABLE,
        FailureReason.THROTTLED,
        FailureReason.BLOCKED,
        FailureReason.UNRESOLVED,
        FailureReason.CONNECT,
        FailureReason.TLS,
        FailureReason.GONE,
        FailureReason.PROXY,
    }
)


def concerns_callback(reason: FailureReason) -> bool:
    """Say whether a failure speaks of the whole callback, rather than perhaps of one device's event alone."""
    return reason in _CALLBACK_WIDE


class WhenGivenUp(StrEnum):
    """What becomes of a lane whose head is given up."""

    SKIP = "skip"
    """It goes on with the next event; the receiver sees the gap in the sequence."""

    BLOCK = "block"
    """It stands still until somebody sends the event again, or discards it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed delivery is tried again, and when it is given up."""

    delays: tuple[timedelta, ...] = (
        timedelta(seconds=1),
        timedelta(seconds=2),
        timedelta(seconds=5),
        timedelta(seconds=15),
        timedelta(minutes=1),
        timedelta(minutes=2),
        timedelta(minutes=5),
        timedelta(minutes=10),
        timedelta(minutes=30),
    )
    """The wait after the first failure, the second, …; the last one repeats."""

    jitter_portion: float = 0.5
    """The portion (0 to 1) of each wait that is drawn at random, so that lanes do not march in step."""

    age_limit: timedelta = timedelta(days=7)
    """How long after its first attempt a delivery is still tried."""

    unacceptable_attempts: int = 12
    """How often a body is offered to a receiver that answers 410, 413, 415 or 422 to it, and takes others."""

    when_given_up: WhenGivenUp = WhenGivenUp.SKIP

    longest_throttle: timedelta = timedelta(hours=1)
    """A receiver that asks for more than this is tried again after this."""

    local_delay: timedelta = timedelta(seconds=1)
    """The wait after a fault of our own."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The receiver has the event."""


class RetryAt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The delivery stays the head of its lane and is tried again."""

    at: datetime
    reason: FailureReason
    spends_attempt: bool = True
    """False when the attempt does not advance the schedule: our own fault, or a receiver that named a time."""

    holds_callback: bool = False
    """True when nothing may be sent to the callback before `at`."""


class Dead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The delivery is given up; its lane goes on with the next event."""

    reason: DeadReason
    failure: FailureReason
    """Why the last attempt did not deliver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The delivery is given up, and its lane stands still until somebody acts."""

    reason: DeadReason
    failure: FailureReason
    """Why the last attempt did not deliver."""


Verdict = Delivered | RetryAt | Dead | Blocked

DELIVERED: Final = Delivered()

_KIND_REASONS: Mapping[FailureKind, FailureReason] = MappingProxyType(
    {
        FailureKind.BLOCKED: FailureReason.BLOCKED,
        FailureKind.UNRESOLVED: FailureReason.UNRESOLVED,
        FailureKind.CONNECT: FailureReason.CONNECT,
        FailureKind.CONNECT_TIMEOUT: FailureReason.CONNECT,
        FailureKind.TLS: FailureReason.TLS,
        FailureKind.TIMEOUT: FailureReason.TIMEOUT,
        FailureKind.CONNECTION_LOST: FailureReason.CONNECTION_LOST,
        FailureKind.PROTOCOL: FailureReason.PROTOCOL,
        FailureKind.PROXY: FailureReason.PROXY,
        FailureKind.LOCAL: FailureReason.LOCAL,
    }
)

_OF_THE_BODY: Mapping[FailureReason, DeadReason] = MappingProxyType(
    {FailureReason.GONE: DeadReason.GONE, FailureReason.UNACCEPTABLE: DeadReason.UNACCEPTABLE}
)
"""What a receiver may mean of one event alone: asking for ever would hold up what is behind it in its lane."""

_STATUS_REASONS: Mapping[int, FailureReason] = MappingProxyType(
    {
        410: FailureReason.GONE,
        413: FailureReason.UNACCEPTABLE,
        415: FailureReason.UNACCEPTABLE,
        422: FailureReason.UNACCEPTABLE,
        429: FailureReason.THROTTLED,
        502: FailureReason.UNAVAILABLE,
        503: FailureReason.UNAVAILABLE,
        504: FailureReason.UNAVAILABLE,
    }
)


def decide(
    *,
    attempt: int,
    first_attempted_at: datetime,
    answer: Answer,
    policy: RetryPolicy,
    now: datetime,
    date: datetime,
    jitter: float,
) -> Verdict:
    """Decide what becomes of a delivery.

    Args:
        attempt: number of this attempt, from 1; attempts that were not spent do not count.
        first_attempted_at: start of the first attempt of this delivery.
        answer: what this attempt came to.
        policy: the rules of push.
        now: the time of the decision, by a clock that never steps.
        date: the same by the wall clock, as receivers name dates: one that was set since tells another.
        jitter: a number from 0 to 1 drawn for this decision.
    """
    reason = failure_reason(answer)
    if reason is None:
        return DELIVERED
    if reason is FailureReason.LOCAL:
        return RetryAt(at=now + policy.local_delay, reason=reason, spends_attempt=False)
    if reason in _OF_THE_BODY and attempt >= policy.unacceptable_attempts:
        return _given_up(_OF_THE_BODY[reason], reason, policy)
    expires_at = first_attempted_at + policy.age_limit
    if now >= expires_at:
        return _given_up(DeadReason.EXPIRED, reason, policy)
    if reason is FailureReason.PROXY:
        return RetryAt(at=min(now + policy.local_delay, expires_at), reason=reason, spends_attempt=False)
    asked_for = _throttled_until(answer, policy, now, date)
    if asked_for is not None:
        return RetryAt(at=asked_for, reason=FailureReason.THROTTLED, spends_attempt=False, holds_callback=True)
    return RetryAt(at=min(now + _delay(attempt, policy, jitter), expires_at), reason=reason)


def _given_up(reason: DeadReason, failure: FailureReason, policy: RetryPolicy) -> Verdict:
    match policy.when_given_up:
        case WhenGivenUp.SKIP:
            return Dead(reason=reason, failure=failure)
        case WhenGivenUp.BLOCK:
            return Blocked(reason=reason, failure=failure)
        case _:
            assert_never(policy.when_given_up)


def failure_reason(answer: Answer) -> FailureReason | None:
    """Say why an answer is a failure; None when the event was delivered."""
    if answer.failure is not None:
        return _KIND_REASONS[answer.failure]
    status = answer.status
    if status is None:
        raise ValueError("an answer has a status or a failure")
    if 200 <= status < 300:
        return None
    if status in _STATUS_REASONS:
        return _STATUS_REASONS[status]
    if 300 <= status < 400:
        return FailureReason.REDIRECTED
    if 400 <= status < 500:
        return FailureReason.REFUSED
    return FailureReason.SERVER_ERROR


def _delay(attempt: int, policy: RetryPolicy, jitter: float) -> timedelta:
    full = policy.delays[min(attempt, len(policy.delays)) - 1]
    return full * (1 - policy.jitter_portion * jitter)


def _throttled_until(answer: Answer, policy: RetryPolicy, now: datetime, date: datetime) -> datetime | None:
    """Return the time that a 429 or 503 asks us to keep away until; None when it asks for none to come."""
    if answer.status not in {429, 503} or answer.retry_after is None:
        return None
    wait = parse_retry_after(answer.retry_after, date)
    if wait is None or wait <= timedelta(0):
        return None
    return now + min(wait, policy.longest_throttle)


def parse_retry_after(value: str, date: datetime) -> timedelta | None:
    """Read `Retry-After` (RFC 9110, section 10.2.3) in either form, as a wait from `date` on; None for neither."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:12]), 10**9))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - date
