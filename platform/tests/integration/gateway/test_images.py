"""Packages as the gateway opens them."""

import asyncio
import hashlib

import pytest

from firmcast.firmware.files import FirmwareFiles
from firmcast.firmware.package_files import PackageUnreadableError
from firmcast.gateway.images import PackageImages

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def files(tmp_path, database):
    return FirmwareFiles(tmp_path, database)


@pytest.fixture
def file(files):
    return put(files, DIGEST, CONTENT)


def put(files, digest, content):
    path = files.path_of(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


async def test_a_package_is_checked_before_it_is_offered(file, files):
    body = await PackageImages(files.open).body(DIGEST, len(CONTENT))
    assert body.read(1000, 10) == CONTENT[1000:1010]
    file.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(PackageUnreadableError, match="not those that were uploaded"):
        await PackageImages(files.open).body(DIGEST, len(CONTENT))


async def test_a_package_is_read_through_once_for_all_who_want_it(file, files):
    opened = 0

    async def counting(digest, size):
        nonlocal opened
        opened += 1
        return await files.open(digest, size)

    images = PackageImages(counting)
    bodies = await asyncio.gather(*(images.body(DIGEST, len(CONTENT)) for _ in range(100)))
    assert {id(body) for body in bodies} == {id(await images.body(DIGEST, len(CONTENT)))}
    assert opened == 1


async def test_a_package_that_was_put_aside_is_checked_again(file, files):
    other = put(files, hashlib.sha256(b"other").hexdigest(), b"other")
    images = PackageImages(files.open, open_limit=1)
    await images.body(DIGEST, len(CONTENT))
    await images.body(other.name, 5)
    file.write_bytes(b"!" + CONTENT[1:])
    for _ in range(2):
        with pytest.raises(PackageUnreadableError):
            await images.body(DIGEST, len(CONTENT))


async def test_bytes_that_changed_are_found_after_a_transfer_failed(file, files):
    images = PackageImages(files.open)
    await images.body(DIGEST, len(CONTENT))
    await images.check(DIGEST, len(CONTENT))
    with file.open("r+b") as opened:
        opened.write(b"!")
    with pytest.raises(PackageUnreadableError):
        await images.check(DIGEST, len(CONTENT))


async def test_a_package_that_is_gone_is_told_as_such(files):
    with pytest.raises(PackageUnreadableError, match="No such file"):
        await PackageImages(files.open).body(DIGEST, len(CONTENT))
