"""A push is a value here: lists of them are repeated, cut, shuffled and spoilt before they are sent."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, assert_never

import msgspec


class Trouble(Enum):
    """What can happen to pushes on their way."""

    DUPLICATES = "duplicates"
    """Each comes up to three times in a row: an answer was lost."""

    LATE_COPIES = "late copies"
    """Copies of earlier ones come in between: an old attempt was long on its way."""

    REORDERING = "reordering"
    """They come in any order: a sender was taken over by another."""

    REPLAYS = "replays"
    """All come again at the end, marked as a replay: somebody asked for history."""

    BAD_SIGNATURES = "bad signatures"
    """Forged and long-expired copies come in between: somebody plays the platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingPush:
    """One attempt to tell a receiver of one event; it is signed when it is sent."""

    body: bytes
    event_id: str
    sequence: int | None
    occurred_at: datetime
    attempt: int = 1
    synthesised: bool = False
    replay: bool = False
    delay: timedelta = timedelta()
    signed_well: bool = True
    callback_test: bool = False

    def again(self) -> "OutgoingPush":
        """The next attempt of the same event: the same id and body, another attempt number and signature."""
        return replace(self, attempt=self.attempt + 1)

    def replayed(self) -> "OutgoingPush":
        """A copy sent again on request, long after it was accepted."""
        return replace(self, attempt=1, replay=True)

    def delayed(self, delay: timedelta) -> "OutgoingPush":
        """A copy that was signed `delay` before it arrives."""
        return replace(self, delay=delay)

    def forged(self) -> "OutgoingPush":
        """A copy whose signature does not fit; only a platform that signs can send it."""
        return replace(self, signed_well=False)

    def with_body(self, body: bytes) -> "OutgoingPush":
        """A copy with another body, signed as it stands."""
        return replace(self, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the receiver answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return msgspec.json.decode(self.body)


def reordered(pushes: Iterable[OutgoingPush], *, seed: int = 0) -> list[OutgoingPush]:
    """The same pushes in an order that depends on `seed` alone."""
    shuffled = list(pushes)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 -- an order, no secret
    return shuffled


def troubled(pushes: Iterable[OutgoingPush], trouble: Trouble, *, seed: int = 0) -> list[OutgoingPush]:
    """The same pushes as they arrive in `trouble`; none is missing, and the same `seed` gives the same course."""
    sent = list(pushes)
    draw = random.Random(seed)  # noqa: S311 -- a course of events, no secret
    match trouble:
        case Trouble.DUPLICATES:
            return [copy for push in sent for copy in _copies(push, draw.randint(1, 3))]
        case Trouble.LATE_COPIES:
            return [one for place, push in enumerate(sent) for one in (push, sent[draw.randint(0, place)].again())]
        case Trouble.REORDERING:
            return reordered(sent, seed=seed)
        case Trouble.REPLAYS:
            return [*sent, *(push.replayed() for push in sent)]
        case Trouble.BAD_SIGNATURES:
            return [one for push in sent for one in (push.forged(), push, push.delayed(timedelta(days=1)))]
        case _:
            assert_never(trouble)


def _copies(push: OutgoingPush, count: int) -> Sequence[OutgoingPush]:
    return [replace(push, attempt=push.attempt + number) for number in range(count)]
