"""The table of replays, and the deliveries that they make."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from firmcast.db.columns import from_column, from_optional_column, to_column, to_optional_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import portable
from firmcast.ids import ApplicationId, DeviceId, ReplayId, SubscriptionId
from firmcast.push.replay.model import OpenReplay, Replay, ReplayOrder, ReplayState, Told
from firmcast.push.store import deliveries as delivery_store

_COUNTED_AMONG: Final = 5
"""So many times what is counted at the most is looked at: the rest may be of lanes that stand still."""

_COLUMNS: Final = (
    "replay_id, application_id, subscription_ids, device_id, since, until, rate, created_at, created_by, last,"
    " state, cursor, queued, passed_over, incomplete, paid_until, ended_at"
)

# Somebody wants history told again.
INSERT_REPLAY: Final = portable(
    "INSERT INTO replay (application_id, subscription_ids, device_id, since, until, rate, created_at, created_by, last,"
    " state, cursor, queued, passed_over, incomplete, paid_until, ended_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', ?10, 0, 0, ?11, ?7, NULL) RETURNING replay_id"
)

SELECT_REPLAY: Final = portable(f"SELECT {_COLUMNS} FROM replay WHERE replay_id = ?1")

# Those that are not over, the oldest first.
SELECT_OPEN: Final = portable(
    "SELECT replay_id, application_id, subscription_ids, rate FROM replay WHERE state = 'open' ORDER BY replay_id"
)

# How many there are in each state.
COUNT_STATES: Final = portable("SELECT state, COUNT(*) FROM replay GROUP BY state")

# Those that ended long ago go, a part at a time.
DELETE_ENDED: Final = portable(
    "DELETE FROM replay WHERE replay_id IN (SELECT replay_id FROM replay WHERE state <> 'open' AND ended_at < ?1"
    " ORDER BY replay_id LIMIT ?2)"
)

# The latest first, for a person.
SELECT_REPLAYS: Final = portable(
    f"SELECT {_COLUMNS} FROM replay WHERE (?1 = '' OR application_id = ?1) ORDER BY replay_id DESC LIMIT ?2 OFFSET ?3"
)
COUNT_REPLAYS: Final = portable("SELECT COUNT(*) FROM replay WHERE (?1 = '' OR application_id = ?1)")

# A replay has come further.
MOVE_REPLAY: Final = portable(
    "UPDATE replay SET cursor = ?2, queued = queued + ?3, passed_over = passed_over + ?4, incomplete = ?5,"
    " paid_until = ?6 WHERE replay_id = ?1"
)

# A replay is over.
END_REPLAY: Final = portable(
    "UPDATE replay SET state = ?2, ended_at = ?3 WHERE replay_id = ?1 AND state = 'open' RETURNING replay_id"
)

# How many deliveries of a replay are still to be made; counted no further than asked for.
COUNT_OUTSTANDING: Final = portable(
    "SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE replay = ?1 AND replay > 0 LIMIT ?2) outstanding"
)

# How many deliveries of all replays are still to be made; counted no further than ?1.
COUNT_REPLAYED: Final = portable("SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE replay > 0 LIMIT ?1) replayed")

# How many a subscription waits for, whatever they are of, but for lanes that stand still and so need no memory; counted
# no further than ?2, among ?3 at the most.
COUNT_WAITING: Final = portable(
    "SELECT COUNT(*) FROM (SELECT 1 FROM (SELECT device_id FROM delivery WHERE subscription_id >= ?1"
    " AND subscription_id <= ?1 ORDER BY subscription_id, event_id LIMIT ?3) d"
    " WHERE NOT EXISTS (SELECT 1 FROM lane l WHERE l.subscription_id = ?1 AND l.device_id = d.device_id"
    " AND l.blocked = 1) LIMIT ?2) waiting"
)

# What a cancelled replay has not delivered is not waited for either.
WITHDRAW_LANE: Final = portable("DELETE FROM lane WHERE subscription_id = ?1 AND device_id = ?2 AND event_id = ?3")


async def insert(
    tx: Transaction, order: ReplayOrder, *, cursor: int, last: int, incomplete: bool, now: datetime, by: str
) -> ReplayId:
    """Store a new replay and return its number."""
    row = await tx.fetch_row(
        INSERT_REPLAY,
        order.application_id,
        msgspec.json.encode(order.subscription_ids).decode(),
        order.device_id or "",
        to_optional_column(order.since),
        to_optional_column(order.until),
        order.rate,
        to_column(now),
        by,
        last,
        cursor,
        int(incomplete),
    )
    assert row is not None, "an insert returns its row"
    return ReplayId(row[0])


async def find(tx: Transaction, replay_id: ReplayId) -> Replay | None:
    """Return the replay, None when there is none of this number."""
    row = await tx.fetch_row(SELECT_REPLAY, replay_id)
    return None if row is None else _replay(row)


async def open_replays(tx: Transaction) -> list[OpenReplay]:
    """Return those that are not over, the oldest first."""
    return [
        OpenReplay(
            replay_id=ReplayId(row[0]),
            application_id=ApplicationId(row[1]),
            subscription_ids=_subscription_ids(row[2]),
            rate=row[3],
        )
        for row in await tx.fetch(SELECT_OPEN)
    ]


async def states(tx: Transaction) -> dict[ReplayState, int]:
    """Return how many replays there are in each state."""
    return {ReplayState(row[0]): row[1] for row in await tx.fetch(COUNT_STATES)}


async def forget(tx: Transaction, before: datetime, limit: int) -> int:
    """Remove the oldest `limit` replays that ended before a time, and return how many there were."""
    return await tx.execute(DELETE_ENDED, to_column(before), limit)


async def listed(tx: Transaction, application_id: ApplicationId | None, page: Page) -> tuple[list[Replay], int]:
    """Return a page of the replays, the latest first, and how many there are on all pages."""
    rows = await tx.fetch(SELECT_REPLAYS, application_id or "", page.limit, page.offset)
    total = await tx.fetch_row(COUNT_REPLAYS, application_id or "")
    return [_replay(row) for row in rows], 0 if total is None else total[0]


async def move(
    tx: Transaction, replay: Replay, *, cursor: int, queued: int, passed_over: int, incomplete: bool, paid: datetime
) -> None:
    """Note how far a replay has come, and how many deliveries that made."""
    await tx.execute(MOVE_REPLAY, replay.replay_id, cursor, queued, passed_over, int(incomplete), to_column(paid))


async def end(tx: Transaction, replay_id: ReplayId, state: ReplayState, now: datetime) -> bool:
    """End a replay; return whether it was open."""
    return await tx.fetch_row(END_REPLAY, replay_id, state.value, to_column(now)) is not None


async def outstanding(tx: Transaction, replay_id: ReplayId, most: int) -> int:
    """Return how many deliveries of a replay are still to be made, `most` for that many and more."""
    row = await tx.fetch_row(COUNT_OUTSTANDING, replay_id, most)
    return 0 if row is None else int(row[0])


async def replayed(tx: Transaction, most: int) -> int:
    """Return how many deliveries of all replays are still to be made, `most` for that many and more."""
    row = await tx.fetch_row(COUNT_REPLAYED, most)
    return 0 if row is None else int(row[0])


async def most_waiting(tx: Transaction, subscription_ids: Sequence[SubscriptionId], most: int) -> int:
    """Return how many deliveries wait for the subscription with the most, `most` for that many and more."""
    among = _COUNTED_AMONG * most
    counts = [await tx.fetch_row(COUNT_WAITING, subscription_id, most, among) for subscription_id in subscription_ids]
    return max((int(row[0]) for row in counts if row is not None), default=0)


async def withdraw(tx: Transaction, replay_id: ReplayId) -> list[Told]:
    """Remove the deliveries of a replay that are still to be made, and return them."""
    withdrawn = [
        Told(event_id=event_id, subscription_id=subscription_id, device_id=device_id, sequence=sequence)
        for event_id, subscription_id, device_id, sequence in await delivery_store.withdraw(tx, replay_id)
    ]
    await tx.execute_many(WITHDRAW_LANE, [(it.subscription_id, it.device_id, it.event_id) for it in withdrawn])
    return withdrawn


def _subscription_ids(column: str) -> tuple[SubscriptionId, ...]:
    return tuple(SubscriptionId(each) for each in msgspec.json.decode(column, type=list[str]))


def _replay(row: Row) -> Replay:
    return Replay(
        replay_id=ReplayId(row[0]),
        order=ReplayOrder(
            application_id=ApplicationId(row[1]),
            subscription_ids=_subscription_ids(row[2]),
            device_id=DeviceId(row[3]) if row[3] else None,
            since=from_optional_column(row[4]),
            until=from_optional_column(row[5]),
            rate=row[6],
        ),
        created_at=from_column(row[7]),
        created_by=row[8],
        last=row[9],
        state=ReplayState(row[10]),
        cursor=row[11],
        queued=row[12],
        passed_over=row[13],
        incomplete=bool(row[14]),
        paid_until=from_column(row[15]),
        ended_at=from_optional_column(row[16]),
    )
