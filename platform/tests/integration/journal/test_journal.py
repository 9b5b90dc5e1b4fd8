"""The journal on both stores: what is noted is read again, by device, upgrade and time, and goes when it is old."""

from datetime import UTC, datetime, timedelta

import pytest

from firmcast.db.statement import portable
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal import use_cases as journal
from firmcast.journal.model import Decision, DeviceNote, Exchange, ExchangeKind, Note, Transfer

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVER = NOW + timedelta(days=365)
READ = Exchange(
    kind=ExchangeKind.READ, path="/5/0", told={"/5/0/3": "1", "/3/0/3": "ü\"'\\"}, answer="2.05", seconds=0.25
)


def note(seconds: float, what=READ, device: str = "d", upgrade: str | None = None) -> DeviceNote:
    moment = NOW + timedelta(seconds=seconds)
    of = None if upgrade is None else DeviceUpgradeId(upgrade)
    return DeviceNote(device_id=DeviceId(device), note=Note(occurred_at=moment, what=what, device_upgrade_id=of))


async def told(database, device="d", *, begin=NOW - timedelta(days=1), end=EVER, newest_first=False, **wanted):
    """Return the seconds after NOW of all notes of a device, page by page."""
    wanted = {"limit": 1000, **wanted}
    pages = await database.read(journal.between, DeviceId(device), begin, end, newest_first=newest_first, **wanted)
    return [[(each.occurred_at - NOW).total_seconds() for each in page.notes] for page in pages]


async def test_what_is_noted_is_read_again(database) -> None:
    decision = Decision(
        heard="registered", before="waiting", after="inspecting", order="inspect", deadline_at=NOW, withdrawn=True
    )
    transfer = Transfer(way="uri", began_at=NOW, last_at=EVER, blocks=7, reached=1024, total=4096, restarts=1)
    noted = [note(1, READ, upgrade="u"), note(2, decision, upgrade="u"), note(3, transfer, upgrade="u")]
    await database.write(journal.write, noted)
    (page,) = await database.read(journal.between, DeviceId("d"), NOW, EVER, limit=9, newest_first=True)
    assert page.notes == tuple(each.note for each in noted)


async def test_notes_of_one_transaction_are_a_row_for_each_device_and_upgrade(database) -> None:
    noted = [note(number / 10, device="ab"[number % 2], upgrade="uv"[number // 2 % 2]) for number in range(20)]
    await database.write(journal.write, noted)
    assert (await database.read(_rows))[0] == 4


async def test_a_device_is_read_by_time_and_upgrade_in_both_orders(database) -> None:
    for minute in range(6):
        await database.write(
            journal.write, [note(60 * minute, upgrade="uv"[minute % 2]), note(60 * minute, device="e")]
        )
    assert await told(database) == [[0], [60], [120], [180], [240], [300]]
    assert await told(database, newest_first=True, limit=2) == [[300], [240]]
    assert await told(database, begin=NOW + timedelta(seconds=60), end=NOW + timedelta(seconds=180)) == [[60], [120]]
    assert await told(database, device_upgrade_id=DeviceUpgradeId("u")) == [[0], [120], [240]]
    assert await told(database, "unknown") == []


async def test_a_device_that_never_rests_is_bounded(database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PAGES_OF_DEVICE", 5)
    await database.write(journal.write, [note(0, device="quiet")])
    for minute in range(1, 20):
        # Whole seconds: each page is one at which the others are counted.
        await database.write(journal.write, [note(60 * minute)])
    assert await told(database) == [[60 * minute] for minute in range(15, 20)]
    assert await told(database, "quiet") == [[0]]


async def test_old_pages_go_and_those_of_a_forgotten_device(database) -> None:
    for minute in range(6):
        await database.write(journal.write, [note(60 * minute)])
    await database.write(journal.write, [note(0, device="gone")])
    assert await database.write(journal.forget, NOW + timedelta(seconds=150), 2) == 2
    assert await database.write(journal.forget, NOW + timedelta(seconds=150), 9) == 2  # the one of the other device too
    assert await told(database) == [[180], [240], [300]]
    await database.write(journal.write, [note(60, device="gone")])
    await database.write(journal.forget_devices, [DeviceId("gone")])
    assert await told(database, "gone") == []


async def _rows(tx):
    return await tx.fetch_row(portable("SELECT COUNT(*) FROM journal_page"))
