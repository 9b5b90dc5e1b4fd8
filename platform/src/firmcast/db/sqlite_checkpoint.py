"""The log of the store is moved into it often enough to stay small, by the connection that writes and after an answer.

The log's file is kept and used again from its beginning: a file that must grow costs almost half of the commits.
"""

import sqlite3
from typing import Final

_LOG_PAGES: Final = 4000
"""Pages of 4 KiB that the log holds, about, when it is moved: 16 MiB."""

_FIRST: Final = 500
_SHORTEST: Final = 200
_LONGEST: Final = 5_000


class Checkpoints:
    """Decides when the log is moved.

    SQLite does not tell this connection how long its log is but by a checkpoint. So changes are counted instead (rows,
    and commits), and each checkpoint tells how many pages those made: the next one comes after as many changes as
    should make `log_pages` of them.
    """

    def __init__(self, connection: sqlite3.Connection, log_pages: int = _LOG_PAGES) -> None:
        self._connection = connection
        self._log_pages = log_pages
        self._changes = 0
        self._due = _FIRST

    def after(self, changes: int) -> None:
        """Take note of a commit of so many changed rows, and move the log when it is long enough.

        Raises:
            sqlite3.Error: the store could not be written or synced. A full disk is none: the log holds everything.
        """
        self._changes += changes + 1
        if self._changes < self._due:
            return
        try:
            _busy, pages, _moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                raise
        else:
            self._due = min(max(self._changes * self._log_pages // max(pages, 1), _SHORTEST), _LONGEST)
        self._changes = 0
