"""Whoever connects finds out what stands before the server, since some poolers give each transaction another session.

A server tells a new connection which process of its serves it; a pooler names one that it has made up. Behind a pooler
nothing may be left in a session: not a listener, not a setting. A prepared statement may be, where the pooler itself
keeps it, as one shows by having given the session another name for it than ours. Where it does not, statements are not
kept at all: the next transaction's session would not know them, or know another's by the same name.
"""

import asyncio
import secrets
from enum import Enum, auto
from typing import Any, Final

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from firmcast.db.postgres_errors import MISTAKEN_STATEMENT
from firmcast.db.postgres_transaction import Connection

_CONNECT_SECONDS: Final = 5.0
_STATEMENTS_KEPT: Final = 1000
_TRIES: Final = 3

_PROCESS: Final = "SELECT pg_backend_pid()"

# Is a prepared statement known to the session under the name that we gave it?
_IS_KNOWN: Final = "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1)"


class Way(Enum):
    """What stands between a connection and the server."""

    STRAIGHT = auto()
    """Nothing, or what passes everything on: the session is the connection's."""
    KEEPING = auto()
    """A pooler; each transaction may have another session, which knows all statements that were prepared before."""
    FORGETFUL = auto()
    """A pooler; nothing that was left in a session may be counted on."""


class Connector:
    """Connects to a database, as the way there allows."""

    def __init__(self, url: str, *, statement_seconds: float | None) -> None:
        """Let no statement take longer than `statement_seconds`."""
        self._url = url
        self._statement_seconds = statement_seconds
        self.way: Way | None = None
        """What stood in between last; None before the first connection."""

    async def __call__(self, *_: Any, **_of_a_pool: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a new connection to the primary, unless the address wants another server.

        Raises:
            OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError: it cannot
                be had.
            ValueError: the address is none.
        """
        for _try in range(_TRIES):
            way = self.way or Way.FORGETFUL  # nobody is misled by what that one does
            connection = await self._connect(way)
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    self.way = await _way_of(connection)
            except BaseException:
                connection.terminate()
                raise
            if self.way is way:
                return connection
            connection.terminate()
        message = "what stands before the database changes with each connection"
        raise asyncpg.InterfaceError(message)

    async def _connect(self, way: Way) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            self._url,
            timeout=_CONNECT_SECONDS,
            command_timeout=self._statement_seconds,
            statement_cache_size=0 if way is Way.FORGETFUL else _STATEMENTS_KEPT,
            target_session_attrs=_server_wanted(self._url),
        )


async def _way_of(connection: Connection) -> Way:
    name = f"firmcast_{secrets.token_hex(8)}"
    try:
        async with connection.transaction():
            if await connection.fetchval(_PROCESS) == connection.get_server_pid():
                return Way.STRAIGHT
            # Held until it is looked for: a statement that nobody has any more is closed.
            statement = await connection.prepare("SELECT 1", name=name)
            is_known = await connection.fetchval(_IS_KNOWN, name)
            del statement
            if not is_known:
                return Way.KEEPING
            await connection.execute(f"DEALLOCATE {name}")
    except MISTAKEN_STATEMENT:
        pass  # it kept statements before, and does so no more
    return Way.FORGETFUL


def _server_wanted(url: str) -> SessionAttribute | None:
    """Return which of the servers that an address names is wanted, unless it says so itself."""
    # A standby refuses all writes, and what it lets read may be of a while ago.
    return None if "target_session_attrs" in url else SessionAttribute.primary
