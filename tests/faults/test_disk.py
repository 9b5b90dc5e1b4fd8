"""Faults 4, 5 and 17: the disk fails, the disk is full, the store has another owner. All of them are SQLite's."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.faults.conftest import NewEngine
from tests.faults.oracle import judge
from tests.faults.processes import Engine, GoneError, Receiver, RefusedError

WANTED = {"/states": "firmware.state_changed"}
STORE_BROKEN = 74
"""EX_IOERR of sysexits.h"""

DISK_BYTES = 32 << 20


def assert_sound(engine: Engine) -> None:
    with closing(sqlite3.connect(engine.folder / "firmcast.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture(params=["a library that fails it", "a failpoint"])
def failing_disk(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return an environment in which syncing can be made to fail: really, where there is a compiler."""
    if request.param == "a failpoint":
        return {}
    library: dict[str, str] = request.getfixturevalue("failing_library")
    return library


async def test_a_sync_that_fails_ends_the_process_and_is_not_tried_again(
    new_engine: NewEngine, receiver: Receiver, failing_disk: dict[str, str]
) -> None:
    engine = new_engine(failing_disk)
    await engine.start()
    application = await engine.application(receiver, "application", WANTED)
    await engine.append(application, [(f"device-{number}", WANTED["/states"]) for number in range(50)])
    await engine.settled()
    await engine.ask("fail_syncs")
    told = await asyncio.gather(
        *(engine.append(application, [(f"device-{number}", WANTED["/states"])]) for number in range(50)),
        return_exceptions=True,
    )
    assert await engine.ended() == STORE_BROKEN
    # What was not synced was acknowledged to nobody.
    assert all(isinstance(answer, GoneError | RefusedError) for answer in told), told
    assert len(engine.acknowledged) == 50
    if syncs := failing_disk.get("FAULTS_SYNCS"):
        assert Path(syncs).stat().st_size == 1
    assert_sound(engine)
    await engine.start()
    await engine.append(application, [("device-0", WANTED["/states"])])
    await engine.settled()
    judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged).assert_none()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of its own that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free; the file that is returned takes it all."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


async def test_a_full_disk_refuses_what_comes_and_delivers_what_it_has(
    new_engine: NewEngine, receiver: Receiver, small_disk: Path
) -> None:
    engine = new_engine({}, small_disk / "node")
    await engine.start()
    application = await engine.application(receiver, "application", WANTED)
    # 64 at a time that take a fifth of a second each: much is still to be delivered when the disk is full.
    await receiver.behave("/states", delay=0.2)
    events = [(f"device-{number}", WANTED["/states"]) for number in range(100)]
    for _ in range(10):
        await engine.append(application, events)
    ballast = fill(small_disk)
    refusals = await until_refused(engine, application, events)
    assert refusals == {"StoreFullError"}
    came = len(await receiver.all_arrivals())
    assert came < len(engine.acknowledged)
    await receiver.wait(min(came + 300, len(engine.acknowledged)))
    with pytest.raises(RefusedError):
        await engine.append(application, events)
    ballast.unlink()
    await receiver.behave("/states")
    await engine.append(application, events)
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0
    engine.terminate()
    assert await engine.ended() == 0
    assert_sound(engine)


async def until_refused(engine: Engine, application: object, events: list[tuple[str, str]]) -> set[str]:
    """Have events committed for as long as the store still finds room, and return why it did not in the end."""
    for _ in range(200):
        try:
            await engine.append(application, events)  # type: ignore[arg-type]
        except RefusedError as error:
            return {error.args[0]}
    pytest.fail("a full disk took everything")


async def test_a_second_owner_is_turned_away(new_engine: NewEngine, receiver: Receiver) -> None:
    engine = new_engine({})
    await engine.start()
    application = await engine.application(receiver, "application", WANTED)
    second = Engine(engine.folder, {})
    with pytest.raises(GoneError):
        await second.start()
    assert await second.ended() not in {0, STORE_BROKEN}
    assert "is in use" in second.log_text()
    await engine.append(application, [("device", WANTED["/states"])])
    await engine.settled()
    found = judge(await receiver.all_arrivals(), await engine.log(), WANTED, engine.acknowledged)
    found.assert_none()
    assert found.duplicates == 0
