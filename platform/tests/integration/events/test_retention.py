"""What is old goes in small parts; what anybody still needs stays, on both stores."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from firmcast import retention
from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter, administrator
from firmcast.db.page import Page
from firmcast.db.statement import portable
from firmcast.events import use_cases as events
from firmcast.events.model import FirmwareStateChanged, NewEvent
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, TaskId
from firmcast.journal import use_cases as journal
from firmcast.journal.model import DeviceNote, Exchange, ExchangeKind, Note
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.metrics import Counts
from firmcast.retention import RetentionSweeper
from firmcast.settings import RetentionSettings

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class StandingClock:
    """A clock that does not move."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


async def happen(database, event_log, device: str, age: timedelta, upgrade: str = "") -> int:
    """Have an event happen so long ago; return its position."""
    new = NewEvent(
        application_id=ApplicationId("a"),
        device_id=DeviceId(device),
        task_id=TaskId("t") if upgrade else None,
        device_upgrade_id=DeviceUpgradeId(upgrade) if upgrade else None,
        occurred_at=NOW - age,
        fact=FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
    )
    (event,) = await database.write(event_log.append, [new])
    return event.event_id


async def insert(tx, table: str, **values: object) -> None:
    places = ", ".join(f"?{number}" for number in range(1, len(values) + 1))
    await tx.execute(portable(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})"), *values.values())


async def positions(database) -> list[int]:
    async def read(tx):
        return [row[0] for row in await tx.fetch(portable("SELECT event_id FROM event ORDER BY event_id"))]

    return await database.read(read)


async def count(database, table: str) -> int:
    async def read(tx):
        return (await tx.fetch_row(portable(f"SELECT COUNT(*) FROM {table}")))[0]

    return await database.read(read)


def sweeper(database, counts: Counts | None = None, **keep: timedelta) -> RetentionSweeper:
    return RetentionSweeper(
        database=database, clock=StandingClock(), settings=RetentionSettings(**keep), removed=counts
    )


async def letter(database, event_id: int, age: timedelta, subscription: str = "s") -> None:
    await database.write(
        insert,
        "dead_letter",
        event_id=event_id,
        subscription_id=subscription,
        device_id="d",
        sequence=1,
        attempts=1,
        reason="expired",
        failure="timeout",
        died_at=int((NOW - age).timestamp()) * 1_000_000,
    )


async def delivery(database, event_id: int, subscription: str = "s") -> None:
    await database.write(
        insert, "delivery", event_id=event_id, subscription_id=subscription, device_id="d", sequence=1, partition=0
    )


async def attempt(database, event_id: int, age: timedelta) -> None:
    await database.write(
        insert,
        "attempt",
        event_id=event_id,
        subscription_id="s",
        device_id="d",
        number=1,
        attempted_at=int((NOW - age).timestamp()) * 1_000_000,
        duration=1,
        failure="",
        detail="",
        address="",
        answer=b"",
    )


async def test_old_events_go_and_needed_ones_stay(database, event_log) -> None:
    old = [await happen(database, event_log, "d", 20 * DAY) for _ in range(3)]
    waiting, dead = old[1], await happen(database, event_log, "d", 20 * DAY)
    young = await happen(database, event_log, "d", 13 * DAY)
    await delivery(database, waiting)
    await letter(database, dead, 19 * DAY)
    await sweeper(database).sweep()
    assert await positions(database) == [waiting, dead, young]
    # A reader who comes with an older position is told of the gap.
    assert await database.read(events.forgotten_through) == old[2]


async def test_what_a_clock_that_was_wrong_has_put_into_the_future_keeps_nothing_behind_it(
    database, event_log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "SMALL_ROWS", 2)
    ahead = [await happen(database, event_log, "d", -400 * DAY) for _ in range(4)]
    old = [await happen(database, event_log, "d", 20 * DAY) for _ in range(3)]
    young = await happen(database, event_log, "d", DAY)
    for event_id in ahead:
        await attempt(database, event_id, -400 * DAY)
    for event_id in (*old, young):
        await attempt(database, event_id, DAY if event_id == young else 20 * DAY)
    await sweeper(database).sweep()
    assert await positions(database) == [*ahead, young]
    assert await count(database, "attempt") == len(ahead) + 1


async def test_the_numbers_of_a_device_go_on(database, event_log) -> None:
    for _ in range(3):
        await happen(database, event_log, "d", 20 * DAY)
    await sweeper(database).sweep()
    assert await positions(database) == []
    await happen(database, event_log, "d", DAY)
    assert [event.sequence for event in await database.read(events.of_device, DeviceId("d"))] == [4]


