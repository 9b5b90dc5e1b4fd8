"""Lists of devices are what they are called, and found by an index whatever is asked for."""

from datetime import timedelta

import pytest

from firmcast.db.page import Page
from firmcast.devices import commands, registrations, use_cases
from firmcast.devices.model import CommandKind, DeviceDetails, DeviceFilter, NewCommand, Presence
from firmcast.devices.store import devices as store
from firmcast.devices.store import listing, removal
from firmcast.ids import ApplicationId, DeviceUpgradeId

KINDS = list(listing.NEWEST_FIRST)
PRESENCES = [None, Presence.ONLINE, Presence.OFFLINE]


@pytest.fixture
async def known(database, event_log, application_id, told, now):
    """Twelve devices of two types, made known a minute after each other; every third one is here."""
    devices = [
        await database.write(
            use_cases.create,
            application_id,
            f"known-{number}",
            "v",
            now + timedelta(minutes=number),
            details=DeviceDetails(device_type=("meter", "lamp")[number % 2]),
            activation_seconds=0,
            log=event_log,
        )
        for number in range(12)
    ]
    here = [told(f"known-{number}") for number in range(0, 12, 3)]
    await database.write(registrations.register, here, now, log=event_log)
    await database.write(use_cases.create, ApplicationId("other"), "theirs", "v", now, log=event_log)
    return devices


def expected(known, now, wanted):
    """What a list must hold, found by looking at every device."""
    found = [
        device
        for number, device in enumerate(known)
        if wanted.device_type in ("", device.device_type)
        and (wanted.presence is None or (wanted.presence is Presence.ONLINE) == (number % 3 == 0))
        and (wanted.created_from is None or device.created_at >= wanted.created_from)
        and (wanted.created_until is None or device.created_at <= wanted.created_until)
        and wanted.device_id in ("", device.device_id)
    ]
    return [device.device_id for device in (found if wanted.oldest_first else reversed(found))]


@pytest.mark.parametrize("device_type", ["", "meter", "unknown"])
@pytest.mark.parametrize("presence", PRESENCES)
@pytest.mark.parametrize("oldest_first", [True, False])
async def test_every_kind_of_filter_finds_what_fits(
    database, application_id, known, now, device_type, presence, oldest_first
):
    for start, end, one in ((None, None, ""), (2, 9, ""), (None, 5, ""), (7, None, ""), (2, 9, known[6].device_id)):
        wanted = DeviceFilter(
            device_id=one,
            device_type=device_type,
            presence=presence,
            created_from=None if start is None else now + timedelta(minutes=start),
            created_until=None if end is None else now + timedelta(minutes=end),
            oldest_first=oldest_first,
        )
        ids = expected(known, now, wanted)
        for page in (Page(), Page(1, 2), Page(3, 100), Page(100, 1)):
            found, total = await database.read(use_cases.listed, application_id, wanted, page, now=now)
            assert total == len(ids)
            assert [device.device_id for device in found] == ids[page.offset : page.offset + page.limit]


async def plan(tx, statement):
    count = max(number for number in range(1, 10) if f"?{number}" in statement.sqlite)
    rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {statement.sqlite}", (1,) * count).fetchall()
    return " | ".join(row[3] for row in rows)


def index_of(kind):
    """Which index a list of this kind is read from."""
    if kind == (False, Presence.ONLINE):
        return "registration_by_application"
    return "device_by_type" if kind[0] else "device_by_application"


@pytest.mark.only_sqlite
@pytest.mark.parametrize("kind", list(listing.COUNT))
async def test_a_total_is_counted_within_an_index(database, kind):
    found = await database.read(plan, listing.COUNT[kind])
    assert f"COVERING INDEX {index_of(kind)} (" in found
    assert "SCAN" not in found


@pytest.mark.only_sqlite
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [listing.NEWEST_FIRST, listing.OLDEST_FIRST])
async def test_a_page_is_chosen_within_an_index_before_a_row_is_read(database, kind, order):
    found = await database.read(plan, order[kind])
    chosen, _, read = found.partition("SCAN page")
    assert f"COVERING INDEX {index_of(kind)} (" in chosen
    assert "TEMP B-TREE" not in chosen
    assert "SCAN" not in chosen
    assert "SEARCH device USING PRIMARY KEY (device_id=?)" in read


@pytest.mark.only_sqlite
async def test_chosen_devices_are_found_one_by_one_however_many_there_are(database):
    async def found(tx):
        rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {store.BY_IDS.sqlite}", ("a", '["d"]')).fetchall()
        return " | ".join(row[3] for row in rows)

    assert "SEARCH device USING PRIMARY KEY (device_id=?)" in await database.read(found)


async def test_who_is_overdue_is_away_before_anybody_has_noticed(database, application_id, known, now):
    later = now + timedelta(seconds=300)
    for presence, total in ((Presence.ONLINE, 0), (Presence.OFFLINE, 12)):
        wanted = DeviceFilter(presence=presence)
        found = await database.read(use_cases.listed, application_id, wanted, Page(0, 100), now=later)
        assert (len(found[0]), found[1]) == (total, total)


@pytest.mark.only_sqlite
@pytest.mark.parametrize(
    "statement",
    [
        removal.SOME_OF_APPLICATION,
        removal.DELETE_COMMANDS,
        removal.DELETE_REGISTRATIONS,
        removal.DELETE_DEVICES,
    ],
)
async def test_what_is_removed_is_found_by_an_index(database, statement):
    async def found(tx):
        arguments = ("a", 1)[: 2 if "?2" in statement.sqlite else 1]
        given = [argument if "?2" in statement.sqlite else '["d"]' for argument in arguments]
        rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {statement.sqlite}", given).fetchall()
        return " | ".join(row[3] for row in rows)

    plan_of_it = await database.read(found)
    assert "SEARCH" in plan_of_it
    assert "SCAN d" not in plan_of_it
    assert "SCAN registration" not in plan_of_it


async def test_an_application_is_forgotten_in_batches(database, application_id, known, now):
    order = NewCommand(
        device_id=known[0].device_id,
        device_upgrade_id=DeviceUpgradeId("u"),
        kind=CommandKind.INSPECT,
        transfer_token="t",
    )
    await database.write(commands.replace, [order], now)
    calls = [await database.write(use_cases.forget_application, application_id, 5) for _ in range(4)]
    assert calls == [5, 5, 2, 0]
    assert await database.read(use_cases.listed, application_id, now=now) == ([], 0)
    assert await database.read(registrations.live, now) == []
    assert await database.read(commands.waiting, [device.device_id for device in known]) == []
    assert (await database.read(use_cases.listed, ApplicationId("other"), now=now))[1] == 1
