"""Saves a store of the schema as it is at a step, with data in every table, for the tests of migrations.

Each schema that is released gets one, of both kinds, and neither is ever written again: a release must bring every
store of the releases before it to itself.

Usage: saved_store.py NUMBER
"""

import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firmcast.db.columns import to_column
from firmcast.db.migrate import migrate, migrations_of
from firmcast.sealing import Sealer

FOLDER = Path(__file__).resolve().parent.parent / "platform/tests/migration/stores"
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
SEALING_KEY = b"a key of thirty-two bytes, saved"
AT = to_column(MADE_AT)
DAY = 24 * 3600 * 1_000_000
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return what is in each table; a column that is not named here must have a default."""
    sealer = Sealer(SEALING_KEY)
    return {**people(sealer), **devices(), **upgrades(), **deliveries()}


def people(sealer: Sealer) -> dict[str, list[dict[str, Any]]]:
    """Return who may do what, and what was done."""
    return {
        "audit_entry": [
            {"made_at": AT, "actor_kind": "administrator", "actor": "operator", "action": "application.create",
             "subject": "app-1", "details": '{"name":"Straße \\"7\\""}'},
        ],
        "administrator_token": [
            {"token_id": "t1", "name": "ci", "token_hash": bytes(range(32)), "scopes": "firmware:write audit:read",
             "created_at": AT, "created_by": "operator", "expires_at": None, "last_used_at": AT + DAY},
        ],
        "application": [
            {"application_id": "app-1", "name": "O'Hara & Söhne 大", "secret_hash": b"\x00hash\xff",
             "former_secret_hash": b"old", "former_secret_ends_at": AT + DAY,
             "signing_secret_sealed": sealer.seal(b"signing secret", "application signing secret"),
             "verification_key": "-----\n", "created_at": AT},
            {"application_id": "app-2", "name": "second", "secret_hash": b"", "signing_secret_sealed": b"\x27",
             "frozen": 1, "created_at": AT + 1},
        ],
        "token": [{"token_hash": b"token", "application_id": "app-1", "kind": "access", "expires_at": AT + DAY}],
        "device_group": [
            {"group_id": "g1", "application_id": "app-1", "name": "north", "description": "", "max_devices": 1000,
             "device_count": 2, "created_at": AT},
        ],
        "device_group_member": [{"group_id": "g1", "device_id": f"d{number}"} for number in (1, 2)],
    }  # fmt: skip


def devices() -> dict[str, list[dict[str, Any]]]:
    """Return three devices, one of which is registered and has an order waiting."""
    return {
        "device": [
            {"device_id": f"d{number}", "application_id": "app-1", "endpoint_name": f"urn:dev:{number}",
             "verification_code": f"urn:dev:{number}", "name": "Gerät; --'", "activation_seconds": 180,
             "activation_ends_at": AT + DAY if number == 3 else None, "created_at": AT + number, "changed_at": AT,
             "attributes": '{"a":"\'"}', "pre_shared_key": b"\x00\x01"}
            for number in (1, 2, 3)
        ],
        "registration": [
            {"device_id": "d1", "registration_id": "r1", "endpoint_name": "urn:dev:1", "host": "2001:db8::1",
             "port": 5683, "lifetime_seconds": 86400, "binding": "U", "queue_mode": 1, "lwm2m_version": "1.1",
             "objects": "</5/0>", "registered_at": AT, "updated_at": AT, "expires_at": AT + DAY,
             "application_id": "app-1", "device_created_at": AT + 1},
        ],
        "device_command": [
            {"device_id": "d1", "device_upgrade_id": "u1", "kind": "inspect", "transfer_token": "token-1",
             "created_at": AT},
        ],
    }  # fmt: skip


def upgrades() -> dict[str, list[dict[str, Any]]]:
    """Return a package, one that still comes, and a task of two devices of which one is under way."""
    task = {
        "task_id": "task-1", "application_id": "app-1", "package_id": "p1", "target_version": "2.0", "device_type": "",
        "model": "", "manufacturer_name": "", "targets": '{"devices":["d1","d2"]}', "created_at": AT,
        "idempotency_key": "once", "request_digest": "x", "start_mode": "now", "window_start": None,
        "window_end": AT + DAY, "retry_limit": 1, "status": "processing", "round": 0, "work": None, "work_at": None,
        "work_cursor": "", "stop_requested_at": None, "started_at": AT, "ended_at": None, "description": "",
    }  # fmt: skip
    upgrade = {
        "task_id": "task-1", "application_id": "app-1", "package_id": "p1", "attempt": 0, "retryable": 0,
        "published_state": 1, "probed": 0, "evidence": b"{}", "source_version": "1.0", "target_version": "2.0",
        "current_version": "1.0", "bytes_total": 4, "created_at": AT, "started_at": AT, "description": "",
    }  # fmt: skip
    return {
        "firmware_package": [
            {"package_id": "p1", "application_id": "app-1", "name": "image", "version": "2.0", "device_type": "",
             "model": "", "manufacturer_name": "", "protocol_type": "LWM2M", "description": "Zeile 1\nZeile 2",
             "size": 4, "digest": DIGEST, "uploaded_at": AT, "signature": "", "signed_by": ""},
        ],
        "firmware_upload": [
            {"upload_id": "c0ffee", "application_id": "app-1", "size": 10, "digest": "", "signature": "",
             "metadata": '{"name":"next","version":"3.0","device_type":"","model":"","manufacturer_name":""}',
             "received": 3, "package_id": "", "created_at": AT, "touched_at": AT},
        ],
        "upgrade_task": [task],
        "upgrade_task_tally": [
            {"task_id": "task-1", "tally": "processing", "devices": 1},
            {"task_id": "task-1", "tally": "failed", "devices": 1},
        ],
        "device_upgrade": [
            {**upgrade, "device_upgrade_id": "u1", "device_id": "d1", "position": 0, "phase": "transferring",
             "tally": "processing", "transfer_token": "token-1", "deadline_at": AT + DAY},
            {**upgrade, "device_upgrade_id": "u2", "device_id": "d2", "position": 1, "phase": "closed",
             "tally": "failed", "transfer_token": "token-2", "ended_at": AT + 1, "outcome": "failed"},
        ],
    }  # fmt: skip


def deliveries() -> dict[str, list[dict[str, Any]]]:
    """Return the log of three devices: some told, some still to be told, one given up."""
    event = {
        "application_id": "app-1", "task_id": "task-1", "event_type": "firmware.state_changed", "occurred_at": AT,
        "synthesised": 0, "fact": b'{"state":1}', "body": b'{"step":"1"}',
    }  # fmt: skip
    places = [("d1", 1), ("d2", 1), ("d1", 2), ("d3", 1), ("d1", 3)]
    waiting = [(3, "d1", 2), (4, "d3", 1), (5, "d1", 3)]
    return {
        "event_stream": [
            {"device_id": device_id, "last_sequence": last} for device_id, last in (("d1", 3), ("d2", 1), ("d3", 1))
        ],
        "event": [
            {**event, "message_id": f"evt_{number}", "device_id": device_id, "sequence": sequence,
             "device_upgrade_id": "u1"}
            for number, (device_id, sequence) in enumerate(places, start=1)
        ],
        "subscription": [
            {"subscription_id": "s1", "application_id": "app-1", "event_type": "firmware.state_changed",
             "callback_url": "https://example.com:8443/a?b=c&d=%20", "created_at": AT},
        ],
        "delivery": [
            {"event_id": event_id, "subscription_id": "s1", "device_id": device_id, "sequence": sequence}
            for event_id, device_id, sequence in waiting
        ],
        "lane": [
            {"subscription_id": "s1", "device_id": "d1", "event_id": 3, "attempts": 2, "first_attempted_at": AT,
             "next_attempt_at": AT + DAY, "reason": "server_error"},
        ],
        "attempt": [
            {"event_id": 3, "subscription_id": "s1", "device_id": "d1", "number": number, "attempted_at": AT,
             "duration": 1500, "status": status, "failure": failure, "detail": "", "address": "192.0.2.1",
             "answer": b"<html>\x00"}
            for number, status, failure in ((1, 503, "server_error"), (2, 500, "server_error"))
        ],
        "dead_letter": [
            {"event_id": 2, "subscription_id": "s1", "device_id": "d2", "sequence": 1, "attempts": 9,
             "reason": "expired", "failure": "refused", "died_at": AT},
        ],
    }  # fmt: skip


def save_sqlite(number: int, content: dict[str, list[dict[str, Any]]]) -> None:
    """Write the store as a file."""
    path = FOLDER / f"{number:04}.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 512")  # there is little in it
        migrate(connection, migrations_of("sqlite")[:number], MADE_AT)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        empty = {name for name in tables if not name.startswith("sqlite_")} - {"schema_version", *content}
        if empty:
            sys.exit(f"say here what is in {', '.join(sorted(empty))}")
        for table, listed in content.items():
            for row in listed:
                marks = ", ".join("?" for _ in row)
                connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        connection.execute("VACUUM")


def save_postgres(number: int, content: dict[str, list[dict[str, Any]]]) -> None:
    """Write the store as the text that makes it."""
    steps = migrations_of("postgres")[:number]
    lines = [f"-- A store of schema {number}, as it was when that was released; written by scripts/saved_store.py.", ""]
    lines += [
        "CREATE TABLE schema_version (",
        "    number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at bigint NOT NULL",
        ");",
    ]
    for step in steps:
        lines += ["", step.sql.rstrip(), ""]
        version = {"number": step.number, "name": step.name, "digest": step.digest, "applied_at": AT}
        lines.append(insertion("schema_version", version))
    for table, listed in content.items():
        lines += ["", *(insertion(table, row) for row in listed)]
    (FOLDER / f"{number:04}.postgres.sql").write_text("\n".join(lines) + "\n")


def insertion(table: str, row: dict[str, Any]) -> str:
    """Return the statement that inserts a row, in PostgreSQL's words."""
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(map(literal, row.values()))});"


def literal(value: Any) -> str:
    """Return a value in PostgreSQL's words."""
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"'\\x{value.hex()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            return str(value)


def main() -> None:
    """Save both stores, unless they are there."""
    number = int(sys.argv[1])
    if (FOLDER / f"{number:04}.db").exists():
        sys.exit("a saved store is never written again")
    content = rows()
    save_sqlite(number, content)
    save_postgres(number, content)


if __name__ == "__main__":
    main()
