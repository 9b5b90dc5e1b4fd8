"""What `firmcast db migrate` and `firmcast db check` do."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from firmcast.cli.failures import CommandError
from firmcast.clock import SystemClock
from firmcast.db.consistency import RULES, Rule, breaches
from firmcast.db.inspection import Inspection, PostgresInspection, SqliteInspection, lasting_connection
from firmcast.db.migrate import migrations_of
from firmcast.db.postgres_migrate import migrate as migrate_postgres
from firmcast.db.schema_level import SchemaLevel, level_of, postgres_level, sqlite_level
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.db.sqlite_connection import reading_connection
from firmcast.errors import StoreError
from firmcast.firmware.files import FOLDER
from firmcast.firmware.soundness import BytesInDatabase, BytesInFolder, damaged_packages, short_uploads
from firmcast.settings import Settings

_SHOWN: Final = 10


async def migrate_store(settings: Settings, *, dry_run: bool) -> dict[str, Any]:
    """Bring a store to this release, or with `dry_run` find out what that would take; return what is to be told.

    Raises:
        FirmcastError: it cannot be done.
    """
    now = SystemClock().now()
    if settings.database_url is None:
        path = settings.data / STORE_FILE
        before = sqlite_level_of(path)
        if not dry_run:
            await (await SqliteDatabase.open(path, now)).close()
    else:
        connection = await lasting_connection(settings.database_url.get_secret_value())
        try:
            before = await postgres_level(connection, migrations_of("postgres"))
            if not dry_run:
                await migrate_postgres(connection, migrations_of("postgres"), now)
        finally:
            await connection.close()
    return {
        "store": "sqlite" if settings.database_url is None else "postgresql",
        "schema": before.applied if dry_run else before.target,
        "applied": [] if dry_run else list(before.missing),
        "missing": list(before.missing) if dry_run else [],
    }


def sqlite_level_of(path: Path) -> SchemaLevel:
    """Return how far an embedded store has been brought; one that is not there has everything before it.

    Raises:
        FirmcastError: it cannot be opened, or is of a later release.
    """
    if not path.exists():
        return level_of({}, migrations_of("sqlite"))
    try:
        with closing(reading_connection(path)) as connection:
            return sqlite_level(connection, migrations_of("sqlite"))
    except sqlite3.Error as error:
        message = f"the store {path} cannot be opened: {error}"
        raise CommandError(message) from error


async def check_store(settings: Settings, *, skip_bytes: bool) -> dict[str, Any]:
    """Return what there is to say of a store: `sound`, and under `findings` each rule and what breaks it.

    Raises:
        FirmcastError: it cannot be looked into.
    """
    if settings.database_url is None:
        return await _check(SqliteInspection(settings.data / STORE_FILE), settings.data / FOLDER, skip_bytes=skip_bytes)
    return await _check(
        await PostgresInspection.open(settings.database_url.get_secret_value()), None, skip_bytes=skip_bytes
    )


async def _check(store: Inspection, folder: Path | None, *, skip_bytes: bool) -> dict[str, Any]:
    findings: list[dict[str, Any]] = []
    try:
        level = await store.level()
        findings.append(
            _finding("the store is of this release", [f"{name} is to be applied" for name in level.missing])
        )
        damages = await store.damages()
        findings.append(_finding("the store's own check finds nothing", damages))
        if not level.missing and not damages:
            findings.append(_finding("tables, columns and indexes are as expected", await store.differences()))
            findings += [_finding(rule.name, await _breaches(store, rule)) for rule in RULES]
            if not skip_bytes:
                findings += await _check_bytes(store, folder)
    finally:
        await store.close()
    return {
        "store": store.kind,
        "schema": level.applied,
        "sound": all(finding["result"] != "broken" for finding in findings),
        "findings": findings,
    }


async def _breaches(store: Inspection, rule: Rule) -> list[str]:
    try:
        return await store.read(breaches, rule)
    except StoreError as error:  # such as of a table that somebody dropped
        return [str(error)]


async def _check_bytes(store: Inspection, folder: Path | None) -> list[dict[str, Any]]:
    kept = BytesInDatabase(store) if folder is None else BytesInFolder(folder)
    return [
        _finding("every package has its bytes", await damaged_packages(store, kept)),
        _finding("every open upload has the bytes that it counts", await short_uploads(store, kept)),
    ]


def _finding(rule: str, found: Sequence[str] | None) -> dict[str, Any]:
    """Return what is told of a rule; None for `found` where nobody can say."""
    result = "not checked" if found is None else "broken" if found else "good"
    return {"rule": rule, "result": result, "breaches": list(found or ())[:_SHOWN]}
