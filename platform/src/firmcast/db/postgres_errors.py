"""What an error of PostgreSQL, or of the way to it, means for whoever asked: again, later, elsewhere, or never."""

from typing import Final

import asyncpg

from firmcast.errors import StoreError, StoreFullError

_ANOTHER_TIME: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

_ENDED: Final = (
    OSError,
    EOFError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it shuts down, starts, or was told to end us (57P01 to 57P05)
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.InternalClientError,  # it is a standby, or speaks nonsense
)
"""The connection is gone, or should be."""

MISTAKEN_STATEMENT: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""A session knows no statement of ours by that name, or already one: a pooler has given us another than before."""

_TROUBLE: Final = (asyncpg.InsufficientResourcesError, asyncpg.PostgresSystemError)
"""The server cannot do it now, whoever asks: connections, memory, files."""


class StatementConflictError(StoreError):
    """Another transaction stood in the way: the whole of this one must be done again."""


class ConnectionLostError(StoreError):
    """The database cannot be reached, or has ended the connection."""


class ReadOnlyError(StoreError):
    """What was asked for as a read has tried to write; or this server is a standby, where nobody can."""


CANNOT_CONNECT: Final = (*_ENDED, asyncpg.PostgresError, asyncpg.InterfaceError)
"""Whatever goes wrong while a connection is made: the next one may be."""


def is_out_of_reach(error: Exception) -> bool:
    """Say whether the cause is the database, or the way to it, so that the same may go well later."""
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # else it is an argument of ours that cannot be sent
    return isinstance(error, (*_ENDED, *_TROUBLE, ConnectionLostError, StatementConflictError))


def translated(error: Exception, *, is_closed: bool) -> Exception:
    """Return the error of ours that tells what the caller must do; one that is a mistake of ours stays as it is.

    `is_closed` says whether the connection is by now.
    """
    if isinstance(error, _ANOTHER_TIME):
        return StatementConflictError(str(error))
    if isinstance(error, asyncpg.DiskFullError):
        return StoreFullError("no space is left for the store")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return ReadOnlyError(f"what was asked for as a read has tried to write, or the server is a standby: {error}")
    if isinstance(error, (*_ENDED, *MISTAKEN_STATEMENT)) or is_closed:
        return ConnectionLostError(str(error) or type(error).__name__)
    return error
