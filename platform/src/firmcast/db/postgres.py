"""The store for many nodes: one PostgreSQL database; a node writes on few connections, each for a purpose, and reads.

One connection writes what may touch anything, in serialisable transactions; one writes what is this node's alone and
would only be held up by the former; one keeps the node alive in the eyes of the others; one listens to them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg

from firmcast.db.announcements import Announcements
from firmcast.db.metrics import StoreMetrics
from firmcast.db.migrate import migrations_of
from firmcast.db.port import Channel, Listener, Transaction
from firmcast.db.postgres_connect import Connector, Way
from firmcast.db.postgres_errors import CANNOT_CONNECT, ConnectionLostError, is_out_of_reach
from firmcast.db.postgres_mail import PostgresMail
from firmcast.db.postgres_migrate import migrate
from firmcast.db.postgres_size import SizeWatch
from firmcast.db.postgres_transaction import Connection, PostgresTransaction, run_use_case
from firmcast.db.postgres_writer import Isolation, PostgresWriter, Sharing
from firmcast.db.schema_level import postgres_level, require_current
from firmcast.db.sharing import SharedChannel, SharedChannels
from firmcast.db.write_queue import Rank
from firmcast.errors import StartError, StoreError, StoreUnreachableError
from firmcast.ids import NodeId, new_node_id
from firmcast.metrics import Count

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_READERS: Final = 4
_STATEMENT_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 30.0
_URGENT_PATIENCE_SECONDS: Final = 5.0


class PostgresDatabase:
    """The port's Database on PostgreSQL; it belongs to the loop on which it was opened."""

    def __init__(
        self,
        connect: Connector,
        readers: "asyncpg.Pool[asyncpg.Record]",
        node_id: NodeId,
        channels: SharedChannels,
        metrics: StoreMetrics | None = None,
    ) -> None:
        self.node_id = node_id
        self._readers = readers
        self._listeners = Announcements()
        self._closed = False
        self.broken = asyncio.Event()
        """Set when the database cannot say whether a commit came through; the process must end."""
        self.missed = asyncio.Event()
        """Set when announcements of other nodes were gone before they were read."""
        tell = self._listeners.tell
        unreadable = Count() if metrics is None else metrics.unreadable

        def note_unreadable() -> None:
            unreadable.value += 1

        mail = partial(
            PostgresMail,
            connect,
            channels,
            node_id,
            tell,
            self.missed.set,
            note_unreadable,
            can_listen=lambda: connect.way is Way.STRAIGHT,
        )
        self._mail = mail() if channels else None
        sharing = Sharing(node_id=node_id, channels=channels, on_shared=self._mail.call_soon) if self._mail else None
        writer = partial(PostgresWriter, connect, tell, metrics=metrics, on_broken=self.broken.set)
        self._writer = writer(patience=_PATIENCE_SECONDS, sharing=sharing)
        apart = Isolation.READ_COMMITTED
        self._apart = writer(patience=_PATIENCE_SECONDS, isolation=apart, repeats=True)
        self._urgent = writer(patience=_URGENT_PATIENCE_SECONDS, isolation=apart, repeats=True)
        self.size_watch: SizeWatch | None = None
        """Knows how large the database is, where metrics are kept; it has yet to be started."""
        if metrics is not None:
            self.size_watch = watch = SizeWatch(self, metrics.monotonic)
            metrics.all.before_telling(watch.refresh)
            metrics.size.read = lambda: watch.size
            metrics.waiting.read = lambda: self._writer.waiting + self._apart.waiting + self._urgent.waiting

    @classmethod
    async def open(
        cls,
        url: str,
        now: datetime,
        *,
        node_id: NodeId | None = None,
        shared: Sequence[SharedChannel] = (),
        metrics: StoreMetrics | None = None,
        migrates: bool = True,
    ) -> "PostgresDatabase":
        """Open the store at `url` (`postgresql://…`), migrating it as needed; `now` is noted with a migration.

        Announcements on the channels `shared` are told to the listeners of all nodes.

        Raises:
            StartError: the database cannot be reached, or the store in it is of a later release; or it is not of this
                release, and is not to be migrated here.
        """
        try:
            connect = Connector(url, statement_seconds=_STATEMENT_SECONDS)
            connection = await connect()
            try:
                if migrates:
                    await migrate(connection, migrations_of("postgres"), now)
                else:
                    require_current(await postgres_level(connection, migrations_of("postgres")))
            finally:
                await connection.close()
            readers = await asyncpg.create_pool(min_size=1, max_size=_READERS, connect=connect, reset=_leave_as_it_is)
            self = cls(connect, readers, node_id or new_node_id(), SharedChannels(shared), metrics)
            if self._mail is not None:
                await self._mail.start()
        except (*CANNOT_CONNECT, ValueError) as error:
            message = f"the database cannot be used: {error}"
            raise StartError(message) from error
        return self

    @property
    def commits(self) -> int:
        """How many commits there have been on this node."""
        return self._writer.commits + self._apart.commits + self._urgent.commits

    @property
    def waiting(self) -> int:
        """How many writes wait for their turn on this node."""
        return self._writer.waiting + self._apart.waiting + self._urgent.waiting

    async def write(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._writer.submit(lambda tx: use_case(tx, *args, **kwargs))
        return result

    async def write_behind(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._writer.submit(lambda tx: use_case(tx, *args, **kwargs), Rank.BEHIND)
        return result

    async def write_apart(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        result: Result = await self._apart.submit(lambda tx: use_case(tx, *args, **kwargs), Rank.BEHIND)
        return result

    async def write_urgently(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a small use case as `write_apart` does, and before all that waits; refuse it after a few seconds."""
        result: Result = await self._urgent.submit(lambda tx: use_case(tx, *args, **kwargs))
        return result

    async def read(
        self,
        use_case: Callable[Concatenate[Transaction, Parameters], Coroutine[Any, Any, Result]],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        if self._closed:
            message = "the store is closed"
            raise StoreError(message)
        try:
            async with self._readers.acquire() as connection:
                return await _read_on(connection, lambda tx: use_case(tx, *args, **kwargs))
        except Exception as error:
            if is_out_of_reach(error):
                raise StoreUnreachableError(str(error) or type(error).__name__) from error
            raise

    def listen(self, channel: Channel, listener: Listener) -> None:
        self._listeners.listen(channel, listener)

    def unlisten(self, channel: Channel, listener: Listener) -> None:
        self._listeners.unlisten(channel, listener)

    async def catch_up(self) -> None:
        if self._mail is not None:
            await self._mail.catch_up()

    async def close(self) -> None:
        self._closed = True
        if self._mail is not None:
            await self._mail.stop()
        await asyncio.gather(self._writer.close(), self._apart.close(), self._urgent.close())
        await self._readers.close()


async def _leave_as_it_is(_connection: Connection) -> None:
    """Reset nothing: a read leaves nothing in its session, and a reset is a turn with the server as any other."""


async def _read_on(
    connection: Connection, use_case: Callable[[PostgresTransaction], Coroutine[Any, Any, Result]]
) -> Result:
    transaction = connection.transaction(isolation="repeatable_read", readonly=True)
    await transaction.start()
    try:
        result, _announced = await run_use_case(connection, use_case)
    except ConnectionLostError:
        # Not even asked to roll back: a server that is silent would be waited for once more.
        connection.terminate()
        raise
    except BaseException:
        await transaction.rollback()
        raise
    await transaction.commit()
    return result
