"""Every statement about devices, registrations, commands and the audit finds its rows by an index, on both stores.

The tables are filled: PostgreSQL walks through a small one whatever its indexes.
"""

import json

import pytest

from firmcast.audit import store as audit
from firmcast.db.statement import Statement, differing, portable
from firmcast.devices.store import commands, devices, holding, registrations, removal

ROWS = 15_000
ATTRIBUTES = '{"attributes": "' + 400 * "x" + '"}'
TABLES = {
    "device": "device_id, application_id, endpoint_name, verification_code, device_type, activation_seconds,"
    " activation_ends_at, created_at, changed_at, pre_shared_key, attributes",
    "registration": "device_id, registration_id, endpoint_name, host, port, lifetime_seconds, binding, queue_mode,"
    " lwm2m_version, objects, registered_at, updated_at, expires_at, application_id, device_created_at, is_secure,"
    " gateway",
    "device_command": "device_id, device_upgrade_id, kind, transfer_token, created_at",
    "audit_entry": "made_at, actor_kind, actor, action, subject, details",
}
DEVICE, REGISTRATION, COMMAND = "device", "registration", "device_command"
SOME = ["d7", "d8"]
KEY, PKEY = "PRIMARY KEY", "_pkey"
BY_ENDPOINT = ("endpoint_name=?", "device_endpoint_name_key")
BY_NUMBER = ("registration_id", "registration_registration_id_key")

# The name: arguments, then what a plan of SQLite has in it, and one of PostgreSQL.
PLANS: dict[str, tuple[tuple[object, ...], str, str]] = {
    "devices._FIND": (("a1", "d7"), KEY, PKEY),
    "devices._FIND_ANY": (("d7",), KEY, PKEY),
    "devices._BY_ENDPOINT_NAMES": ((["e7"],), *BY_ENDPOINT),
    "devices._PRE_SHARED_KEYS": ((["e7"],), *BY_ENDPOINT),
    "devices._RENEW": (("d7", "", "", "", "", "", "", "", 1, 1, "{}", b"", 1), KEY, PKEY),
    "devices._MODIFY": (("d7", "", "", "", "", "", "", "{}", 1), KEY, PKEY),
    "devices._SET_CREDENTIALS": (("d7", "", "", 1, 1), KEY, PKEY),
    "devices._SET_PRE_SHARED_KEY": (("d7", b"", 1), KEY, PKEY),
    "devices.SEALED_AFTER": (("d7", 9), KEY, PKEY),
    "devices.SET_SEALED": (("d7", b""), KEY, PKEY),
    "devices._ACTIVATE": ((SOME, 1), KEY, PKEY),
    "devices.EXPIRE_ACTIVATIONS": ((5, 9), "device_by_activation_end", "device_by_activation_end"),
    "devices.NEXT_ACTIVATION_END": ((), "device_by_activation_end", "device_by_activation_end"),
    "devices._SET_FIRMWARE_VERSIONS": (('[["d7", "2"]]', 1), KEY, PKEY),
    "devices._OWNERS": ((SOME,), KEY, PKEY),
    "devices._DELETE": (("d7",), KEY, PKEY),
    "registrations._UPDATE": (("r7", "h", 1, 1, "U", "", 1, 1, 0, "g", 1), *BY_NUMBER),
    "registrations._BY_IDS": ((["r7"], 1), *BY_NUMBER),
    "registrations._OF_DEVICES": ((SOME, 1), KEY, PKEY),
    "registrations._REGISTERED": ((SOME, 1), KEY, PKEY),
    "registrations._LIVE": (("d7", 1, 9), KEY, PKEY),
    "registrations._EXPIRED": ((5, 9), "registration_by_expiry", "registration_by_expiry"),
    "registrations._DELETE": ((["r7"],), *BY_NUMBER),
    "registrations._DELETE_OF_DEVICE": (("d7",), KEY, PKEY),
    "holding.HOLDERS": ((), "registration_by_gateway", "registration_by_gateway"),
    "holding.SOME_HELD": (("g7", 9), "registration_by_gateway", "registration_by_gateway"),
    "holding.HELD_AFTER": (("g7", "d7", 9), "registration_by_gateway", "registration_by_gateway"),
    "holding.MOVE": ((SOME, "g7"), KEY, PKEY),
    "holding.GATEWAYS_OF": ((SOME, 1), KEY, PKEY),
    "holding.AT_ADDRESSES": ((["h7"], [7], 1), "registration_by_address", "registration_by_address"),
    "holding.SECURE_NAMED": ((["e7"], 1), *BY_ENDPOINT),
    "holding.BEGINNING_WITH": ((["r7"], 1), *BY_NUMBER),
    "removal.SOME_OF_APPLICATION": (("a1", 9), "device_by_", "device_by_"),
    "removal.DELETE_COMMANDS": ((SOME,), "device_command_by_device", "device_command_by_device"),
    "removal.DELETE_REGISTRATIONS": ((SOME,), KEY, PKEY),
    "removal.DELETE_DEVICES": ((SOME,), KEY, PKEY),
    "commands._DELETE_OF_UPGRADES": ((["u7"],), "device_upgrade_id=?", "device_command_device_upgrade_id_key"),
    "commands._DELETE_REPLACED": ((["u7"], SOME), "MULTI-INDEX OR", "BitmapOr"),
    "commands._TRIES": (([7],), KEY, PKEY),
    "commands._COUNT_TRY": (([7],), KEY, PKEY),
    "commands._OF_UPGRADES": ((["u7"],), "device_upgrade_id=?", "device_command_device_upgrade_id_key"),
    "commands._DELETE": (([7],), KEY, PKEY),
    "commands._OF_DEVICES": ((SOME,), "device_command_by_device", "device_command_by_device"),
    "commands.OF_HELD_DEVICES": ((SOME, "g7"), "device_command_by_device", "device_command_by_device"),
    "commands._DELETE_OF_DEVICE": (("d7",), "device_command_by_device", "device_command_by_device"),
    "audit.LIST": (("", "", "", None, None, 9, 0), "SCAN audit_entry", PKEY),  # from its end, as many as a page has
    "audit.LIST_OF_SUBJECT": (("", "", "x7", None, None, 9, 0), "audit_entry_by_subject", "audit_entry_by_subject"),
    "audit.COUNT_OF_SUBJECT": (("", "", "x7", None, None), "audit_entry_by_subject", "audit_entry_by_subject"),
    "audit.DELETE_OLD": ((5, 9), KEY, PKEY),
}
WITHOUT_A_PLAN = {
    "devices._INSERT": "writes only",
    "devices.BY_IDS": "asserted with the upgrades",
    "registrations._UPSERT": "writes by the primary key",
    "commands._INSERT": "writes only",
    "audit._INSERT": "writes only",
    "audit.COUNT": "for a person: over all, which retention bounds",
}
MODULES = {
    "devices": devices,
    "registrations": registrations,
    "holding": holding,
    "removal": removal,
    "commands": commands,
    "audit": audit,
}
STATEMENTS: dict[str, Statement] = {
    f"{prefix}.{name}": each
    for prefix, module in MODULES.items()
    for name, each in vars(module).items()
    if isinstance(each, Statement)
}
FROM_AN_END = {"audit.LIST", "audit.DELETE_OLD"}
"""Walk through the table from one of its ends, as far as their limit."""


