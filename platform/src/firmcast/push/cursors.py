"""Where a page of a list ended, as a word that is given back for the next one."""

import re
from collections.abc import Sequence

from firmcast.errors import InvalidValueError
from firmcast.ids import EventId, SubscriptionId
from firmcast.push.model import Attempt, DeadLetter, PendingDelivery, Position

_NUMBER = re.compile(r"[0-9]{1,18}")


def position(word: str) -> Position | None:
    """Return the place in the order of the log that `word` names, None for the beginning.

    Raises:
        InvalidValueError: it names none.
    """
    if not word:
        return None
    number, _, subscription_id = word.partition("-")
    return Position(event_id=EventId(_number(number)), subscription_id=SubscriptionId(subscription_id))


def attempt(word: str) -> int | None:
    """Return the attempt that `word` names, None for none.

    Raises:
        InvalidValueError: it names none.
    """
    return _number(word) if word else None


def after_position(found: Sequence[PendingDelivery | DeadLetter], size: int) -> str | None:
    """Return the word for where a page of `size` rows of `found` ends; None when there is no row behind it."""
    if len(found) <= size:
        return None
    last = found[size - 1]
    return f"{last.event_id}-{last.subscription_id}"


def before_attempt(found: Sequence[Attempt], size: int) -> str | None:
    """Return the word for where a page of `size` attempts of `found` ends; None when there is none behind it."""
    return str(found[size - 1].attempt_id) if len(found) > size else None


def _number(word: str) -> int:
    if _NUMBER.fullmatch(word) is None:
        raise InvalidValueError("after", "it is not the `next` of a page of this list")
    return int(word)