async def test_the_events_of_an_upgrade_stay_until_it_has_ended(database, event_log) -> None:
    async def open_upgrade(tx, upgrade: str, ended_at: int | None) -> None:
        await insert(
            tx,
            "device_upgrade",
            device_upgrade_id=upgrade,
            task_id="t",
            application_id="a",
            device_id=f"d-{upgrade}",
            package_id="p",
            position=0 if ended_at is None else 1,
            attempt=1,
            phase="closed" if ended_at else "waiting",
            tally="waiting",
            retryable=0,
            published_state=0,
            probed=0,
            evidence=b"",
            transfer_token=upgrade,
            source_version="",
            target_version="",
            current_version="",
            bytes_total=0,
            created_at=0,
            ended_at=ended_at,
            description="",
        )

    await database.write(open_upgrade, "open", None)
    await database.write(open_upgrade, "over", 1)
    running = await happen(database, event_log, "d", 20 * DAY, "open")
    await happen(database, event_log, "d", 20 * DAY, "over")
    await happen(database, event_log, "d", 20 * DAY, "unknown")
    await sweeper(database).sweep()
    assert await positions(database) == [running]


async def test_attempts_letters_and_audit_have_their_own_ages(database, event_log) -> None:
    event_id = await happen(database, event_log, "d", DAY)
    for age in (8 * DAY, 8 * DAY, 6 * DAY):
        await attempt(database, event_id, age)
    await letter(database, event_id, 91 * DAY, "old")
    await letter(database, event_id, 91 * DAY, "stands")
    await letter(database, event_id, 89 * DAY, "young")
    await delivery(database, event_id, "stands")  # its lane stands until somebody decides
    for age in (366 * DAY, 364 * DAY):
        await database.write(audit.record, administrator("somebody"), "a.b", "x", NOW - age)
    for age in (8 * DAY, 6 * DAY):
        what = Exchange(kind=ExchangeKind.REGISTER)
        noted = DeviceNote(device_id=DeviceId("d"), note=Note(occurred_at=NOW - age, what=what))
        await database.write(journal.write, [noted])
    counts = Counts(("kind",), 9)
    await sweeper(database, counts).sweep()
    assert (await count(database, "attempt"), await count(database, "dead_letter")) == (1, 2)
    assert await count(database, "journal_page") == 1
    assert len((await database.read(audit.listed, AuditFilter(), Page()))[0]) == 1
    assert {labels[0]: number.value for labels, number in counts} == {
        "attempt": 2,
        "dead_letter": 1,
        "event": 0,
        "journal": 1,
        "audit": 1,
        "replay": 0,
    }


async def test_much_goes_in_many_small_parts(database, event_log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SMALL_ROWS", 3)
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 3)
    monkeypatch.setattr(retention, "_SHORTEST_REST_SECONDS", 0.0)
    kept = []
    for number in range(20):
        event_id = await happen(database, event_log, f"d{number % 3}", 20 * DAY)
        await attempt(database, event_id, 20 * DAY)
        if number % 4 == 0:
            await delivery(database, event_id)
            kept.append(event_id)
        else:
            await letter(database, event_id, 100 * DAY)
    before = database.commits
    await sweeper(database).sweep()
    assert await positions(database) == kept
    assert (await count(database, "attempt"), await count(database, "dead_letter")) == (0, 0)
    assert database.commits - before >= 20  # a transaction for every three rows, of each kind


async def test_two_nodes_sweep_at_the_same_time(database, event_log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 2)
    for number in range(10):
        await attempt(database, await happen(database, event_log, f"d{number}", 20 * DAY), 20 * DAY)
    await asyncio.gather(*(sweeper(database).sweep() for _ in range(3)))
    assert (await positions(database), await count(database, "attempt")) == ([], 0)


@pytest.mark.only_sqlite
async def test_the_file_gets_smaller_when_much_was_removed(database, event_log) -> None:
    async def fill(tx) -> None:
        await tx.execute(portable("CREATE TABLE heap (number INTEGER PRIMARY KEY, filling TEXT)"))
        await tx.execute_many(portable("INSERT INTO heap (filling) VALUES (?1)"), [("x" * 4000,)] * 12_000)

    async def pages(tx) -> int:
        return (await tx.fetch_row(portable("PRAGMA page_count")))[0]

    await database.write(fill)
    full = await database.read(pages)
    assert not await database.give_back()
    await database.write(lambda tx: tx.execute(portable("DELETE FROM heap")))
    while await database.give_back():
        pass
    assert await database.read(pages) < full // 2


async def test_a_sweep_that_fails_for_whatever_reason_is_made_again(
    database, event_log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await happen(database, event_log, "d", 30 * DAY)
    write, mistakes = database.write_behind, [RuntimeError("nobody had foreseen it")]

    async def failing_write(use_case, *arguments):
        if mistakes:
            raise mistakes.pop()
        return await write(use_case, *arguments)

    monkeypatch.setattr(database, "write_behind", failing_write)
    it = sweeper(database, interval=timedelta(milliseconds=10))
    await it.start()
    async with asyncio.timeout(30):
        while await positions(database):
            await asyncio.sleep(0.01)
    await it.stop()
    assert not mistakes
