"""Nodes hear of each other's commits from rows, in the order of each node's commits; a wake-up call may get lost.

Each node numbers what it announces, without gaps, and writes it in the transaction that it tells of. So whoever reads
on from the last number of each node misses nothing and sees nothing twice. What is read in one go is told in one go.

An announcement that makes no sense here, as of another release, is passed by. Where its channel has somebody who reads
for himself what he was not told, he hears so; otherwise this node begins anew from the store, as after a gap, but not
all the time.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog

from firmcast.db.port import Channel
from firmcast.db.postgres_errors import CANNOT_CONNECT
from firmcast.db.postgres_transaction import Connection
from firmcast.db.sharing import SharedChannels
from firmcast.ids import NodeId

Announcements = Sequence[tuple[Channel, Sequence[object]]]

_log = structlog.get_logger()
_WAKE: Final = "firmcast"
_CALL_PAUSE: Final = 0.02
_POLL_SECONDS: Final = 1.0
_DEAF_POLL_SECONDS: Final = 0.2
_LONGEST_PAUSE: Final = 1.0
_KEPT_MICROSECONDS: Final = 300_000_000
_PRUNE_SECONDS: Final = 60.0
_LONGEST_DEAF_SECONDS: Final = 240.0
"""Who has not read for longer than this begins anew: of his own announcements no gap tells what is gone."""
_LEAST_BETWEEN_BEGINNINGS_SECONDS: Final = 60.0
"""Who cannot read what is announced reads the store anew no more often than this."""

# How far each node has come.
_LAST_NUMBERS: Final = "SELECT node_id, max(number) FROM announcement GROUP BY node_id"

# What others have announced since: of each node, found from one to the next in the index, from its last number on.
_NEWS: Final = """WITH RECURSIVE present AS (
    SELECT min(node_id) AS node_id FROM announcement
    UNION ALL
    SELECT (SELECT min(a.node_id) FROM announcement a WHERE a.node_id > present.node_id)
    FROM present WHERE present.node_id IS NOT NULL
)
SELECT a.node_id, a.number, a.channel, a.items
FROM present LEFT JOIN unnest($2::text[], $3::bigint[]) AS known (node_id, number) ON known.node_id = present.node_id
CROSS JOIN LATERAL (
    SELECT * FROM announcement a
    WHERE a.node_id = present.node_id AND a.number > coalesce(known.number, 0)
    AND (a.node_id <> $1 OR a.channel = ANY($4::text[])) ORDER BY a.number
) a
WHERE present.node_id IS NOT NULL ORDER BY a.node_id, a.number"""

# What every node that is alive has read long ago; the last of a node stays, since it tells where to read on.
_PRUNE: Final = (
    "DELETE FROM announcement a"
    " WHERE made_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1::bigint"
    " AND EXISTS (SELECT FROM announcement b WHERE b.node_id = a.node_id AND b.number > a.number)"
)


class PostgresMail:
    """Reads what other nodes announced, and calls them when this one has."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        channels: SharedChannels,
        node_id: NodeId,
        tell: Callable[[Announcements], None],
        missed: Callable[[], None],
        unreadable: Callable[[], None] = lambda: None,
        can_listen: Callable[[], bool] = lambda: True,
    ) -> None:
        """Tell what others announced with `tell`.

        `missed` is called when some of it was gone before it was read, or made no sense and nobody else sees to that;
        `unreadable` for each that made none. `can_listen` says of the latest connection whether calls come through it:
        where they do not, news are looked for more often.
        """
        self._connect = connect
        self._channels = channels
        self._node_id = node_id
        self._tell = tell
        self._missed = missed
        self._unreadable = unreadable
        self._can_listen = can_listen
        self._is_behind = False  # something made no sense since the last beginning, and nobody saw to it
        self._began_at = float("-inf")
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._call_due = False
        self._called_at = 0.0
        self._pruned_at = self._loop.time()
        self._heard_at = self._loop.time()
        self._stopped = False
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with what is announced from now on: what was before is read from the store by whoever needs it.

        Raises:
            OSError, asyncpg.PostgresError: the database cannot be reached.
        """
        connection = await self._connected()
        self._known = {row[0]: row[1] for row in await connection.fetch(_LAST_NUMBERS)}
        self._task = asyncio.create_task(self._run(), name="postgres-mail")

    async def stop(self) -> None:
        """End; whoever waits is let go."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._let_go(self._waiters)
        await self._hang_up()

    async def catch_up(self) -> None:
        """Return when everything that was committed before the call has been told, or at the end."""
        if self._stopped:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter

    def call_soon(self) -> None:
        """Have the other nodes read; many calls within a moment are one."""
        if not self._call_due:
            self._call_due = True
            self._loop.call_at(max(self._loop.time(), self._called_at + _CALL_PAUSE), self._wake.set)

    # ------------------------------------------------------------------ inside

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wait(failures)
            self._wake.clear()
            waiters, self._waiters = self._waiters, []
            try:
                connection = await self._connected()
                await self._call(connection)
                # Whoever waits began to wait before this read begins, so it sees all that he asks for.
                await self._read(connection)
                await self._prune(connection)
            except CANNOT_CONNECT as error:
                failures += 1
                self._waiters = waiters + self._waiters
                _log.warning("store.mail_held_up", reason=str(error) or type(error).__name__)
                await self._hang_up()
                continue
            except Exception as error:  # whatever it is, without mail nothing is sent on this node any more
                failures += 1
                self._waiters = waiters + self._waiters
                _log.error("store.mail_held_up", exc_info=error)
                await self._hang_up()
                continue
            except asyncio.CancelledError:
                self._let_go(waiters)
                raise
            failures = 0
            self._let_go(waiters)

    async def _wait(self, failures: int) -> None:
        if failures:
            await asyncio.sleep(random.uniform(0.05, min(_LONGEST_PAUSE, 0.05 * 2.0**failures)))  # noqa: S311
            return
        pause = (_POLL_SECONDS if self._can_listen() else _DEAF_POLL_SECONDS) * random.uniform(0.75, 1.0)  # noqa: S311 -- no secret
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()

    async def _call(self, connection: Connection) -> None:
        if not self._call_due or self._loop.time() < self._called_at + _CALL_PAUSE:
            return
        self._call_due = False
        self._called_at = self._loop.time()
        # In a transaction of its own: in that of an event it would make all commits of all nodes wait for each other.
        await connection.execute("SELECT pg_notify($1, $2)", _WAKE, self._node_id)

    async def _read(self, connection: Connection) -> None:
        known = list(self._known), list(self._known.values())
        began = self._loop.time()
        rows = await connection.fetch(_NEWS, self._node_id, *known, self._channels.heard_at_home)
        gap = began - self._heard_at > _LONGEST_DEAF_SECONDS
        self._heard_at = began
        told: dict[str, list[tuple[Channel, Sequence[object]]]] = defaultdict(list)
        for node_id, number, channel, items in rows:
            gap = gap or (number != self._known.get(node_id, 0) + 1 and node_id != self._node_id)
            self._known[node_id] = number
            read = self._understood(node_id, channel, items)
            if read is not None:
                told[node_id].append(read)
        if gap:
            _log.warning("store.mail_missed", advice="this node was cut off for long; it reads everything anew")
        # Said first: what comes behind the gap must not be believed to be all.
        if gap or (self._is_behind and began - self._began_at >= _LEAST_BETWEEN_BEGINNINGS_SECONDS):
            self._is_behind, self._began_at = False, began
            self._missed()
        self._tell([each for of_node in told.values() for each in of_node])

    def _understood(self, node_id: str, channel: str, items: str) -> tuple[Channel, Sequence[object]] | None:
        """Return what an announcement says; None for nothing that concerns this release, or that it understands."""
        try:
            return self._channels.read(channel, items)
        except Exception as error:  # whatever it is, the others are to be heard
            _log.error("store.announcement_unreadable", node_id=node_id, channel=channel, error=repr(error))
            self._unreadable()
            doubted = self._channels.doubted(channel)
            if doubted is not None:
                return doubted, ()
            self._is_behind = True
            return None

    async def _prune(self, connection: Connection) -> None:
        if self._loop.time() - self._pruned_at > _PRUNE_SECONDS:
            self._pruned_at = self._loop.time()
            await connection.execute(_PRUNE, _KEPT_MICROSECONDS)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            # Kept before it is used: whoever stops this in between hangs up what is there.
            self._connection = connection = await self._connect()
            if self._can_listen():
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):  # not everything that speaks so can
                    await connection.add_listener(_WAKE, self._on_call)
        return self._connection

    def _on_call(self, _connection: Any, _process: int, _channel: str, payload: object) -> None:
        if payload != self._node_id:
            self._wake.set()

    async def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _let_go(self, waiters: Sequence["asyncio.Future[None]"]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
