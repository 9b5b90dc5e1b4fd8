"""A use case sees the store through Transaction alone; an entry point opens one through Database, and owns its end.

A use case is a coroutine function whose first argument is the open transaction. It awaits nothing but that
transaction's methods: SQLite drives it to its end on the writer's thread without a loop, PostgreSQL on the loop.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Concatenate, NewType, ParamSpec, Protocol, TypeVar

from firmcast.db.statement import Columns, Statement

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

Row = tuple[Any, ...]
Value = str | bytes | int | float | None | Sequence[str] | Sequence[int]

Channel = NewType("Channel", str)
"""Names what an announcement is about, such as new device commands."""

Listener = Callable[[Sequence[Any]], None]
"""Called on the event loop with the items announced by the transactions that just committed."""


class Transaction(Protocol):
    """An open transaction. Its methods never leave it half done: an error ends it and nothing is written.

    A use case may catch the error of a statement to say what it means, but then it must raise; it cannot go on.
    """

    async def fetch(self, statement: Statement, *arguments: Value) -> list[Row]:
        """Run a statement and return its rows."""
        ...

    async def fetch_row(self, statement: Statement, *arguments: Value) -> Row | None:
        """Run a statement and return its first row, None for none."""
        ...

    async def execute(self, statement: Statement, *arguments: Value) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    async def execute_many(self, statement: Statement, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once for each row of arguments."""
        ...

    async def copy(self, into: Columns, rows: Iterable[Sequence[Value]]) -> bool:
        """Add rows as PostgreSQL takes them in best, by COPY; a store without it returns False and has done nothing."""
        ...

    def announce(self, channel: Channel, items: Sequence[object]) -> None:
        """Tell the listeners of `channel` about `items` after this transaction has committed; never before."""
        ...


class Reader(Protocol):
    """A store that can be read."""

    async def read(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a use case that only reads, on a consistent view of what has been committed.

        Raises:
            StoreError: the store is closed or cannot be read, or the use case has tried to write.
        """
        ...


class Database(Reader, Protocol):
    """A store of the platform."""

    async def write(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a use case in a transaction and return when it is durable.

        An exception of the use case undoes its own changes only and is raised here.

        Raises:
            StoreFullError: no space is left; nothing was written.
            StoreBrokenError: a commit failed, of this or of an earlier write; the process must end.
            StoreError: the store is closed, or the use case awaited something other than its transaction.
        """
        ...

    async def write_behind(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a use case as `write` does, behind all that is asked with `write`: for what nobody waits for.

        It has its turn soon, however much else there is. But once it has begun all others wait for it, so it should
        take a few milliseconds and no more.
        """
        ...

    async def write_apart(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a use case as `write_behind` does, or beside other writes, each statement seeing what is there.

        Beside them where the store can. For what no other write touches meanwhile, or what it locks itself. It may not
        announce anything to other nodes: only `write` and `write_behind` keep announcements in order. It may be
        written twice, when the database was replaced in the moment of its commit: so it must do no harm then.
        """
        ...

    def listen(self, channel: Channel, listener: Listener) -> None:
        """Have `listener` called after each commit that announced something on `channel`, before the write returns.

        What other nodes announced it hears soon after their commits, those of one node in their order.
        """
        ...

    def unlisten(self, channel: Channel, listener: Listener) -> None:
        """Have `listener` called no more."""
        ...

    async def catch_up(self) -> None:
        """Return when all that any node committed before the call has been told to the listeners of this one."""
        ...

    async def close(self) -> None:
        """Finish what was asked for and close the store."""
        ...
