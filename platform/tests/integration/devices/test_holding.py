"""Who holds a registration, how it changes hands, and what is found by what is seen of a device."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import portable
from firmcast.devices import commands, holding, registrations, use_cases
from firmcast.devices.model import NOBODY, CommandKind, NewCommand, RegistrationMoved, RegistrationUpdate
from firmcast.devices.store import commands as command_store
from firmcast.devices.store import holding as store
from firmcast.ids import DeviceUpgradeId, GatewayId

ONE, TWO = GatewayId("here/1"), GatewayId("here/2")


@pytest.fixture
def moves(database):
    """What is announced of changes of hands, in order."""
    queue: asyncio.Queue[RegistrationMoved] = asyncio.Queue()
    database.listen(holding.REGISTRATIONS_MOVED, lambda items: [queue.put_nowait(item) for item in items])
    return queue


@pytest.fixture
async def made(database, event_log, devices, told, now):
    """Registrations of two devices with the first gateway."""
    names = [told("node-0"), told("node-1", port=2)]
    return await database.write(registrations.register, names, now, log=event_log, gateway=ONE)


async def test_whoever_registers_is_held_and_an_update_changes_hands(database, event_log, made, moves, told, now):
    first = made["node-0"]
    assert (first.gateway, first.epoch, first.came_from) == (ONE, 1, None)
    update = RegistrationUpdate(registration_id=first.registration_id, host="h", port=1)
    (same,) = (await database.write(registrations.refresh, [update], now, gateway=ONE)).values()
    assert (same.gateway, same.epoch, same.came_from) == (ONE, 1, None)
    assert moves.empty()
    (moved,) = (await database.write(registrations.refresh, [update, update], now, gateway=TWO)).values()
    assert (moved.gateway, moved.epoch, moved.came_from) == (TWO, 2, ONE)
    told_of = moves.get_nowait()
    assert (told_of.registration_id, told_of.gateway, told_of.epoch) == (first.registration_id, TWO, 2)
    again = await database.write(registrations.register, [told("node-0")], now, log=event_log, gateway=ONE)
    assert (again["node-0"].epoch, again["node-0"].came_from) == (3, TWO)
    assert moves.get_nowait().registration_id == again["node-0"].registration_id
    assert moves.empty()


async def test_ends_are_told(database, event_log, made, moves, application_id, now):
    first, second = made["node-0"], made["node-1"]
    await database.write(registrations.remove, [first.registration_id], now, log=event_log)
    ended = RegistrationMoved(device_id=first.device_id, registration_id=first.registration_id, gateway=NOBODY, epoch=0)
    assert moves.get_nowait() == ended
    await database.write(use_cases.forget_application, application_id)
    assert moves.get_nowait().registration_id == second.registration_id
    assert moves.empty()


async def test_taking_over_takes_what_is_live_and_another_ones(database, made, moves, now):
    ids = [made[name].device_id for name in ("node-0", "node-1")]
    both = [made[name].registration_id for name in ("node-0", "node-1")]
    same = await database.write(holding.take_over, [*both, "unknown"], now, gateway=ONE)
    assert [each.came_from for each in same.values()] == [None, None]
    assert moves.empty()
    taken = await database.write(holding.take_over, both[:1], now, gateway=TWO)
    assert [(each.gateway, each.epoch, each.came_from) for each in taken.values()] == [(TWO, 2, ONE)]
    assert moves.get_nowait().gateway == TWO
    found = await database.read(registrations.of_devices, ids, now)
    assert {each.device_id: (each.gateway, each.epoch) for each in found.values()} == {
        ids[0]: (TWO, 2),
        ids[1]: (ONE, 1),
    }
    assert await database.read(holding.held_elsewhere, ids, now, gateway=ONE) == {ids[0]}
    late = now + timedelta(days=1)
    assert await database.write(holding.take_over, both, late, gateway=ONE) == {}


async def test_what_a_dead_gateway_held_is_adopted_in_parts(database, event_log, devices, told, now):
    names = [told(name, lifetime_seconds=60 if name == "node-4" else 300) for name in devices]
    await database.write(registrations.register, names, now, log=event_log, gateway=ONE)
    later = now + timedelta(seconds=100)
    found = []
    for expected in (2, 2, 1, 0):
        count, live = await database.write(holding.adopt, ONE, later, 2, gateway=TWO)
        assert count == expected
        found += live
    assert sorted(each.endpoint_name for each in found) == ["node-0", "node-1", "node-2", "node-3"]
    assert {(each.gateway, each.epoch, each.came_from) for each in found} == {(TWO, 2, ONE)}
    assert await database.read(holding.holders) == [TWO]
    first = await database.read(holding.held, TWO, None, 3)
    rest = await database.read(holding.held, TWO, first[-1], 3)
    assert first + rest == sorted(device.device_id for device in devices.values())


async def test_holders_are_found_and_who_has_nobody(database, event_log, made, told, now):
    await database.write(registrations.register, [told("node-2")], now, log=event_log, gateway=TWO)
    assert await database.read(holding.holders) == [ONE, TWO]

    async def living(_tx):
        return (TWO,)

    ids = [each.device_id for each in made.values()]
    assert await database.read(holding.unattended, ids, now, living=living) == set(ids)
    over = now + timedelta(days=1)
    assert await database.read(holding.unattended, ids, over, living=living) == set()


async def test_a_gateway_carries_out_orders_of_its_devices_only(database, made, now):
    orders = [
        NewCommand(
            device_id=each.device_id,
            device_upgrade_id=DeviceUpgradeId(each.endpoint_name),
            kind=CommandKind.INSPECT,
            transfer_token="t",
        )
        for each in made.values()
    ]
    first, second = await database.write(commands.replace, orders, now)
    ids = [first.device_id, second.device_id]
    assert await database.read(commands.to_carry_out, ids, ONE) == [first, second]
    await database.write(holding.take_over, [made["node-0"].registration_id], now, gateway=TWO)
    assert await database.read(commands.to_carry_out, ids, ONE) == [second]
    assert await database.read(commands.to_carry_out, ids, TWO) == [first]


async def test_a_registration_is_found_by_what_is_seen_of_its_device(database, event_log, made, told, now):
    secure = (await database.write(registrations.register, [told("node-3", is_secure=True)], now, log=event_log))[
        "node-3"
    ]
    first, second = made["node-0"], made["node-1"]
    at = await database.read(holding.at_addresses, [("192.0.2.9", 2), ("192.0.2.9", 3), ("192.0.2.8", 5683)], now)
    assert at == [second]
    assert await database.read(holding.at_addresses, [("192.0.2.9", 5683)], now) in ([first, secure], [secure, first])
    digits = [first.registration_id, "0" * 14]
    assert await database.read(holding.beginning_with, digits, now) == [first]
    assert await database.read(holding.secure_named, ["node-3", "node-0", "nobody"], now) == [secure]
    over = now + timedelta(days=1)
    assert await database.read(holding.at_addresses, [("192.0.2.9", 2)], over) == []
    assert await database.read(holding.beginning_with, digits, over) == []
    assert await database.read(holding.secure_named, ["node-3"], over) == []


PLANS = [
    (store.HOLDERS, (), "registration_by_gateway"),
    (store.SOME_HELD, ("here/1", 9), "registration_by_gateway"),
    (store.HELD_AFTER, ("here/1", "d", 9), "registration_by_gateway"),
    (store.MOVE, (["d7"], "here/2"), "registration_pkey"),
    (store.GATEWAYS_OF, (["d7"], 1), "registration_pkey"),
    (store.AT_ADDRESSES, (["h7"], [7], 1), "registration_by_address"),
    (store.SECURE_NAMED, (["e7"], 1), "registration_pkey"),
    (store.BEGINNING_WITH, (["00007"], 1), "registration_registration_id_key"),
    (command_store.OF_HELD_DEVICES, (["d7"], "here/1"), "device_command_by_device"),
]


@pytest.mark.only_sqlite
@pytest.mark.parametrize(("statement", "arguments", "_index"), PLANS)
async def test_it_is_found_by_an_index(database, statement, arguments, _index):
    given = [str(each).replace("'", '"') if isinstance(each, list) else each for each in arguments]

    async def plan(tx):
        rows = tx._connection.execute(f"EXPLAIN QUERY PLAN {statement.sqlite}", given).fetchall()
        return " | ".join(row[3] for row in rows)

    found = await database.read(plan)
    assert "SCAN r" not in found
    assert "SCAN c" not in found
    assert "SCAN d" not in found
    assert "INDEX" in found
    assert "TEMP B-TREE" not in found or statement is command_store.OF_HELD_DEVICES


FILL = (
    (
        "INSERT INTO device (device_id, application_id, endpoint_name, verification_code, name, manufacturer_id,"
        " manufacturer_name, device_type, model, protocol_type, activation_seconds, firmware_version, created_at,"
        " changed_at, attributes, pre_shared_key)"
        " SELECT 'd' || n, 'a', 'e' || n, '', '', '', '', '', '', '', 0, '', 1, 1,"
        " '', '' FROM generate_series(1, 20000) n"
    ),
    (
        "INSERT INTO registration (device_id, registration_id, endpoint_name, host, port, lifetime_seconds, binding,"
        " queue_mode, lwm2m_version, objects, registered_at, updated_at, expires_at, application_id, device_created_at,"
        " gateway, gateway_epoch)"
        " SELECT 'd' || n, lpad(n::text, 32, '0'), 'e' || n, 'h' || n % 300, n, 1, '', 0, '', '',"
        " 1, 1, 9, 'a', 1, 'here/' || n % 3, 1 FROM generate_series(1, 20000) n"
    ),
    (
        "INSERT INTO device_command (device_id, device_upgrade_id, kind, transfer_token, created_at)"
        " SELECT 'd' || n, 'u' || n, 'probe', '', 1 FROM generate_series(1, 20000) n"
    ),
    "ANALYZE device",
    "ANALYZE registration",
    "ANALYZE device_command",
)


async def test_postgresql_finds_it_by_an_index_in_large_tables(empty_postgres_store):
    opened = await PostgresDatabase.open(await empty_postgres_store(), datetime.now(UTC))

    async def fill(tx):
        for statement in FILL:
            await tx.execute(portable(statement))

    async def plan(tx, statement, arguments):
        rows = await tx.fetch(portable(f"EXPLAIN (COSTS FALSE) {statement.postgres}"), *arguments)
        return "\n".join(row[0] for row in rows)

    try:
        await opened.write(fill)
        for statement, arguments, index in PLANS:
            found = await opened.read(plan, statement, arguments)
            assert index in found, found
            assert "Seq Scan" not in found, found
    finally:
        await opened.close()
