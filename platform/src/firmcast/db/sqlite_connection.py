"""Connections of the embedded store: one that writes and checkpoints, others that cannot write."""

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from firmcast.errors import StartError

OLDEST_SQLITE: Final = (3, 38, 0)
"""The first that has `->>`, which the statements use."""

_CACHED_STATEMENTS: Final = 512
_BUSY_SECONDS: Final = 30.0
"""How long somebody else's tool may lock the store before a write counts as failed."""


def writing_connection(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes.

    FULL syncs the log at every commit, so a commit survives power loss. Checkpoints are run by this connection only:
    two connections that write and checkpoint can lose committed pages in SQLite up to 3.51.2.

    Raises:
        StartError: it is no SQLite file, cannot be opened, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        message = f"SQLite {sqlite3.sqlite_version} is too old; 3.38 or later is needed"
        raise StartError(message)
    connection = None
    try:
        connection = _connect(str(path), uri=False)
        if not path.stat().st_size:
            # A store that has tables would have to be written anew for it.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = -65536")  # KiB; keys are random, so pages come back again and again
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        message = f"the store {path} cannot be opened: {error}"
        raise StartError(message) from error
    if mode != "wal":
        connection.close()
        message = f"the store {path} cannot have a write-ahead log; is it on a local disk?"
        raise StartError(message)
    return connection


def reading_connection(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read."""
    connection = _connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(name: str, *, uri: bool) -> sqlite3.Connection:
    return sqlite3.connect(
        name,
        uri=uri,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
        timeout=_BUSY_SECONDS,
    )