def rows_of(table: str) -> list[tuple[object, ...]]:
    numbers = range(ROWS)
    match table:
        case "device":
            return [
                (f"d{n}", f"a{n % 50}", f"e{n}", "", f"t{n % 9}", 1, n if n % 50 == 0 else None, n, n, b"k", ATTRIBUTES)
                for n in numbers
            ]
        case "registration":
            return [
                (
                    f"d{n}",
                    f"r{n}",
                    f"e{n}",
                    f"h{n % 900}",
                    n,
                    1,
                    "U",
                    0,
                    "1.0",
                    "",
                    n,
                    n,
                    n,
                    f"a{n % 50}",
                    n,
                    1,
                    f"g{n % 20}",
                )
                for n in numbers
            ]
        case "device_command":
            return [(f"d{n}", f"u{n}", "x", f"t{n}", n) for n in numbers]
        case _:
            return [(n, "administrator", f"p{n % 9}", "a.b", f"x{n % 500}", "{}") for n in numbers]


@pytest.fixture
async def filled(database):
    async def fill(tx) -> None:
        for table, columns in TABLES.items():
            places = ", ".join(f"?{number}" for number in range(1, columns.count(",") + 2))
            await tx.execute_many(portable(f"INSERT INTO {table} ({columns}) VALUES ({places})"), rows_of(table))
            await tx.execute(portable(f"ANALYZE {table}"))

    async def forget(tx) -> None:
        for table in TABLES:
            await tx.execute(portable(f"DELETE FROM {table}"))
            await tx.execute(portable(f"ANALYZE {table}"))

    await database.write(fill)
    yield database
    await database.write(forget)  # another test must not be told what there is no more


async def plan(tx, statement: Statement, arguments: tuple[object, ...]) -> list[str]:
    explain = differing(
        sqlite=f"EXPLAIN QUERY PLAN {statement.sqlite}", postgres=f"EXPLAIN (COSTS FALSE) {statement.postgres}"
    )
    return [str(row[-1]) for row in await tx.fetch(explain, *arguments)]


def walks(steps: list[str]) -> bool:
    """Say whether a plan goes through a whole table."""
    scans = [step for step in steps if step.startswith("SCAN ") and "VIRTUAL TABLE" not in step]
    through = [step for step in scans if "USING" not in step and step.split()[1] not in {"holder", "CONSTANT"}]
    return bool(through) or any("Seq Scan" in step for step in steps)


async def test_every_statement_uses_its_index(filled) -> None:
    is_sqlite = type(filled).__name__ == "SqliteDatabase"
    wrong = {}
    for name, (arguments, sqlite, postgres) in PLANS.items():
        steps = await filled.write(plan, STATEMENTS[name], arguments)
        index = sqlite if is_sqlite else postgres
        if not any(index in step for step in steps) or (walks(steps) and name not in FROM_AN_END):
            wrong[name] = steps
    assert not wrong, json.dumps(wrong, indent=1)


async def test_a_statement_without_an_index_is_noticed(filled) -> None:
    assert walks(await filled.write(plan, portable("SELECT 1 FROM device WHERE name = 'x'"), ()))


def test_every_statement_is_named_here() -> None:
    assert set(STATEMENTS) == {*PLANS, *WITHOUT_A_PLAN}
