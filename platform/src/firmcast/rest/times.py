"""The management API reads and writes times as RFC 3339 with their offset: one without it has no instant."""

from datetime import UTC, datetime

from firmcast.errors import InvalidValueError

_LONGEST = 40


def requested_time(text: str, field: str) -> datetime | None:
    """Return the UTC time that a caller wrote, None for an empty text.

    Raises:
        InvalidValueError: it is not RFC 3339, or has no offset.
    """
    if not text:
        return None
    # A plus sign that was not encoded arrives in a query as a blank.
    spelt = text.replace(" ", "+") if "T" in text else text
    try:
        moment = datetime.fromisoformat(spelt) if len(spelt) <= _LONGEST and "T" in spelt else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidValueError(field, "must be a time such as 2026-01-31T12:00:00Z")
