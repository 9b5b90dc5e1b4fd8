"""Packages as the gateway opens them."""

import asyncio
import hashlib

import pytest

from firmcast.gateway.images import PackageImages, PackageUnreadableError

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / DIGEST
    path.write_bytes(CONTENT)
    return path


async def test_a_package_is_checked_before_it_is_offered(file, tmp_path):
    body = await PackageImages(tmp_path.joinpath).body(DIGEST, len(CONTENT))
    assert body.read(1000, 10) == CONTENT[1000:1010]
    file.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(PackageUnreadableError, match="not those that were uploaded"):
        await PackageImages(tmp_path.joinpath).body(DIGEST, len(CONTENT))


async def test_a_package_is_read_through_once_for_all_who_want_it(file, tmp_path):
    opened = 0

    def path_of(digest):
        nonlocal opened
        opened += 1
        return tmp_path / digest

    images = PackageImages(path_of)
    bodies = await asyncio.gather(*(images.body(DIGEST, len(CONTENT)) for _ in range(100)))
    assert {id(body) for body in bodies} == {id(await images.body(DIGEST, len(CONTENT)))}
    assert opened == 1


async def test_a_package_that_was_put_aside_is_checked_again(file, tmp_path):
    other = tmp_path / hashlib.sha256(b"other").hexdigest()
    other.write_bytes(b"other")
    images = PackageImages(tmp_path.joinpath, open_limit=1)
    await images.body(DIGEST, len(CONTENT))
    await images.body(other.name, 5)
    file.write_bytes(b"!" + CONTENT[1:])
    for _ in range(2):
        with pytest.raises(PackageUnreadableError):
            await images.body(DIGEST, len(CONTENT))


async def test_bytes_that_changed_are_found_after_a_transfer_failed(file, tmp_path):
    images = PackageImages(tmp_path.joinpath)
    await images.body(DIGEST, len(CONTENT))
    await images.check(DIGEST, len(CONTENT))
    with file.open("r+b") as opened:
        opened.write(b"!")
    with pytest.raises(PackageUnreadableError):
        await images.check(DIGEST, len(CONTENT))


async def test_a_package_that_is_gone_is_told_as_such(tmp_path):
    with pytest.raises(PackageUnreadableError, match="No such file"):
        await PackageImages(tmp_path.joinpath).body(DIGEST, len(CONTENT))
