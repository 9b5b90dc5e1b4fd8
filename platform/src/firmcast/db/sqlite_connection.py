"""Connections of the embedded store: one that writes and checkpoints, others that cannot write."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

_CACHED_STATEMENTS = 512
_BUSY_MILLISECONDS = 5000


def writing_connection(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes.

    FULL syncs the log at every commit, so a commit survives power loss. Checkpoints are run by this connection only:
    two connections that write and checkpoint can lose committed pages in SQLite up to 3.51.2.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=_CACHED_STATEMENTS
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS:d}")
    return connection


def reading_connection(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS:d}")
    return connection
