"""Every hot statement finds its rows by the index that is named here, on both stores, however large the tables are.

The tables are filled as a busy day would: PostgreSQL walks through a small table whatever its indexes, so it is asked
about large ones, with nothing forbidden to it.
"""

import json

import pytest

from firmcast.db.statement import Statement, differing, portable
from firmcast.devices.store import commands
from firmcast.events import store as events
from firmcast.push import history, retention, use_cases
from firmcast.push.replay import store as replay
from firmcast.push.store import attempts, backlog, dead_letters, deliveries, lanes, listing, undelivered
from firmcast.subscriptions import store as subscriptions

EVENTS, SUBSCRIPTIONS, DEVICES = 30_000, 30, 3_000
PAIRS = '[[1, "s1"], [2, "s2"]]'
TRIPLES = '[[1, "s1", 0], [2, "s2", 0]]'
ONE = [101, 102]
ATTEMPT = (1, "s1", "d1", 1, 1, 1, 200, "", "", "", b"")

TABLES = {
    "event": "event_id, message_id, device_id, sequence, application_id, task_id, device_upgrade_id, event_type,"
    " occurred_at, synthesised, fact, body",
    "delivery": "event_id, subscription_id, device_id, sequence, partition, replay",
    "attempt": "event_id, subscription_id, device_id, number, attempted_at, duration, status, failure, detail, address,"
    " answer",
    "dead_letter": "event_id, subscription_id, device_id, sequence, attempts, reason, failure, died_at",
    "lane": "subscription_id, device_id, event_id, attempts, first_attempted_at, next_attempt_at, reason",
    "subscription": "subscription_id, application_id, event_type, callback_url, created_at",
    "event_stream": "device_id, last_sequence",
    "undelivered": "subscription_id, part, deliveries",
    "device_command": "device_id, device_upgrade_id, kind, transfer_token, created_at",
    "replay": "replay_id, application_id, subscription_ids, device_id, rate, created_at, created_by, last, state,"
    " cursor, queued, passed_over, incomplete, paid_until",
}


