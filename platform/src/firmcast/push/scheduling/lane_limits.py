"""How much the scheduler sends at one time, and how much of the backlog it holds in memory."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """How much may be in flight and in memory."""

    in_flight: int = 512
    """Attempts in flight of all groups together."""

    reserved: int = 51
    """So many of them are kept for groups that have none in flight, when their application has no more than others."""

    trials: int = 128
    """So many of them at most are for groups that are suspect: they failed as a whole, and have not answered since."""

    window_rows: int = 2_000
    """Rows in memory of one group."""

    total_rows: int = 50_000
    """Rows in memory of all groups; one that has none may still have `least_rows`."""

    least_rows: int = 16
    open_rows: int = 64
    """Rows kept of a group whose breaker is open."""

    load_rows: int = 1_000
    """Rows asked for at once."""
