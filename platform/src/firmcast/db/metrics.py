"""What a store tells of itself: how many writes share a commit, how many wait, and where the time of a write goes.

That is the wait for its turn, its statements, the commit, and the wait for the event loop to hear of it.
"""

from collections.abc import Callable
from typing import Final

from firmcast.metrics import Metrics

_WRITES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class StoreMetrics:
    """The counts and gauges of one store; its writer adds to them, on whatever thread it runs."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        """Declare them; `monotonic` gives seconds of a clock that never steps back."""
        self.all = metrics
        self.monotonic = monotonic
        self.commits = metrics.count("firmcast_store_commits", "Commits")
        self.commit_writes = metrics.histogram("firmcast_store_commit_writes", "Writes that shared a commit", _WRITES)
        self.commit_seconds = metrics.histogram(
            "firmcast_store_commit_seconds", "How long the commit itself took, its sync included", _SECONDS
        )
        self.queue_seconds = metrics.histogram(
            "firmcast_store_queue_seconds",
            "How long a write that somebody waits for waited for its turn, behind others",
            _SECONDS,
        )
        self.write_seconds = metrics.histogram(
            "firmcast_store_write_seconds", "How long the statements of a write took, of whatever kind", _SECONDS
        )
        self.answer_seconds = metrics.histogram(
            "firmcast_store_answer_seconds",
            "From the end of a commit until those who wait for it are told, which the event loop has to do (SQLite)",
            _SECONDS,
        )
        self.conflicts = metrics.count(
            "firmcast_store_conflicts", "Transactions that were run again because of another node (PostgreSQL)"
        )
        refused = metrics.counts(
            "firmcast_store_refused_writes", "New work that was refused, by reason (full, busy, undelivered)", "reason"
        )
        self.refused_full = refused.of("full")
        self.refused_busy = refused.of("busy")
        self.refused_undelivered = refused.of("undelivered")
        self.unreadable = metrics.count(
            "firmcast_store_unreadable_announcements",
            "What other nodes announced and this one could not understand; it then reads the store anew (PostgreSQL)",
        )
        self.waiting = metrics.gauge("firmcast_store_waiting_writes", "Writes that wait for their turn")
        self.size = metrics.gauge("firmcast_store_bytes", "Size of the store")
        self.log_size = metrics.gauge(
            "firmcast_store_log_bytes", "Size of the file of the store's write-ahead log (SQLite)"
        )
        self.free = metrics.gauge("firmcast_store_free_bytes", "Space that is left on the disk of the data folder")

    def ran(self, seconds: float, waited: float | None) -> None:
        """Count a write whose statements took so long, and how long somebody had waited for its turn."""
        self.write_seconds.observe(seconds)
        if waited is not None:
            self.queue_seconds.observe(waited)

    def committed(self, writes: int, began: float) -> None:
        """Count a commit of so many writes that began at a time of `monotonic` and has just returned."""
        self.commits.value += 1
        self.commit_writes.observe(writes)
        self.commit_seconds.observe(self.monotonic() - began)
