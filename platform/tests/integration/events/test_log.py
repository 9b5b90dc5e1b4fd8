import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.db.sqlite import SqliteDatabase
from firmcast.db.statement import portable
from firmcast.events import store, use_cases
from firmcast.events.log import EventLog
from firmcast.events.model import (
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    NewEvent,
    Outcome,
)
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENDED = FirmwareUpgradeEnded(
    outcome=Outcome.FAILED, description="x", source_version="1", target_version="2", current_version="1", duration=3
)


def new(device: str, fact=None, *, synthesised: bool = False, at: datetime = NOW) -> NewEvent:
    return NewEvent(
        application_id=ApplicationId("app"),
        device_id=DeviceId(device),
        task_id=TaskId("task"),
        device_upgrade_id=DeviceUpgradeId(f"upgrade-{device}"),
        occurred_at=at,
        synthesised=synthesised,
        fact=fact or FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    )


def encode(event) -> bytes:
    return json.dumps({"device": event.device_id, "sequence": event.sequence}).encode()


async def append(tx, log: EventLog, events):
    return await log.append(tx, events)


async def test_facts_come_back_as_they_were_written(database: SqliteDatabase) -> None:
    log = EventLog(encode=encode)
    later = NOW + timedelta(microseconds=1)
    written = await database.write(append, log, [new("a", synthesised=True), new("a", ENDED, at=later)])
    assert await database.read(use_cases.of_device, DeviceId("a")) == written
    assert [event.sequence for event in written] == [1, 2]
    assert written[1].fact == ENDED


async def test_the_bytes_are_frozen_with_the_number(database: SqliteDatabase) -> None:
    log = EventLog(encode=encode)
    (event,) = await database.write(append, log, [new("a")])
    stored = await database.read(use_cases.bodies, [event.event_id, 999])
    assert set(stored) == {event.event_id}
    assert json.loads(stored[event.event_id].body) == {"device": "a", "sequence": 1}
    assert stored[event.event_id].message_id == event.message_id


async def test_a_projection_that_fails_takes_the_event_and_its_number_with_it(database: SqliteDatabase) -> None:
    async def refuse(_tx, _events) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(append, EventLog(encode=encode, projections=[refuse]), [new("a")])
    (event,) = await database.write(append, EventLog(encode=encode), [new("a")])
    assert event.sequence == 1


async def test_projections_see_the_events_in_the_transaction(database: SqliteDatabase) -> None:
    seen: list[int] = []

    async def look(tx, events) -> None:
        found = await use_cases.bodies(tx, [event.event_id for event, _ in events])
        seen.extend(event.sequence for event in found.values())

    await database.write(append, EventLog(encode=encode, projections=[look]), [new("a"), new("b"), new("a")])
    assert sorted(seen) == [1, 1, 2]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.lists(st.sampled_from("abc"), max_size=5), st.booleans()), max_size=12))
def test_numbers_have_no_gap_whatever_fails_meanwhile(
    tmp_path_factory: pytest.TempPathFactory, open_sqlite_store, batches
) -> None:
    async def check() -> None:
        opened = await open_sqlite_store(tmp_path_factory.mktemp("log") / "store.db")
        log = EventLog(encode=encode)

        async def write(tx, devices, fails) -> None:
            await log.append(tx, [new(device) for device in devices])
            if fails:
                raise ValueError

        await asyncio.gather(
            *(opened.write(write, devices, fails) for devices, fails in batches), return_exceptions=True
        )
        for device in "abc":
            written = sum(devices.count(device) for devices, fails in batches if not fails)
            history = await opened.read(use_cases.of_device, DeviceId(device))
            assert [event.sequence for event in history] == list(range(1, written + 1))
            positions = [event.event_id for event in history]
            assert positions == sorted(positions)
        await opened.close()

    asyncio.run(check())


async def test_history_is_read_from_a_number_on(database: SqliteDatabase, tmp_path: Path) -> None:
    await database.write(append, EventLog(encode=encode), [new("a") for _ in range(10)])
    rest = await database.read(use_cases.of_device, DeviceId("a"), after_sequence=7, limit=2)
    assert [event.sequence for event in rest] == [8, 9]


