"""What every adapter of PackageFiles keeps to: files in a folder, and chunks in a database."""

import asyncio
import hashlib
import random

import pytest

from firmcast.errors import ConflictError, InvalidValueError, NotFoundError, StoreFullError
from firmcast.firmware.package_files import OffsetError, PackageUnreadableError, TooLargeError

CHUNK = 1 << 18
SIZES = [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, (5 << 20) + 77]


async def refusing(_tx):
    message = "the change cannot be"
    raise ConflictError(message)


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_taken_in_is_read_whole_and_in_parts(shop, size):
    content = shop.image(size)
    package = await shop.add(content)
    assert (package.digest, package.size) == (hashlib.sha256(content).hexdigest(), size)
    opened = await shop.node.open(package.digest, size)
    assert opened.size == size
    assert opened.read(0, size) == content
    for offset in (0, size // 2, max(0, size - 100), size):
        assert opened.read(offset, 1024) == content[offset : offset + 1024]


@pytest.mark.parametrize("size", SIZES)
async def test_a_large_image_is_streamed_in_small_parts(shop, size):
    content = shop.image(size)
    package = await shop.add(content, piece=1 << 22)
    parts = [part async for part in shop.node.stream(package.digest)]
    assert b"".join(parts) == content
    assert max(map(len, parts)) <= 1 << 20


async def test_the_same_bytes_are_kept_once_until_the_last_package_goes(shop):
    first, second = await shop.add(shop.image(1000)), await shop.add(shop.image(1000))
    assert await shop.kept() == 1
    await shop.delete(first)
    assert await shop.content(second) == shop.image(1000)
    await shop.delete(second)
    with pytest.raises(PackageUnreadableError):
        await shop.content(second)
    assert await shop.kept() == 0


async def test_too_many_bytes_leave_nothing(shop):
    with pytest.raises(TooLargeError):
        await shop.node.receive(shop.pieces(shop.image(2 * CHUNK)), 2 * CHUNK - 1)
    assert await shop.kept() == 0


async def test_no_bytes_are_no_package(shop):
    with pytest.raises(InvalidValueError):
        await shop.node.receive(shop.pieces(b""), 100)
    assert await shop.kept() == 0


async def test_a_sender_that_goes_away_leaves_nothing(shop):
    came = asyncio.Event()

    async def stalling():
        yield shop.image(2 * CHUNK)
        came.set()
        await asyncio.Event().wait()

    receiving = asyncio.create_task(shop.node.receive(stalling(), 1 << 24))
    await came.wait()
    assert await shop.kept() == 1
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert await shop.kept() == 0


async def test_a_package_that_cannot_be_leaves_no_bytes(shop):
    incoming = await shop.node.receive(shop.pieces(shop.image(1000)), 1 << 24)
    with pytest.raises(ConflictError):
        await shop.node.keep(incoming, refusing)
    assert await shop.kept() == 0


async def test_a_package_that_cannot_be_leaves_the_bytes_of_another(shop):
    package = await shop.add(shop.image(1000))
    incoming = await shop.node.receive(shop.pieces(shop.image(1000)), 1 << 24)
    with pytest.raises(ConflictError):
        await shop.node.keep(incoming, refusing)
    assert await shop.content(package) == shop.image(1000)
    assert await shop.kept() == 1


async def test_a_deletion_that_cannot_be_leaves_the_bytes(shop):
    package = await shop.add(shop.image(1000))
    with pytest.raises(ConflictError):
        await shop.node.release(refusing)
    assert await shop.content(package) == shop.image(1000)


async def test_what_is_open_outlives_its_removal(shop):
    package = await shop.add(shop.image(1000))
    opened = await shop.node.open(package.digest, package.size)
    await shop.delete(package)
    assert opened.read(500, 10) == shop.image(1000)[500:510]


async def test_bytes_of_another_size_or_digest_are_not_offered(shop):
    package = await shop.add(shop.image(1000))
    for digest, size in ((package.digest, 999), (package.digest, 1001), ("0" * 64, 1000)):
        with pytest.raises(PackageUnreadableError):
            await shop.node.open(digest, size)


async def test_packages_of_the_same_bytes_come_and_go_at_once(shop):
    """Whatever the order: a package has its bytes, and bytes have a package."""
    chance = random.Random(5)
    contents = [shop.image(1000 + 300_000 * number) for number in range(3)]

    async def come_and_go(content):
        package = await shop.add(content)
        await asyncio.sleep(0)
        assert await shop.content(package) == content
        if chance.random() < 0.7:
            await shop.delete(package)
            return None
        return package

    for _ in range(3):
        made = await asyncio.gather(*(come_and_go(chance.choice(contents)) for _ in range(8)))
        left = [package for package in made if package is not None]
        for package in left:
            assert hashlib.sha256(await shop.content(package)).hexdigest() == package.digest
        assert await shop.kept() == len({package.digest for package in left})
        for package in left:
            await shop.delete(package)
    assert await shop.kept() == 0


async def test_what_a_crash_left_behind_is_removed(shop):
    kept = await shop.add(shop.image(1000))
    await shop.node.receive(shop.pieces(shop.image(2 * CHUNK)), 1 << 24)
    await shop.begin(10)
    other = shop.new_node()
    shop.clock.moment = shop.clock.moment.replace(day=2)
    assert await other.remove_orphans() == 1
    assert await other.remove_orphans() == 0
    assert await shop.content(kept, other) == shop.image(1000)
    assert await shop.kept() == 1


async def test_what_is_still_arriving_is_no_orphan(shop):
    came, goes_on = asyncio.Event(), asyncio.Event()

    async def slow():
        yield shop.image(2 * CHUNK)[:CHUNK]
        came.set()
        await goes_on.wait()
        yield shop.image(2 * CHUNK)[CHUNK:]

    receiving = asyncio.create_task(shop.node.receive(slow(), 1 << 24))
    await came.wait()
    upload_id = await shop.begin(1000)
    await shop.uploads().append(upload_id, 0, shop.pieces(shop.image(1000)[:600]))
    assert await shop.node.remove_orphans() == 0
    goes_on.set()
    incoming = await receiving
    package = await shop.node.keep(incoming, lambda tx: shop.record(tx, incoming.stored))
    assert await shop.content(package) == shop.image(2 * CHUNK)
    await shop.uploads().append(upload_id, 600, shop.pieces(shop.image(1000)[600:]))
    assert await shop.content(await shop.uploads().complete(upload_id, shop.note)) == shop.image(1000)


@pytest.mark.parametrize("size", SIZES)
async def test_an_upload_goes_on_in_another_process_wherever_it_broke(shop, size):
    content, chance = shop.image(size), random.Random(size)
    upload_id = await shop.begin(size)
    at = 0
    while at < size:
        uploads = shop.uploads(shop.new_node())
        piece = chance.randint(1, 1 + size // 3)
        at = (await uploads.append(upload_id, at, shop.pieces(content[at : at + piece]))).received
    package = await shop.uploads(shop.new_node()).complete(upload_id, shop.note)
    assert await shop.content(package) == content
    assert await shop.uploads().complete(upload_id, shop.note) == package
    assert await shop.kept() == 1


class CutError(Exception):
    """The connection broke."""


async def cut(pieces):
    async for piece in pieces:
        yield piece
    raise CutError


@pytest.mark.parametrize("seed", range(12))
async def test_counted_bytes_are_those_that_were_sent_whatever_happens(shop, seed):
    """Cuts, wrong offsets, restarts and sweeps, followed in a model of one number."""
    chance = random.Random(seed)
    content = shop.image(chance.randint(1, 5 * CHUNK), seed=bytes([seed]))
    upload_id, there, node = await shop.begin(len(content)), 0, shop.node
    for _ in range(15):
        uploads = shop.uploads(node)
        end = min(len(content), there + chance.choice([0, 1, 1000, CHUNK - 1, CHUNK, 2 * CHUNK]))
        match chance.choice(["send", "send", "cut", "elsewhere", "restart", "sweep"]):
            case "send":
                assert (await uploads.append(upload_id, there, shop.pieces(content[there:end]))).received == end
                there = end
            case "cut":
                with pytest.raises(CutError):
                    await uploads.append(upload_id, there, cut(shop.pieces(content[there:end])))
                there = end
            case "elsewhere":
                with pytest.raises(OffsetError) as refused:
                    await uploads.append(upload_id, there + chance.choice([-1, 1, CHUNK]), shop.pieces(b"other"))
                assert refused.value.offset == there
            case "restart":
                node = shop.new_node()
            case "sweep":
                assert await node.remove_orphans() == 0
    await shop.uploads(node).append(upload_id, there, shop.pieces(content[there:]))
    assert await shop.content(await shop.uploads(node).complete(upload_id, shop.note), node) == content


async def test_a_piece_begins_where_the_bytes_end(shop):
    upload_id = await shop.begin(1000)
    await shop.uploads().append(upload_id, 0, shop.pieces(shop.image(1000)[:400]))
    for offset in (0, 399, 401, 1000):
        with pytest.raises(OffsetError) as refused:
            await shop.uploads().append(upload_id, offset, shop.pieces(shop.image(10)))
        assert refused.value.offset == 400
    with pytest.raises(OffsetError):
        await shop.uploads().complete(upload_id, shop.note)


async def test_an_upload_of_bytes_that_are_there_already_keeps_one_copy(shop):
    package = await shop.add(shop.image(CHUNK + 1))
    upload_id = await shop.begin(CHUNK + 1)
    await shop.uploads().append(upload_id, 0, shop.pieces(shop.image(CHUNK + 1)))
    again = await shop.uploads().complete(upload_id, shop.note)
    assert again.digest == package.digest
    assert await shop.kept() == 1
    await shop.delete(package)
    assert await shop.content(again) == shop.image(CHUNK + 1)


async def test_an_upload_that_is_ended_leaves_nothing(shop):
    upload_id = await shop.begin(1000)
    await shop.uploads().append(upload_id, 0, shop.pieces(shop.image(1000)))
    await shop.uploads().delete(upload_id, shop.note)
    with pytest.raises(NotFoundError):
        await shop.uploads().complete(upload_id, shop.note)
    assert await shop.kept() == 0


async def test_an_upload_that_is_not_what_was_promised_leaves_nothing(shop):
    upload_id = await shop.begin(1000, digest="0" * 64)
    await shop.uploads().append(upload_id, 0, shop.pieces(shop.image(1000)))
    with pytest.raises(InvalidValueError):
        await shop.uploads().complete(upload_id, shop.note)
    assert await shop.kept() == 0


async def test_a_full_store_is_told_as_such_and_keeps_what_had_come(shop, monkeypatch):
    upload_id = await shop.begin(3 * CHUNK)
    await shop.uploads().append(upload_id, 0, shop.pieces(shop.image(3 * CHUNK)[:CHUNK]))

    async def full(chunks):
        yield chunks
        raise OSError(28, "No space left on device")

    with pytest.raises((StoreFullError, OSError)):
        await shop.uploads().append(upload_id, CHUNK, full(shop.image(3 * CHUNK)[CHUNK : CHUNK + 100]))
    received = (await shop.uploads().append(upload_id, CHUNK + 100, shop.pieces(b""))).received
    assert received == CHUNK + 100
    await shop.uploads().append(upload_id, received, shop.pieces(shop.image(3 * CHUNK)[received:]))
    assert await shop.content(await shop.uploads().complete(upload_id, shop.note)) == shop.image(3 * CHUNK)
