"""Every secret of a store is sealed with a new key or none is, and one of the two keys opens them whatever happens."""

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from firmcast.app import Platform
from firmcast.applications import use_cases as applications
from firmcast.cli import resealing
from firmcast.cli.database import app as commands
from firmcast.cli.failures import CommandError
from firmcast.cli.resealing import reseal_store
from firmcast.clock import SystemClock
from firmcast.db import sealed
from firmcast.db.installation import replace_key, require_key
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.db.statement import portable
from firmcast.db.store_lock import StoreLock
from firmcast.devices import use_cases as devices
from firmcast.devices.keys import open_key, seal_key
from firmcast.errors import StartError, StoreInUseError
from firmcast.events.log import EventLog
from firmcast.ids import new_node_id
from firmcast.nodes import use_cases as nodes
from firmcast.nodes.keeper import Keeper
from firmcast.nodes.model import Node
from firmcast.nodes.stopped import StoppedDatabase
from firmcast.platform_store import SEALED, sealing_key_file
from firmcast.rest.certificates import make_certificate
from firmcast.sealing import Sealer, load_or_create_key
from firmcast.settings import GatewaySettings, RestSettings, Settings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = timedelta(days=1)
NAMES = ["e0", "e1", "e2"]
NOT_SEALED = {
    "administrator_token.token_hash": "a hash",
    "application.secret_hash": "a hash",
    "application.former_secret_hash": "a hash",
    "token.token_hash": "a hash",
    "installation.value": "the key check, which is replaced by itself",
    "device_upgrade.evidence": "what devices said",
    "event.fact": "what applications are told",
    "event.body": "what applications are told",
    "attempt.answer": "what an application answered",
}
"""Columns of bytes that a new key does not concern, and why."""


@pytest.fixture(params=["sqlite", "postgres"])
async def settings(request, tmp_path):
    """Return the settings of a stopped platform that has every kind of secret."""
    url = None
    if request.param == "postgres":
        url = SecretStr(await request.getfixturevalue("empty_postgres_store")())
    return await filled(Settings(data=tmp_path / "data", database_url=url))


@pytest.fixture
async def embedded(tmp_path):
    """Return those of a platform on SQLite."""
    return await filled(Settings(data=tmp_path / "data"))


async def filled(settings):
    settings.data.mkdir()
    sealer = Sealer(load_or_create_key(sealing_key_file(settings)))
    identity = make_certificate(settings.data.parent / "client", ["localhost"], NOW)
    chain, key = identity.certificate.read_text(), identity.key.read_text()

    async def fill(tx):
        await require_key(tx, sealer)
        first, *_ = [(await applications.create(tx, f"a{n}", sealer, NOW)).application_id for n in range(4)]
        await applications.rotate_signing_secret(tx, first, sealer, NOW, LATER)
        for _ in range(2):
            await applications.rotate_signing_key(tx, first, sealer, NOW, LATER)
        await applications.set_client_certificate(tx, first, chain, key, sealer, NOW)
        await applications.set_callback_headers(tx, first, {"authorization": "Bearer x"}, sealer)
        log = EventLog(encode=lambda _event: b"{}")
        for name in NAMES:
            given = seal_key(sealer, "00112233" + name.encode().hex()) if name != "e1" else b""
            await devices.create(tx, first, name, name, NOW, log=log, pre_shared_key=given)

    await within(settings, fill)
    return settings


async def within(settings, use_case):
    """Run a use case in the store."""
    if settings.database_url is None:
        database = await SqliteDatabase.open(settings.data / STORE_FILE, NOW)
    else:
        database = await PostgresDatabase.open(settings.database_url.get_secret_value(), NOW)
    try:
        return await database.write(use_case)
    finally:
        await database.close()


async def opened(settings, key_file):
    """Return all secrets in clear, opened with a key by whoever uses them, and the columns that they stand in."""
    sealer = Sealer(key_file.read_bytes())

    async def use_case(tx):
        await require_key(tx, sealer)
        ids = [application.application_id for application in await applications.listed(tx)]
        keys = await devices.sealed_keys(tx, NAMES)
        clear = (
            await applications.signing_secrets(tx, ids, sealer),
            {name: open_key(sealer, key) for name, key in keys.items()},
        )
        return clear, {table.name: await tx.fetch(table.page, "", 100) for table in SEALED}

    return await within(settings, use_case)


def command_for(settings, key_file):
    environment = {"FIRMCAST_DATABASE_URL": settings.database_url.get_secret_value()} if settings.database_url else {}
    script = Path(__file__).with_name("resealing_process.py")
    return [sys.executable, str(script), str(settings.data), str(key_file)], {**os.environ, **environment}


