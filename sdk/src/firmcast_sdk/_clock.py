"""The only module of the SDK that reads a clock; everything else is handed `now` or a function like this one."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, UTC."""
    return datetime.now(UTC)