def rows_of(table: str) -> list[tuple[object, ...]]:
    """Return what a table is filled with."""
    numbers = range(1, EVENTS + 1)
    device = [f"d{number % DEVICES}" for number in range(EVENTS + 1)]
    subscription = [f"s{number % SUBSCRIPTIONS}" for number in range(EVENTS + 1)]
    match table:
        case "event":
            return [
                (n, f"m{n}", device[n], n // DEVICES, f"a{n % 10}", "t", "u", "x", n, 0, b"{}", b"b" * 200)
                for n in numbers
            ]
        case "delivery":
            return [
                (n, subscription[n], device[n], n // DEVICES, n % 64, n // 50 if n % 50 == 0 else 0) for n in numbers
            ]
        case "attempt":
            return [(n, subscription[n], device[n], 1, n, 1, 200, "", "", "::1", b"") for n in numbers]
        case "dead_letter":
            return [(n, subscription[n], device[n], n // DEVICES, 1, "expired", "timeout", n) for n in numbers]
        case "lane":
            return [(f"s{n % SUBSCRIPTIONS}", f"d{n // SUBSCRIPTIONS}", n, 1, n, n, "timeout") for n in numbers]
        case "subscription":
            return [(f"s{n}", f"a{n // 5}", f"x{n % 5}", f"http://a{n}/", n) for n in range(5_000)]
        case "replay":
            states = ["open", *["finished"] * 49]
            return [(n, f"a{n % 10}", "[]", "", 100, n, "o", n, states[n % 50], n, 0, 0, 0, n) for n in range(1, 5_000)]
        case "undelivered":
            return [(f"s{n}", part, 1) for n in range(3_000) for part in range(1, 4)]
        case "event_stream":
            return [(f"d{n}", 1) for n in numbers]
        case _:
            return [(f"d{n}", f"u{n}", "update", f"t{n}", n) for n in numbers]


HOT: dict[str, tuple[Statement, tuple[object, ...], str, str]] = {
    # name: the statement, arguments, the index of SQLite, the index of PostgreSQL
    "deliveries.DELETE_DELIVERIES": (deliveries.DELETE_DELIVERIES, (TRIPLES,), "PRIMARY KEY", "delivery_pkey"),
    "deliveries.TAKE_OVER": (deliveries.TAKE_OVER, (PAIRS, -1), "PRIMARY KEY", "delivery_pkey"),
    "deliveries.SELECT_PRESENT": (deliveries.SELECT_PRESENT, (PAIRS,), "PRIMARY KEY", "delivery_pkey"),
    "deliveries.DISCARD_DELIVERY": (
        deliveries.DISCARD_DELIVERY,
        (1, "s1"),
        "PRIMARY KEY",
        "delivery_pkey or delivery_by_subscription",
    ),
    "deliveries.PURGE_DELIVERIES": (
        deliveries.PURGE_DELIVERIES,
        ("s1", 50),
        "delivery_by_subscription",
        "delivery_by_subscription",
    ),
    "deliveries.WITHDRAW": (deliveries.WITHDRAW, (7,), "delivery_by_replay", "delivery_by_replay"),
    "undelivered.SELECT_SUMS_OF": (
        undelivered.SELECT_SUMS_OF,
        (["s1", "s2"],),
        "PRIMARY KEY",
        "undelivered_pkey",
    ),
    "backlog.SELECT_DELIVERY": (
        backlog.SELECT_DELIVERY,
        (1, "s1"),
        "PRIMARY KEY",
        "delivery_pkey or delivery_by_subscription",
    ),
    "backlog.SELECT_SUBSCRIPTIONS": (
        backlog.SELECT_SUBSCRIPTIONS,
        (),
        "delivery_by_subscription",
        "delivery_by_subscription",
    ),
    "backlog.SELECT_OLDEST": (backlog.SELECT_OLDEST, (), "delivery_by_subscription", "delivery_by_subscription"),
    "backlog.SELECT_BACKLOG": (
        backlog.SELECT_BACKLOG,
        ("s1", 5, 100),
        "delivery_by_subscription",
        "delivery_by_subscription",
    ),
    "backlog.SELECT_BACKLOG_OF_PARTITIONS": (
        backlog.SELECT_BACKLOG_OF_PARTITIONS,
        ("s1", 5, 10, list(range(32))),
        "delivery_by_subscription",
        "delivery_by_subscription",
    ),
    "backlog.SELECT_DELIVERIES_OF": (backlog.SELECT_DELIVERIES_OF, (ONE, [1, 2, 3]), "PRIMARY KEY", "delivery_pkey"),
    "lanes.UPSERT_LANE": (
        lanes.UPSERT_LANE,
        (1, "s1", 1, 1, 1, "r", 0, 0),
        "PRIMARY KEY",
        "delivery_pkey or delivery_by_subscription",
    ),
    "lanes.DELETE_LANE": (lanes.DELETE_LANE, ("s1", "d1"), "PRIMARY KEY", "lane_pkey"),
    "attempts.SELECT_ATTEMPTED": (attempts.SELECT_ATTEMPTED, (1, "s1"), "attempt_by_event", "attempt_by_event"),
    "dead_letters.INSERT_DEAD_LETTER": (
        dead_letters.INSERT_DEAD_LETTER,
        (1, "s1", 1, "r", "f", 1, 0),
        "PRIMARY KEY",
        "delivery_pkey or delivery_by_subscription",
    ),
    "dead_letters.DELETE_DEAD_LETTER": (
        dead_letters.DELETE_DEAD_LETTER,
        (1, "s1"),
        "PRIMARY KEY",
        "dead_letter_pkey or dead_letter_by_subscription",
    ),
    "dead_letters.DELETE_DEAD_LETTERS": (dead_letters.DELETE_DEAD_LETTERS, (PAIRS,), "PRIMARY KEY", "dead_letter_pkey"),
    "dead_letters.SELECT_DEAD_AFTER": (
        dead_letters.SELECT_DEAD_AFTER,
        ("s1", 5, 100),
        "dead_letter_by_",
        "dead_letter_by_",
    ),
    "dead_letters.SELECT_DEAD_OF_LANE": (
        dead_letters.SELECT_DEAD_OF_LANE,
        ("s1", 5, 100, "d1"),
        "dead_letter_by_lane",
        "dead_letter_by_lane",
    ),
    "dead_letters.PURGE_DEAD_LETTERS": (
        dead_letters.PURGE_DEAD_LETTERS,
        ("s1", 50),
        "dead_letter_by_",
        "dead_letter_by_",
    ),
    "lanes.UNBLOCK_LANE": (lanes.UNBLOCK_LANE, (1, "s1"), "PRIMARY KEY", "lane_pkey"),
    "lanes.FORGET_TROUBLES": (lanes.FORGET_TROUBLES, ("s1",), "PRIMARY KEY", "lane_pkey"),
    "lanes.PURGE_LANES": (lanes.PURGE_LANES, ("s1",), "PRIMARY KEY", "lane_pkey"),
    "listing.SELECT_PENDING": (listing.SELECT_PENDING, (5, "s1", 100, 0), "PRIMARY KEY", "delivery_pkey"),
    "listing.SELECT_PENDING_OF_SUBSCRIPTION": (
        listing.SELECT_PENDING_OF_SUBSCRIPTION,
        ("s1", 5, 100, 0),
        "delivery_by_subscription",
        "delivery_by_subscription",
    ),
    "listing.COUNT_PENDING_OF_SUBSCRIPTION": (
        listing.COUNT_PENDING_OF_SUBSCRIPTION,
        (100, "s1"),
        "delivery_by_subscription",
        "delivery_by_subscription",
    ),
    "listing.SELECT_PENDING_OF_EVENTS": (
        listing.SELECT_PENDING_OF_EVENTS,
        (0, "", 100, 0, ONE, "s1"),
        "PRIMARY KEY",
        "delivery_pkey or delivery_by_subscription",
    ),
    "listing.COUNT_PENDING_OF_EVENTS": (
        listing.COUNT_PENDING_OF_EVENTS,
        (100, ONE, None),
        "PRIMARY KEY",
        "delivery_pkey",
    ),
    "listing.SELECT_DEAD": (listing.SELECT_DEAD, (5, "s1", 100, 0), "PRIMARY KEY", "dead_letter_pkey"),
    "listing.SELECT_DEAD_OF_SUBSCRIPTION": (
        listing.SELECT_DEAD_OF_SUBSCRIPTION,
        ("s1", 5, 100, 0),
        "dead_letter_by_",
        "dead_letter_by_",
    ),
    "listing.COUNT_DEAD_OF_SUBSCRIPTION": (
        listing.COUNT_DEAD_OF_SUBSCRIPTION,
        (100, "s1"),
        "dead_letter_by_",
        "dead_letter_by_",
    ),
    "listing.SELECT_DEAD_OF_EVENTS": (
        listing.SELECT_DEAD_OF_EVENTS,
        (0, "", 100, 0, ONE, None),
        "PRIMARY KEY",
        "dead_letter_pkey or dead_letter_by_subscription",
    ),
    "listing.COUNT_DEAD_OF_EVENTS": (
        listing.COUNT_DEAD_OF_EVENTS,
        (100, ONE, None),
        "PRIMARY KEY",
        "dead_letter_pkey",
    ),
    "listing.SELECT_ATTEMPTS": (listing.SELECT_ATTEMPTS, (1 << 62, 100, 0), "PRIMARY KEY", "attempt_pkey"),
    "listing.SELECT_ATTEMPTS_OF_SUBSCRIPTION": (
        listing.SELECT_ATTEMPTS_OF_SUBSCRIPTION,
        (1 << 62, 100, 0, "s1"),
        "attempt_by_subscription",
        "attempt_by_subscription",
    ),
    "listing.COUNT_ATTEMPTS_OF_SUBSCRIPTION": (
        listing.COUNT_ATTEMPTS_OF_SUBSCRIPTION,
        (100, "s1"),
        "attempt_by_subscription",
        "attempt_by_subscription",
    ),
    "listing.SELECT_ATTEMPTS_OF_EVENTS": (
        listing.SELECT_ATTEMPTS_OF_EVENTS,
        (1 << 62, 100, 0, ONE, None),
        "attempt_by_event",
        "attempt_by_event",
    ),
    "listing.COUNT_ATTEMPTS_OF_EVENTS": (
        listing.COUNT_ATTEMPTS_OF_EVENTS,
        (100, ONE, None),
        "attempt_by_event",
        "attempt_by_event",
    ),
    "events.SELECT_LATEST_OF_DEVICE": (events.SELECT_LATEST_OF_DEVICE, ("d1", 9), "event_by_device", "event_by_device"),
    "retention.DELETE_ATTEMPTS": (
        retention.DELETE_ATTEMPTS,
        (5, 100, 1 << 60),
        "SCAN attempt",  # from its beginning, as far as the limit
        "attempt_pkey",
    ),
    "retention.SELECT_DEATHS": (retention.SELECT_DEATHS, (5, "s1", 100), "PRIMARY KEY", "dead_letter_pkey"),
    "retention.DELETE_OLD_DEAD_LETTERS": (
        retention.DELETE_OLD_DEAD_LETTERS,
        (PAIRS,),
        "PRIMARY KEY",
        "dead_letter_pkey or dead_letter_by_",
    ),
    "retention.SELECT_NEEDED": (retention.SELECT_NEEDED, (ONE,), "PRIMARY KEY", "delivery_pkey"),
    "events.SELECT_AGES": (events.SELECT_AGES, (5, 100), "PRIMARY KEY", "event_pkey"),
    "events.DELETE_EVENTS": (events.DELETE_EVENTS, (ONE,), "PRIMARY KEY", "event_pkey"),
    "events.SELECT_STORED": (events.SELECT_STORED, (ONE,), "PRIMARY KEY", "event_pkey"),
    "events.SELECT_TIMES": (events.SELECT_TIMES, (ONE,), "PRIMARY KEY", "event_pkey"),
    "events.SELECT_OF_DEVICE": (events.SELECT_OF_DEVICE, ("d1", 0, 9), "event_by_device", "event_by_device"),
    "events.SELECT_OF_APPLICATION": (
        events.SELECT_OF_APPLICATION,
        ("a1", 5, EVENTS, 100),
        "event_by_application",
        "event_by_application",
    ),
    "events.SELECT_APPLICATIONS": (
        events.SELECT_APPLICATIONS,
        (EVENTS - 9, EVENTS),
        "PRIMARY KEY or event_by_application",
        "event_pkey",
    ),
    "events.SELECT_HEADINGS": (
        events.SELECT_HEADINGS,
        ("a1", 5, 100),
        "event_by_application",
        "event_by_application",
    ),
    "events.SELECT_HEADINGS_OF_DEVICE": (
        events.SELECT_HEADINGS_OF_DEVICE,
        ("d1", 0, 9),
        "event_by_device",
        "event_by_device",
    ),
    "events.SELECT_AT": (events.SELECT_AT, (5,), "PRIMARY KEY", "event_pkey"),
    "events.SELECT_LAST": (events.SELECT_LAST, (), "SCAN event", "event_pkey"),  # from its end, as far as the limit
    "events.SELECT_NEWEST_BETWEEN": (
        events.SELECT_NEWEST_BETWEEN,
        ("d1", 0, EVENTS, "", 9),
        "event_by_device",
        "event_by_device",
    ),
    "events.SELECT_OLDEST_BETWEEN": (
        events.SELECT_OLDEST_BETWEEN,
        ("d1", 0, EVENTS, "u", 9),
        "event_by_device",
        "event_by_device",
    ),
    "events.SELECT_LATEST_OF_UPGRADE": (
        events.SELECT_LATEST_OF_UPGRADE,
        ("d1", "u", 9),
        "event_by_device",
        "event_by_device",
    ),
    "events.SELECT_SEQUENCES_OF": (events.SELECT_SEQUENCES_OF, (ONE,), "PRIMARY KEY", "event_pkey"),
    "history.SELECT_NEWEST_ATTEMPTS": (
        history.SELECT_NEWEST_ATTEMPTS,
        (ONE, 0, EVENTS, 9),
        "attempt_by_event",
        "attempt_by_event",
    ),
    "history.SELECT_OLDEST_ATTEMPTS": (
        history.SELECT_OLDEST_ATTEMPTS,
        (ONE, 0, EVENTS, 9),
        "attempt_by_event",
        "attempt_by_event",
    ),
    "history.SELECT_NEWEST_DEAD": (history.SELECT_NEWEST_DEAD, (ONE, 0, EVENTS, 9), "PRIMARY KEY", "dead_letter_pkey"),
    "history.SELECT_OLDEST_DEAD": (history.SELECT_OLDEST_DEAD, (ONE, 0, EVENTS, 9), "PRIMARY KEY", "dead_letter_pkey"),
    "events.SELECT_SEQUENCES": (events.SELECT_SEQUENCES, ("d1",), "event_by_device", "event_by_device"),
    "replay.SELECT_REPLAY": (replay.SELECT_REPLAY, (1,), "PRIMARY KEY", "replay_pkey"),
    "replay.SELECT_OPEN": (replay.SELECT_OPEN, (), "replay_open", "replay_open"),
    "replay.SELECT_REPLAYS": (replay.SELECT_REPLAYS, ("a1", 10, 0), "SCAN replay", "replay_pkey"),
    "replay.MOVE_REPLAY": (replay.MOVE_REPLAY, (1, 1, 1, 1, 0, 1), "PRIMARY KEY", "replay_pkey"),
    "replay.END_REPLAY": (replay.END_REPLAY, (1, "finished", 1), "PRIMARY KEY", "replay_pkey or replay_open"),
    "replay.COUNT_OUTSTANDING": (replay.COUNT_OUTSTANDING, (7, 10), "delivery_by_replay", "delivery_by_replay"),
    "replay.COUNT_REPLAYED": (replay.COUNT_REPLAYED, (10,), "delivery_by_replay", "delivery_by_replay"),
    "replay.COUNT_WAITING": (
        replay.COUNT_WAITING,
        ("s1", 10, 50),
        "delivery_by_subscription",
        "delivery_by_subscription",
    ),
    "replay.WITHDRAW_LANE": (replay.WITHDRAW_LANE, ("s1", "d1", 1), "PRIMARY KEY", "lane_pkey"),
    "subscriptions.OF_APPLICATIONS": (
        subscriptions._OF_APPLICATIONS,
        (["a1", "a2"],),
        "(application_id=?",
        "subscription_application_id_event_type_key",
    ),
    "subscriptions.BY_IDS": (subscriptions._BY_IDS, (["s1", "s2"],), "PRIMARY KEY", "subscription_pkey"),
    "commands.OF_DEVICES": (
        commands._OF_DEVICES,
        (["d1", "d2"],),
        "device_command_by_device",
        "device_command_by_device",
    ),
    "commands.OF_UPGRADES": (
        commands._OF_UPGRADES,
        (["u1", "u2"],),
        "(device_upgrade_id=?)",
        "device_command_device_upgrade_id_key",
    ),
}

SORTED = {
    "events.SELECT_NEWEST_BETWEEN",
    "events.SELECT_OLDEST_BETWEEN",
    "events.SELECT_LATEST_OF_UPGRADE",
    "history.SELECT_NEWEST_ATTEMPTS",
    "history.SELECT_OLDEST_ATTEMPTS",
    "history.SELECT_NEWEST_DEAD",
    "history.SELECT_OLDEST_DEAD",
    "listing.SELECT_PENDING_OF_EVENTS",
    "listing.SELECT_DEAD_OF_EVENTS",
    "listing.SELECT_ATTEMPTS_OF_EVENTS",
    "events.SELECT_STORED",
    "retention.DELETE_ATTEMPTS",
    "retention.SELECT_NEEDED",
    "backlog.SELECT_DELIVERIES_OF",
    "replay.SELECT_OPEN",
    "undelivered.SELECT_SUMS_OF",
    "events.SELECT_APPLICATIONS",
    "events.SELECT_OF_DEVICE",
    "events.SELECT_HEADINGS_OF_DEVICE",
    "commands.OF_DEVICES",
    "commands.OF_UPGRADES",
}
"""What is about given events, or given devices, may sort the few rows that it finds of them."""

NOT_HOT = {
    "deliveries.INSERT_DELIVERIES": "writes only",
    "deliveries.INSERT_AGAIN": "writes only",
    "deliveries.COUNT": "writes by the primary key",
    "deliveries.COUNT_UNLESS_COUNTED": "writes by the primary key",
    "deliveries.RECOUNT": "only where a delivery was taken back while it was under way",
    "undelivered.SELECT_SUMS": "a table of a few rows for each subscription",
    "undelivered.COUNT_PARTS": "a table of a few rows for each subscription",
    "undelivered.FOLD": "a table of a few rows for each subscription",
    "undelivered.FORGET": "by the primary key",
    "undelivered.SELECT_DIFFERENCES": "once an hour, over everything, to find what is wrong",
    "attempts.INSERT_ATTEMPT": "writes only",
    "attempts.INSERT_DELIVERED_ATTEMPTS": "writes only",
    "backlog.READ_IN_ORDER": "reads no table",
    "lanes.SELECT_HELD": "at a start and when partitions come, over the lanes in trouble",
    "lanes.HASTEN_LANES": "once at a start, over the lanes in trouble",
    "events.TAKE_NUMBERS": "writes by the primary key, and reads no table but the one row of the sequence",
    "events.TAKE_SEQUENCES": "writes by the primary key",
    "events.TAKE_POSITIONS": "reads no table but the one row of the sequence",
    "events.INSERT_EVENTS": "writes only",
    "events.SELECT_LAST_POSITION": "reads no table but the one row of the sequence",
    "events.SELECT_WRITERS": "reads what PostgreSQL has in memory",
    "events.SELECT_FORGOTTEN": "a table of one row",
    "events.UPSERT_FORGOTTEN": "a table of one row",
    "listing.COUNT_PENDING": "any rows will do, up to a bound",
    "listing.COUNT_DEAD": "any rows will do, up to a bound",
    "listing.COUNT_ATTEMPTS": "any rows will do, up to a bound",
    "replay.INSERT_REPLAY": "writes only",
    "replay.COUNT_STATES": "over as many as persons have asked for, until retention removes them",
    "replay.DELETE_ENDED": "the same, a few times an hour",
    "replay.COUNT_REPLAYS": "for a person, over as many as persons have asked for",
}
"""Statements that need no index, and why."""


@pytest.fixture
async def filled(database):
    async def fill(tx) -> None:
        for table, columns in TABLES.items():
            places = ", ".join(f"?{number}" for number in range(1, columns.count(",") + 2))
            rows = rows_of(table)
            await tx.execute_many(portable(f"INSERT INTO {table} ({columns}) VALUES ({places})"), rows)
        for table in TABLES:
            await tx.execute(portable(f"ANALYZE {table}"))

    await database.write(fill)
    yield database
    # Another test must not be told what there is no more.
    await database.write(forget, database)


async def forget(tx, _database) -> None:
    for table in TABLES:
        await tx.execute(portable(f"DELETE FROM {table}"))
        await tx.execute(portable(f"ANALYZE {table}"))


async def plan(tx, statement: Statement, arguments: tuple[object, ...]) -> list[str]:
    explain = differing(
        sqlite=f"EXPLAIN QUERY PLAN {statement.sqlite}", postgres=f"EXPLAIN (COSTS FALSE) {statement.postgres}"
    )
    # As on a disk without a head; by the usual figure it is a matter of chance what is cheaper in small tables.
    await tx.execute(differing(sqlite="", postgres="SET LOCAL random_page_cost = 1.1"))
    return [str(row[-1]) for row in await tx.fetch(explain, *arguments)]


def faults(steps: list[str], index: str, *, may_sort: bool = False) -> list[str]:
    """Return what is wrong with a plan that should use an index."""
    found = [] if any(name in step for step in steps for name in index.split(" or ")) else [f"not by {index}"]
    for step in steps:
        walks = step.split()[0] == "SCAN" and step.split()[1] in TABLES and step != index and "USING" not in step
        if walks or any(f"Seq Scan on {table}" in step for table in TABLES):
            found.append("walks")
        if not may_sort and ("TEMP B-TREE" in step or step.strip(" ->").startswith("Sort")):
            found.append("sorts")
    return found


async def test_every_hot_statement_uses_its_index(filled) -> None:
    is_sqlite = type(filled).__name__ == "SqliteDatabase"
    wrong = {}
    for name, (statement, arguments, sqlite, postgres) in HOT.items():
        steps = await filled.write(plan, statement, arguments)
        index = sqlite if is_sqlite else postgres
        if found := faults(steps, index, may_sort=name in SORTED):
            wrong[name] = (found, steps)
    assert not wrong, json.dumps(wrong, indent=1)


async def test_a_statement_without_an_index_is_noticed(filled) -> None:
    steps = await filled.write(plan, portable("SELECT 1 FROM event WHERE task_id = 'x'"), ())
    assert faults(steps, "event_by_device") == ["not by event_by_device", "walks"]


async def test_a_backlog_is_read_no_further_than_wanted_by_a_database_that_knows_nothing_of_it(database) -> None:
    unknown = differing(
        sqlite="",
        postgres="ALTER TABLE delivery ALTER subscription_id TYPE text, ALTER event_id TYPE bigint,"
        " ALTER partition TYPE bigint",
    )
    rows = "SELECT {0}, 's1', 'd' || {0}, 1, {0} % 64 FROM {1}"
    fill = differing(
        sqlite="INSERT INTO delivery (event_id, subscription_id, device_id, sequence, partition) "
        + rows.format("value", "json_each('[1, 2]')"),
        postgres="INSERT INTO delivery (event_id, subscription_id, device_id, sequence, partition) "
        + rows.format("n", "generate_series(1, 20000) n"),
    )

    async def plans(tx) -> list[list[str]]:
        await tx.execute(unknown)
        await tx.execute(fill)
        assert await use_cases.load(tx, ["nobody"], 0, 1) == []
        return [
            await plan(tx, backlog.SELECT_BACKLOG, ("s1", 5, 1000)),
            await plan(tx, backlog.SELECT_BACKLOG_OF_PARTITIONS, ("s1", 5, 1000, list(range(64)))),
        ]

    for steps in await database.write(plans):
        assert faults(steps, "delivery_by_subscription") == [], steps


@pytest.mark.parametrize(
    ("prefix", "module"),
    [
        ("backlog", backlog),
        ("lanes", lanes),
        ("attempts", attempts),
        ("dead_letters", dead_letters),
        ("deliveries", deliveries),
        ("undelivered", undelivered),
        ("listing", listing),
        ("events", events),
        ("retention", retention),
        ("history", history),
        ("replay", replay),
    ],
)
def test_every_statement_is_named_here(prefix: str, module) -> None:
    statements = {f"{prefix}.{name}" for name, value in vars(module).items() if isinstance(value, Statement)}
    known = {name for name in (*HOT, *NOT_HOT) if name.startswith(f"{prefix}.")}
    assert statements == known, "name the index of a new statement in HOT, or say in NOT_HOT why it needs none"