async def test_everything_opens_with_the_new_key_and_nothing_with_the_former(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(sealed, "ROWS_AT_ONCE", 3)
    former, new = sealing_key_file(settings), tmp_path / "new-key"
    clear, columns = await opened(settings, former)
    told = await reseal_store(settings, new)
    assert told == {
        "sealed": {"application": 9, "device": 2},
        "key_file": str(new),
        "former_key_file": str(former),
    }
    clear_now, columns_now = await opened(settings, new)
    assert clear_now == clear
    for table in SEALED:
        for place, column in enumerate(table.purposes, 1):
            before, now = ([row[place] for row in each[table.name]] for each in (columns, columns_now))
            assert any(before), f"{column} is empty, so this test says nothing of it"
            assert all(one != other for one, other in zip(before, now, strict=True) if one), column
            assert [bool(one) for one in before] == [bool(one) for one in now]
    with pytest.raises(StartError, match="another key"):
        await opened(settings, former)
    assert new.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["new-key"]


async def test_a_kill_in_the_midst_leaves_the_former_key_good_and_a_repeat_finishes(settings, tmp_path):
    former, new = sealing_key_file(settings), tmp_path / "new-key"
    before = await opened(settings, former)
    words, environment = command_for(settings, new)
    process = await asyncio.create_subprocess_exec(
        *words, env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert await process.stdout.readline() == b"midway\n"
    made = new.with_name("new-key.unfinished").read_bytes()
    process.kill()
    await process.wait()
    assert await opened(settings, former) == before
    assert not new.exists()
    assert (await reseal_store(settings, new))["sealed"] == {"application": 9, "device": 2}
    assert new.read_bytes() == made
    assert (await opened(settings, new))[0] == before[0]


async def test_an_end_after_the_commit_leaves_the_new_key_good_and_a_repeat_finishes(settings, tmp_path, monkeypatch):
    def power_cut(_file, _name):
        raise RuntimeError("the power is gone")

    new = tmp_path / "new-key"
    clear, _ = await opened(settings, sealing_key_file(settings))
    with monkeypatch.context() as patched:
        patched.setattr(resealing, "rename_durably", power_cut)
        with pytest.raises(RuntimeError, match="the power"):
            await reseal_store(settings, new)
    assert (await opened(settings, tmp_path / "new-key.unfinished"))[0] == clear
    sealing_key_file(settings).unlink()
    for _ in range(2):
        assert (await reseal_store(settings, new))["sealed"] is None
        assert (await opened(settings, new))[0] == clear
    assert not (tmp_path / "new-key.unfinished").exists()


async def test_a_value_that_does_not_open_is_named_and_nothing_is_changed(settings, tmp_path):
    damage = portable("UPDATE device SET pre_shared_key = ?1 WHERE endpoint_name = 'e2'")
    await within(settings, lambda tx: tx.execute(damage, b"x" * 40))
    former = sealing_key_file(settings)
    before = await within(settings, lambda tx: tx.fetch(SEALED[0].page, "", 100))
    with pytest.raises(StartError, match=r"device [-\w]+: pre_shared_key does not open .*; nothing was changed"):
        await reseal_store(settings, tmp_path / "new-key")
    assert await within(settings, lambda tx: tx.fetch(SEALED[0].page, "", 100)) == before
    await within(settings, lambda tx: require_key(tx, Sealer(former.read_bytes())))


@pytest.mark.parametrize("case", ["wrong", "missing", "short", "there", "present", "folder", "leftover", "store"])
async def test_what_cannot_be_done_is_said_and_nothing_is_changed(embedded, tmp_path, case):
    former, new = sealing_key_file(embedded), tmp_path / "new-key"
    key = former.read_bytes()
    store = embedded.data / STORE_FILE
    expected = f"sealed with another key than the one in {former}"
    match case:
        case "wrong":
            former.write_bytes(bytes(32))
        case "missing":
            former.unlink()
            expected = f"there is no key {former}"
        case "short":
            former.write_bytes(b"short")
            expected = f"{former}: the sealing key must have 32 bytes, not 5"
        case "there":
            new.write_bytes(b"of somebody else")
            expected = f"{new} is there already"
        case "present":
            new = former
            expected = f"{former} is the present key"
        case "folder":
            new = tmp_path / "nowhere" / "key"
            expected = f"there is no folder {tmp_path / 'nowhere'}"
        case "leftover":
            new.with_name("new-key.unfinished").write_bytes(b"short")
            expected = f"{new}.unfinished: the sealing key must have 32 bytes"
        case _:
            store = store.rename(embedded.data / "elsewhere.db")
            expected = f"there is no store {embedded.data / STORE_FILE}"
    before = store.read_bytes()
    with pytest.raises(CommandError) as refused:
        await reseal_store(embedded, new)
    assert expected in str(refused.value)
    assert store.read_bytes() == before
    assert case != "there" or new.read_bytes() == b"of somebody else"
    if case in {"there", "present", "folder", "leftover"}:
        assert former.read_bytes() == key


async def test_a_store_in_use_is_refused(embedded, tmp_path):
    lock = StoreLock(embedded.data / STORE_FILE)
    with pytest.raises(StoreInUseError, match="in use by another process"):
        await reseal_store(embedded, tmp_path / "new-key")
    lock.release()
    assert not list(tmp_path.glob("new-key*"))


async def test_a_database_with_a_node_alive_is_refused_and_a_dead_one_is_given_up(empty_postgres_store, tmp_path):
    url = SecretStr(await empty_postgres_store())
    settings = await filled(Settings(data=tmp_path / "data", database_url=url))
    alive = Node(node_id=new_node_id(), name="alive:1", roles=frozenset())
    dead = Node(node_id=new_node_id(), name="dead:1", roles=frozenset())
    await within(settings, lambda tx: nodes.begin(tx, dead, timedelta(seconds=-1)))
    await within(settings, lambda tx: nodes.begin(tx, alive, timedelta(minutes=1)))
    with pytest.raises(StoreInUseError, match="nodes are alive: alive:1;"):
        await reseal_store(settings, tmp_path / "new-key")
    assert not list(tmp_path.glob("new-key*"))
    await within(settings, lambda tx: nodes.end(tx, alive.node_id))
    assert (await reseal_store(settings, tmp_path / "new-key"))["sealed"] == {"application": 9, "device": 2}
    assert not await within(settings, lambda tx: nodes.renew(tx, dead.node_id, LATER))


@pytest.fixture
async def keeper(empty_postgres_store, tmp_path):
    """Return the keeper of a node that has the present key of a store."""
    url = await empty_postgres_store()
    settings = await filled(Settings(data=tmp_path / "data", database_url=SecretStr(url)))
    sealer = Sealer(sealing_key_file(settings).read_bytes())
    database = await PostgresDatabase.open(url, NOW)
    life = timedelta(seconds=0.5)
    made = Keeper(database=database, clock=SystemClock(), name="n", roles=frozenset(), life=life)
    made.demand = lambda tx: require_key(tx, sealer)
    yield made, settings, database
    await made.stop()
    await database.close()


async def test_a_node_that_stood_still_meanwhile_has_no_further_life(keeper, tmp_path, monkeypatch):
    node, settings, database = keeper
    woken, keep = asyncio.Event(), node._keep

    async def keep_when_woken():
        await woken.wait()
        await keep()

    monkeypatch.setattr(node, "_keep", keep_when_woken)
    await node.start()
    await database.write(lambda tx: nodes.end(tx, node.node_id))  # as others do to whoever stands still
    await reseal_store(settings, tmp_path / "new-key")
    woken.set()
    await asyncio.wait_for(node.refused.wait(), 20)
    assert not node.is_alive


async def test_a_node_that_starts_meanwhile_waits_and_is_refused(keeper, tmp_path):
    node, settings, _database = keeper
    waiting = portable("SELECT count(*) FROM pg_locks WHERE relation = 'node'::regclass AND NOT granted")
    async with StoppedDatabase.opened(settings.database_url.get_secret_value()) as store:
        start = asyncio.create_task(node.start())
        while await store.write(lambda tx: tx.fetch_row(waiting)) == (0,):
            await asyncio.sleep(0.01)
        await store.write(lambda tx: replace_key(tx, Sealer(bytes(32))))
    with pytest.raises(StartError, match="another key"):
        await start


async def test_the_platform_starts_with_the_new_key_only(embedded, tmp_path):
    await reseal_store(embedded, tmp_path / "new-key")
    ports = {"rest": RestSettings(port=0), "gateway": GatewaySettings(port=0)}
    with pytest.raises(StartError, match=f"another key than the one in {embedded.data / 'sealing-key'}"):
        await Platform.start(Settings(data=embedded.data, **ports))
    (tmp_path / "new-key").replace(embedded.data / "sealing-key")
    platform = await Platform.start(Settings(data=embedded.data, **ports))
    await platform.stop()


async def test_the_command_says_what_it_did_and_what_is_to_be_done(embedded, tmp_path):
    words = ["reseal", "--data", str(embedded.data), "--new-key-file", str(tmp_path / "new-key")]
    first, second, refused = [
        await asyncio.to_thread(CliRunner().invoke, commands, given)
        for given in (words, words, [*words[:-1], str(embedded.data / "sealing-key")])
    ]
    assert (first.exit_code, second.exit_code, refused.exit_code) == (0, 0, 1)
    assert first.stdout.splitlines() == [
        "sealed 9 secrets of table application anew",
        "sealed 2 secrets of table device anew",
        f"The key is in {tmp_path / 'new-key'} now: give it to every node before you start one.",
        f"The former one, {embedded.data / 'sealing-key'}, opens nothing but older backups: destroy it with them.",
    ]
    assert second.stdout.splitlines()[0] == "the store is sealed with this key already; nothing had to be done"
    assert "is the present key" in refused.stderr


async def test_every_column_of_bytes_is_sealed_anew_or_is_known_not_to_be_sealed(embedded):
    with closing(sqlite3.connect(embedded.data / STORE_FILE)) as connection:
        found = {
            f"{table}.{column}"
            for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
            if kind == "BLOB" or column.endswith("_sealed")
        }
    walked = {f"{table.name}.{column}" for table in SEALED for column in table.purposes}
    assert found == walked | set(NOT_SEALED)
    assert walked.isdisjoint(NOT_SEALED)
