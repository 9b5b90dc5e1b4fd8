"""Uploads in pieces: whatever happens to the pieces, the bytes that are counted are the bytes that were sent."""

import asyncio
import hashlib
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.clock import SystemClock
from firmcast.errors import NotFoundError
from firmcast.firmware import upload_use_cases, use_cases
from firmcast.firmware.files import FirmwareFiles
from firmcast.firmware.model import PackageMetadata, Promise, UploadLimits
from firmcast.firmware.uploads import OffsetError, Uploads, UploadSweeper
from firmcast.ids import ApplicationId

APPLICATION = ApplicationId("application")
METADATA = PackageMetadata(name="image", version="2.0", device_type="", model="", manufacturer_name="")
LIMITS = UploadLimits(package_size=1 << 20, open_uploads=3, total_size=1 << 21)
CONTENT = hashlib.shake_256(b"firmware").digest(2000)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class CutError(Exception):
    """The connection broke."""


async def no_key(_tx, _application_id):
    return ""


async def note(_tx, _thing):
    """Nothing is written to the audit here."""


def uploads_of(database, files):
    return Uploads(database=database, clock=SystemClock(), files=files, limits=LIMITS, verification_key=no_key)


async def sent(content, *, cut=False):
    for at in range(0, len(content), 700):
        yield content[at : at + 700]
    if cut:
        raise CutError


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 900), st.booleans()),
        st.tuples(st.just("send elsewhere"), st.integers(0, 2100)),
        st.tuples(st.just("restart"), st.binary(max_size=20)),
        st.tuples(st.just("lose the end"), st.integers(0, 2000)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_counted_bytes_are_those_that_were_sent(open_sqlite_store, steps):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_upload_by_steps(open_sqlite_store, Path(folder), steps))


async def _upload_by_steps(open_store, folder, steps):
    """Follow the offset in a model of one number, through cuts, restarts and wrong offsets."""
    database = await open_store(folder / "store" / "firmcast.db")
    files = FirmwareFiles(folder / "firmware", database)
    uploads = uploads_of(database, files)
    upload_id = (await uploads.begin(APPLICATION, METADATA, Promise(), len(CONTENT), note)).upload_id
    there = 0
    for word, *details in steps:
        path = files.partial.path_of(upload_id)
        if word == "send":
            size, cut = details
            try:
                moved = await uploads.append(upload_id, there, sent(CONTENT[there : there + size], cut=cut))
                assert not cut
                assert moved.received == min(there + size, len(CONTENT))
            except CutError:
                assert cut
            there = min(there + size, len(CONTENT))
        elif word == "send elsewhere":
            if details[0] != there:
                with pytest.raises(OffsetError) as refused:
                    await uploads.append(upload_id, details[0], sent(CONTENT[details[0] :]))
                assert refused.value.offset == there
        elif word == "restart":
            if path.exists():
                # What a killed process wrote and did not count.
                with path.open("ab") as file:
                    file.write(details[0])
            files = FirmwareFiles(folder / "firmware", database)
            await files.remove_orphans()
            uploads = uploads_of(database, files)
        elif path.exists() and details[0] < there:
            with path.open("r+b") as file:
                file.truncate(details[0])
            there = details[0]
            with pytest.raises(OffsetError):
                await uploads.append(upload_id, len(CONTENT) + 1, sent(b""))
        assert (await database.read(upload_use_cases.find, upload_id)).received == there
    if there < len(CONTENT):
        await uploads.append(upload_id, there, sent(CONTENT[there:]))
    package = await uploads.complete(upload_id, note)
    assert package.digest == hashlib.sha256(CONTENT).hexdigest()
    assert files.path_of(package.digest).read_bytes() == CONTENT
    await database.close()


async def test_the_sweeper_removes_what_is_abandoned_when_it_starts(database, tmp_path):
    files = FirmwareFiles(tmp_path / "firmware", database)
    uploads = uploads_of(database, files)
    upload = await uploads.begin(APPLICATION, METADATA, Promise(), 10, note)
    await uploads.append(upload.upload_id, 0, sent(b"abc"))
    sweeper = UploadSweeper(database=database, clock=SystemClock(), files=files, life=timedelta(microseconds=1))
    await sweeper.start()
    async with asyncio.timeout(10):
        while files.partial.path_of(upload.upload_id).exists():
            await asyncio.sleep(0)
    with pytest.raises(NotFoundError):
        await database.read(upload_use_cases.find, upload.upload_id)
    await sweeper.stop()


async def test_a_cancelled_piece_is_counted(database, tmp_path):
    files = FirmwareFiles(tmp_path / "firmware", database)
    uploads = uploads_of(database, files)
    upload = await uploads.begin(APPLICATION, METADATA, Promise(), 10, note)
    came = asyncio.Event()

    async def stalling():
        yield b"abc"
        came.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(uploads.append(upload.upload_id, 0, stalling()))
    await came.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (await database.read(upload_use_cases.find, upload.upload_id)).received == 3
    assert (await uploads.append(upload.upload_id, 3, sent(b"defghij"))).received == 10


async def test_an_upload_that_is_forgotten_while_it_is_written_makes_no_package(database, tmp_path):
    files = FirmwareFiles(tmp_path / "firmware", database)
    uploads = uploads_of(database, files)
    upload = await uploads.begin(APPLICATION, METADATA, Promise(), 3, note)
    await uploads.append(upload.upload_id, 0, sent(b"abc"))
    forgetting = asyncio.create_task(files.release(lambda tx: use_cases.forget_application(tx, APPLICATION)))
    await asyncio.sleep(0)
    completing = asyncio.create_task(uploads.complete(upload.upload_id, note))
    await forgetting
    with pytest.raises(NotFoundError):
        await completing
    assert [path for path in (tmp_path / "firmware").rglob("*") if path.is_file()] == []
