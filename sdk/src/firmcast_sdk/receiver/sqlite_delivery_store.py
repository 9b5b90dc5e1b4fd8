"""What was handled, in an SQLite file that the worker processes of one machine share; it outlives them all.

Every step is one IMMEDIATE transaction, so two processes never decide on the same state. A claim is renewed by a thread
while its handler runs; when its process dies nobody renews it, and after the lease the stream is free.
"""

import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from firmcast_sdk import _clock
from firmcast_sdk.events import DeviceId, PushedEvent
from firmcast_sdk.receiver.standing import (
    Claim,
    ClaimLostError,
    PushKey,
    Standing,
    StreamState,
    bounded,
    judge,
    let_go,
    recorded,
    taken,
)

_log = logging.getLogger("firmcast_sdk.receiver")
_IN_MEMORY = ":memory:"
_PRUNE_EVERY = 1_000  # handled pushes of one process
_PRUNE_LIMIT = 10_000  # streams at a time

# One row for each stream that a receiver heard of.
_CREATE = """
CREATE TABLE IF NOT EXISTS firmcast_stream (
    receiver TEXT NOT NULL,
    stream TEXT NOT NULL,
    last_sequence INTEGER NOT NULL,
    handled TEXT NOT NULL,
    token TEXT NOT NULL,
    claimed_until REAL,
    changed_at REAL NOT NULL,
    PRIMARY KEY (receiver, stream)
) WITHOUT ROWID
"""
# Finds the streams that nothing was heard of for long.
_CREATE_INDEX = "CREATE INDEX IF NOT EXISTS firmcast_stream_age ON firmcast_stream (changed_at)"
_READ = "SELECT last_sequence, handled, token, claimed_until FROM firmcast_stream WHERE receiver = ? AND stream = ?"
_WRITE = """
INSERT INTO firmcast_stream (receiver, stream, last_sequence, handled, token, claimed_until, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (receiver, stream) DO UPDATE SET
    last_sequence = excluded.last_sequence, handled = excluded.handled, token = excluded.token,
    claimed_until = excluded.claimed_until, changed_at = excluded.changed_at
"""
# The token stands in the condition: a claim that was lost is not taken back.
_RENEW = "UPDATE firmcast_stream SET claimed_until = ? WHERE receiver = ? AND stream = ? AND token = ?"
_PRUNE = """
DELETE FROM firmcast_stream WHERE (receiver, stream) IN (
    SELECT receiver, stream FROM firmcast_stream WHERE changed_at < ? LIMIT ?
)
"""
_FORGET = "DELETE FROM firmcast_stream WHERE receiver = ? AND stream = ?"