async def test_many_events_of_many_devices_take_no_more_statements_than_one(database: SqliteDatabase) -> None:
    class Counting:
        """A transaction that counts what is asked of it."""

        def __init__(self, tx) -> None:
            self.tx = tx
            self.store = "sqlite" if isinstance(database, SqliteDatabase) else "postgres"
            self.statements = 0

        async def fetch(self, statement, *arguments):
            self.statements += 1
            return await self.tx.fetch(statement, *arguments)

        async def fetch_row(self, statement, *arguments):
            self.statements += bool(getattr(statement, self.store))
            return await self.tx.fetch_row(statement, *arguments)

        async def execute(self, statement, *arguments):
            self.statements += 1
            return await self.tx.execute(statement, *arguments)

        def announce(self, channel, items) -> None:
            self.tx.announce(channel, items)

    async def counted(tx):
        counting = Counting(tx)
        events = await EventLog(encode=encode).append(counting, [new(f"d{number % 70}") for number in range(300)])
        return counting.statements, events

    statements, events = await database.write(counted)
    assert statements == (3 if isinstance(database, SqliteDatabase) else 2)
    assert [event.sequence for event in events] == [number // 70 + 1 for number in range(300)]
    positions = [event.event_id for event in events]
    assert positions == sorted(set(positions))


async def test_nothing_appended_is_nothing_done(database: SqliteDatabase) -> None:
    async def refuse(_tx, _events) -> None:
        raise ValueError("no")

    assert await database.write(append, EventLog(encode=encode, projections=[refuse]), []) == []


async def test_a_position_is_never_given_twice(database: SqliteDatabase) -> None:
    async def forget(tx):
        await tx.execute(portable("DELETE FROM event"))

    log = EventLog(encode=encode)
    first = await database.write(append, log, [new("a"), new("b")])
    await database.write(forget)
    second = await database.write(append, log, [new("a"), new("b")])
    assert min(event.event_id for event in second) > max(event.event_id for event in first)
    assert [event.sequence for event in second] == [2, 2]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
            st.sampled_from(Outcome),
            st.integers(0, 1 << 40),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_word_and_byte_comes_back(tmp_path_factory: pytest.TempPathFactory, open_sqlite_store, told) -> None:
    def body(event) -> bytes:
        return json.dumps({"told": event.fact.description}, ensure_ascii=False, indent=1).encode()

    async def check() -> None:
        opened = await open_sqlite_store(tmp_path_factory.mktemp("log") / "store.db")
        facts = [
            FirmwareUpgradeEnded(
                outcome=outcome,
                description=description,
                source_version=version,
                target_version="",
                current_version=version,
                duration=duration,
            )
            for version, description, outcome, duration in told
        ]
        log = EventLog(encode=body)
        events = await opened.write(append, log, [new(f"device {fact.source_version}", fact) for fact in facts])
        for event in events:
            after = event.sequence - 1
            assert await opened.read(use_cases.of_device, event.device_id, after, 1) == [event]
        stored = await opened.read(use_cases.bodies, [event.event_id for event in events])
        assert [stored[event.event_id].body for event in events] == [body(event) for event in events]
        await opened.close()

    asyncio.run(check())


@pytest.mark.only_sqlite
@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        (store.SELECT_STORED, ["[1]"], "event USING INTEGER PRIMARY KEY"),
        (store.SELECT_OF_DEVICE, ["a", 0, 10], "event USING INDEX event_by_device"),
        (store.SELECT_OF_APPLICATION, ["app", 0, 9, 10], "event USING INDEX event_by_application"),
        (store.SELECT_APPLICATIONS, [0, 9], "event USING INTEGER PRIMARY KEY"),
    ],
)
async def test_no_read_of_the_log_walks_through_it(database: SqliteDatabase, statement, arguments, index) -> None:
    async def plan(tx):
        return [row[3] for row in await tx.fetch(portable(f"EXPLAIN QUERY PLAN {statement.sqlite}"), *arguments)]

    steps = await database.read(plan)
    assert any(f"SEARCH {index}" in step for step in steps), steps
    assert not any(step.startswith("SCAN event") for step in steps), steps


async def test_what_is_encoded_is_the_event_in_full(database: SqliteDatabase) -> None:
    encoded: list[object] = []

    def keep(event) -> bytes:
        encoded.append(event)
        return b"{}"

    assert await database.write(append, EventLog(encode=keep), [new("a"), new("b")]) == encoded
