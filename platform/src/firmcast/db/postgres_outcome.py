"""Nobody answered a COMMIT, so the database is asked what became of it; there is an end to the asking.

After a fail-over the new primary may never have had the transaction, and may have given its number to another one. It
is on another timeline then: what it says of the number is ours only where it cannot be of anybody else's. A row that
the transaction has written, and nobody else can have, says the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Final

import asyncpg

from firmcast.db.postgres_errors import CANNOT_CONNECT
from firmcast.db.postgres_transaction import Connection

_PAUSE: Final = 0.1
PATIENCE_SECONDS: Final = 60.0
"""How long a transaction may be under way after its connection has ended, as where a standby has to confirm it."""

# The timeline of a primary: a standby that is promoted begins another one.
_TIMELINE: Final = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
_STATUS: Final = "SELECT pg_xact_status($1::text::xid8)"


class CommitOutcome(Enum):
    """What became of a transaction."""

    COMMITTED = auto()
    UNDONE = auto()
    UNTOLD = auto()
    """It has ended, and the database cannot say how."""
    UNDER_WAY = auto()
    """It has not ended in all the time that it was waited for."""


async def timeline_of(connection: Connection) -> str:
    """Return what a primary writes on; empty where that cannot be found out."""
    try:
        return str(await connection.fetchval(_TIMELINE))
    except asyncpg.PostgresError:
        return ""  # of something that only speaks like PostgreSQL


async def outcome_of(
    connect: Callable[[], Awaitable[Connection]],
    transaction: str,
    timeline: str,
    *,
    patience: float = PATIENCE_SECONDS,
) -> CommitOutcome:
    """Return what became of a transaction, once the database says; it is waited for as long as it is away.

    Args:
        connect: makes a connection, or raises one of CANNOT_CONNECT.
        transaction: its number, as PostgreSQL writes it.
        timeline: the one on which it was begun.
        patience: seconds for which it may be under way, from the first answer on.
    """
    loop = asyncio.get_running_loop()
    give_up_at: float | None = None
    while True:
        try:
            connection = await connect()
            found = await _judged(connection, transaction, timeline)
        except CANNOT_CONNECT:
            pass  # it is away; or has gone again
        else:
            if found is not None:
                return found
            if give_up_at is None:
                give_up_at = loop.time() + patience
            elif loop.time() >= give_up_at:
                return CommitOutcome.UNDER_WAY
        await asyncio.sleep(_PAUSE)


async def is_there(connect: Callable[[], Awaitable[Connection]], query: str, *arguments: object) -> bool:
    """Return whether a query that asks for a row finds it, once the database says."""
    while True:
        try:
            return await (await connect()).fetchval(query, *arguments) is not None
        except CANNOT_CONNECT:
            await asyncio.sleep(_PAUSE)


async def _judged(connection: Connection, transaction: str, timeline: str) -> CommitOutcome | None:
    """Return what the database says, None for not yet."""
    present = await timeline_of(connection)
    moved = "" not in (present, timeline) and present != timeline
    try:
        status = await connection.fetchval(_STATUS, transaction)
    except asyncpg.InvalidParameterValueError:
        return CommitOutcome.UNDONE  # its number is still to be given: here it never was
    match status:
        case "aborted":
            return CommitOutcome.UNDONE
        case "committed":
            return CommitOutcome.UNTOLD if moved else CommitOutcome.COMMITTED
        case "in progress":
            # A transaction outlives no fail-over: this is another one's, so ours was not committed.
            return CommitOutcome.UNDONE if moved else None
        case _:
            return CommitOutcome.UNTOLD  # too long ago