class SqliteDeliveryStore:
    """A store in an SQLite file, for threads and processes of one machine, on a local disk.

        receiver = Receiver(deduplicate=SqliteDeliveryStore("pushes.sqlite"))

    The file may be the application's own: one table is added to it, and its journal becomes a write-ahead log. Whoever
    deletes it makes all processes forget, and go on with a new one.

    Args:
        path: the file; it is made when it is not there.
        receiver: name of the receiver, when several with handlers of their own share the file.
        lease: a dead process's claim is let go after this, two seconds at least; a live one renews its claims.
        retention: a device of which nothing was handled for so long is forgotten. Keep it longer than the platform
            repeats and replays.
        busy_timeout: how long to wait for other processes before the push is refused, to come again.
        clock: gives the time, aware UTC; for tests.

    Raises:
        ValueError: for a lease that is too short.
        sqlite3.Error: when the file cannot be opened or written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        receiver: str = "",
        lease: timedelta = timedelta(seconds=15),
        retention: timedelta = timedelta(days=30),
        busy_timeout: timedelta = timedelta(seconds=5),
        clock: Callable[[], datetime] = _clock.now,
    ) -> None:
        if lease < timedelta(seconds=2):
            raise ValueError("the lease must be two seconds at least")
        # Absolute: a program that goes to another folder later, as a daemon does, keeps its file.
        self._path = path if path == _IN_MEMORY else Path(path).absolute()
        self._receiver = receiver
        self._lease = lease
        self._retention = retention
        self._busy_timeout = busy_timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._claims: dict[str, Claim] = {}
        self._kept = 0
        self._closed = threading.Event()
        self._renewing: threading.Thread | None = None
        self._inherited: list[sqlite3.Connection] = []
        self._connection: sqlite3.Connection | None = _connect(self._path, self._busy_timeout)
        self._identity = _identity(self._path)
        _tell_forked(self)

    def close(self) -> None:
        """Close the file; the store cannot be used after it."""
        self._closed.set()
        with self._lock:
            self._claims.clear()
            if self._connection is not None:
                self._connection.close()

    def take(self, claim: Claim) -> Standing:
        with self._writing() as connection:
            found = self._read(connection, claim.key)
            now = self._clock()
            # Not at once free: who set it may live, and renews it by the new time.
            state = bounded(found, now + self._lease)
            standing = judge(state, claim, now)
            if standing is Standing.NEW:
                self._write(connection, claim.key, taken(state, claim, now + self._lease), now)
            elif state != found:
                self._write(connection, claim.key, state, now)
        if standing is Standing.NEW:
            self._hold(claim)
        return standing

    def keep(self, claim: Claim) -> None:
        with self._writing() as connection:
            state = self._read(connection, claim.key)
            now = self._clock()
            self._write(connection, claim.key, let_go(recorded(state, claim), claim), now)
            self._kept += 1
            if self._kept % _PRUNE_EVERY == 0:
                self._prune(connection, now)
        self._claims.pop(claim.key.stream, None)

    def release(self, claim: Claim) -> None:
        # Even when the write fails: what is not renewed ends by itself.
        self._claims.pop(claim.key.stream, None)
        with self._writing() as connection:
            state = let_go(self._read(connection, claim.key), claim)
            if state == StreamState():
                connection.execute(_FORGET, (self._receiver, claim.key.stream))
            else:
                self._write(connection, claim.key, state, self._clock())

    @contextmanager
    def transaction(self, event: PushedEvent) -> Iterator[sqlite3.Connection]:
        """A transaction in which a handler writes its effects, and which records the event as handled: both or none.

            @receiver.on_firmware_state
            def show(event):
                with store.transaction(event) as connection:
                    connection.execute("UPDATE meter SET state = ? WHERE id = ?", (event.state, event.device_id))

        With it an event has its effects exactly once, wherever the process dies. Await nothing inside, and be quick:
        other pushes wait. Commit and roll back are the store's.

        Raises:
            ClaimLostError: when the event is not being handled by this process any more, or never was.
        """
        device_id = getattr(event, "device_id", None)
        key = PushKey(event_id=event.event_id, device_id=device_id, sequence=event.sequence)
        claim = self._claims.get(key.stream)
        with self._writing() as connection:
            state = self._read(connection, key)
            if claim is None or claim.key != key or state.token != claim.token:
                raise ClaimLostError(f"the event {event.event_id} is not this handler's")
            yield connection
            self._write(connection, key, recorded(state, claim), self._clock())

    def forget(self, device_id: str) -> None:
        """Forget a device, so that any of its events is handled again: for one whose numbers began anew."""
        key = PushKey(event_id=None, device_id=DeviceId(device_id), sequence=None)
        with self._writing() as connection:
            connection.execute(_FORGET, (self._receiver, key.stream))

    def prune(self) -> None:
        """Forget what is older than the retention; done by itself now and then."""
        with self._writing() as connection:
            self._prune(connection, self._clock())

    def _prune(self, connection: sqlite3.Connection, now: datetime) -> None:
        connection.execute(_PRUNE, ((now - self._retention).timestamp(), _PRUNE_LIMIT))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=self._busy_timeout.total_seconds()):
            raise sqlite3.OperationalError("another thread keeps the store busy")
        try:
            connection = self._open_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            self._lock.release()

    def _open_connection(self) -> sqlite3.Connection:
        """The connection to the file that stands at the path now, which processes that start later open too."""
        if self._connection is not None and not self._closed.is_set() and _identity(self._path) != self._identity:
            _log.warning("the file %s was deleted or replaced; what was kept in it is forgotten", self._path)
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = _connect(self._path, self._busy_timeout)
            self._identity = _identity(self._path)
        return self._connection

    def _read(self, connection: sqlite3.Connection, key: PushKey) -> StreamState:
        row = connection.execute(_READ, (self._receiver, key.stream)).fetchone()
        if row is None:
            return StreamState()
        last_sequence, handled, token, until = row
        return StreamState(
            last_sequence=last_sequence,
            handled=msgspec.json.decode(handled, type=tuple[str, ...]),
            token=token,
            claimed_until=None if until is None else datetime.fromtimestamp(until, UTC),
        )

    def _write(self, connection: sqlite3.Connection, key: PushKey, state: StreamState, now: datetime) -> None:
        until = None if state.claimed_until is None else state.claimed_until.timestamp()
        handled = msgspec.json.encode(state.handled).decode()
        values = (self._receiver, key.stream, state.last_sequence, handled, state.token, until, now.timestamp())
        connection.execute(_WRITE, values)

    def _begin_anew(self) -> None:
        """In a forked child: the parent's connection must not be touched, not even to close it; claims stay his."""
        if self._connection is not None:
            self._inherited.append(self._connection)
        self._connection = None
        self._lock = threading.Lock()
        closed, self._closed = self._closed.is_set(), threading.Event()
        if closed:
            self._closed.set()
        self._claims = {}
        self._renewing = None

    def _hold(self, claim: Claim) -> None:
        self._claims[claim.key.stream] = claim
        if self._renewing is None or not self._renewing.is_alive():
            self._renewing = threading.Thread(target=self._renew, name="firmcast-claims", daemon=True)
            self._renewing.start()

    def _renew(self) -> None:
        while not self._closed.wait(self._lease.total_seconds() / 4):
            claims = list(self._claims.values())
            until = (self._clock() + self._lease).timestamp()
            if claims:
                self._renew_until(claims, until)

    def _renew_until(self, claims: list[Claim], until: float) -> None:
        try:
            with self._writing() as connection:
                rows = [(until, self._receiver, claim.key.stream, claim.token) for claim in claims]
                connection.executemany(_RENEW, rows)
        except sqlite3.Error:
            return  # tried again in a quarter of the lease; the store's other calls report what is wrong


def _tell_forked(store: SqliteDeliveryStore) -> None:
    if not hasattr(os, "register_at_fork"):
        return  # this system does not fork
    known = weakref.ref(store)

    def begin_anew() -> None:
        living = known()
        if living is not None:
            living._begin_anew()  # noqa: SLF001 -- of the same module

    os.register_at_fork(after_in_child=begin_anew)


def _identity(path: Path | str) -> tuple[int, int] | None:
    """What tells the file at `path` from another; None when there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path | str, busy_timeout: timedelta) -> sqlite3.Connection:
    seconds = busy_timeout.total_seconds()
    # One connection for all threads of the process; the lock lets one of them in at a time.
    connection = sqlite3.connect(path, timeout=seconds, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, seconds: float) -> None:
    pause = threading.Event()
    for attempt in range(100):
        try:
            # SQLite does not wait for others while it changes the journal, so the waiting is done here.
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if attempt == 99:
                raise
            pause.wait(seconds / 100)
    connection.execute("PRAGMA synchronous = FULL")  # a 200 is given after it: it must outlive a power cut
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_CREATE)
    connection.execute(_CREATE_INDEX)
    connection.execute("COMMIT")
