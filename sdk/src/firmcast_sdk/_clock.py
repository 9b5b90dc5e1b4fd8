"""The only module of the SDK that reads a clock; everything else is handed `now` or a function like this one."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds since some moment, which no correction of the clock moves."""
    return time.monotonic()
