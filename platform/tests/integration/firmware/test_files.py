"""Bytes of packages on disk."""

import asyncio
import hashlib

import pytest

from firmcast.errors import InvalidValueError, StoreFullError
from firmcast.firmware.files import FirmwareFiles, TooLargeError


async def stream(*chunks):
    for chunk in chunks:
        yield chunk


def everything(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def files(tmp_path):
    return FirmwareFiles(tmp_path)


async def test_bytes_are_named_by_their_digest(files, tmp_path):
    content = bytes(range(256)) * 10_000
    stored = await files.store_stream(
        stream(*(content[at : at + 70_000] for at in range(0, len(content), 70_000))), 1 << 30
    )
    assert (stored.digest, stored.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert everything(tmp_path) == [f"{stored.digest[:2]}/{stored.digest}"]
    with files.open_for_reading(stored.digest) as file:
        assert file.read() == content


async def test_the_same_bytes_are_kept_once(files, tmp_path):
    first = await files.store_stream(stream(b"abc"), 3)
    second = await files.store_stream(stream(b"a", b"bc"), 3)
    assert first == second
    assert len(everything(tmp_path)) == 1


async def test_too_many_bytes_leave_nothing(files, tmp_path):
    with pytest.raises(TooLargeError):
        await files.store_stream(stream(b"ab", b"cd"), 3)
    assert everything(tmp_path) == []


async def test_no_bytes_are_no_package(files, tmp_path):
    with pytest.raises(InvalidValueError):
        await files.store_stream(stream(b""), 3)
    assert everything(tmp_path) == []


async def test_a_sender_that_goes_away_leaves_nothing(files, tmp_path):
    began = asyncio.Event()

    async def stalling():
        yield b"abc"
        began.set()
        await asyncio.Event().wait()

    receiving = asyncio.create_task(files.receive(stalling(), 100))
    await began.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert everything(tmp_path) == []


async def test_a_full_disk_is_told_as_such(files, tmp_path):
    async def full():
        yield b"abc"
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreFullError):
        await files.receive(full(), 100)
    assert everything(tmp_path) == []


async def test_what_a_crash_left_behind_is_removed(files, tmp_path):
    kept = await files.store_stream(stream(b"kept"), 100)
    await files.store_stream(stream(b"without a row"), 100)
    await files.receive(stream(b"without a name"), 100)
    assert await files.remove_orphans({kept.digest}) == 2
    assert everything(tmp_path) == [f"{kept.digest[:2]}/{kept.digest}"]


async def test_an_open_file_outlives_its_removal(files):
    stored = await files.store_stream(stream(b"abc"), 100)
    with files.open_for_reading(stored.digest) as file:
        await files.remove(stored.digest)
        assert file.read() == b"abc"
    with pytest.raises(FileNotFoundError):
        files.open_for_reading(stored.digest)
    await files.remove(stored.digest)
