"""What holds between nodes that share nothing but a database, and of the cache that each of them has."""

import asyncio
import errno

import pytest

from firmcast.db.statement import portable
from firmcast.errors import NotFoundError, StoreError
from firmcast.firmware import chunk_store, chunk_uploads, package_cache
from firmcast.firmware.package_files import OffsetError, PackageUnreadableError

CHUNK = 1 << 18


@pytest.fixture
def shop(chunk_shop):
    return chunk_shop


@pytest.fixture
def fetched(shop, monkeypatch):
    """Return how often each node has fetched an image from the database."""
    times = []
    real = package_cache.PackageCache._fetch

    async def counting(cache, digest, size, fetch):
        times.append(digest)
        return await real(cache, digest, size, fetch)

    monkeypatch.setattr(package_cache.PackageCache, "_fetch", counting)
    return times


async def test_every_node_serves_what_any_node_took_in(shop):
    package = await shop.add(shop.image(3 * CHUNK + 5))
    for _ in range(2):
        assert await shop.content(package, shop.new_node()) == shop.image(3 * CHUNK + 5)


async def test_many_who_want_an_image_at_once_fetch_it_once(shop, fetched):
    package = await shop.add(shop.image(4 * CHUNK))
    opened = await asyncio.gather(*(shop.node.open(package.digest, package.size) for _ in range(50)))
    assert fetched == [package.digest]
    assert len({id(one) for one in opened}) == 1
    assert await shop.content(package) == shop.image(4 * CHUNK)
    assert fetched == [package.digest]


async def test_who_leaves_does_not_end_the_fetch_of_the_others(shop, fetched):
    package = await shop.add(shop.image(4 * CHUNK))
    first = asyncio.create_task(shop.node.open(package.digest, package.size))
    second = asyncio.create_task(shop.node.open(package.digest, package.size))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).read(0, 10) == shop.image(4 * CHUNK)[:10]
    assert fetched == [package.digest]


@pytest.mark.parametrize("damage", ["cut", "changed", "removed", "emptied"])
async def test_a_damaged_file_of_the_cache_is_fetched_anew(shop, fetched, damage):
    package = await shop.add(shop.image(2 * CHUNK))
    await shop.content(package)
    path = shop.cache.path_of(package.digest)
    if damage == "removed":
        path.unlink()
    else:
        good = shop.image(2 * CHUNK)
        path.write_bytes({"cut": good[:-1], "changed": b"!" + good[1:], "emptied": b""}[damage])
    assert await shop.content(package) == shop.image(2 * CHUNK)
    assert fetched == [package.digest] * 2
    assert path.read_bytes() == shop.image(2 * CHUNK)


async def test_bytes_that_are_damaged_in_the_database_are_not_offered(shop):
    package = await shop.add(shop.image(2 * CHUNK))
    change = portable("UPDATE firmware_chunk SET bytes = ?1 WHERE number = 1")
    await shop.database.write(lambda tx: tx.execute(change, shop.image(CHUNK, b"other")))
    with pytest.raises(PackageUnreadableError, match="those in the database are not those"):
        await shop.content(package)
    assert not shop.cache.path_of(package.digest).exists()


async def test_what_was_not_opened_for_longest_goes_when_there_is_no_room(shop, fetched):
    packages = [await shop.add(shop.image(1000, seed=bytes([number]))) for number in range(4)]
    node = shop.new_node(limit=3000)
    for package in [*packages[:3], packages[0], packages[3]]:
        await shop.content(package, node)
    there = [shop.cache.path_of(package.digest).exists() for package in packages]
    assert there == [True, False, True, True]
    assert len(fetched) == 4


async def test_what_is_open_is_never_evicted(shop):
    packages = [await shop.add(shop.image(1000, seed=bytes([number]))) for number in range(3)]
    node = shop.new_node(limit=1000)
    held = await node.open(packages[0].digest, 1000)
    for package in packages[1:]:
        await shop.content(package, node)
    there = [shop.cache.path_of(package.digest).exists() for package in packages]
    assert there == [True, False, True]
    assert held.read(0, 1000) == shop.image(1000, seed=b"\0")
    del held
    await shop.content(packages[1], node)
    assert not shop.cache.path_of(packages[0].digest).exists()


async def test_a_package_that_is_larger_than_the_cache_is_served(shop):
    package = await shop.add(shop.image(2 * CHUNK))
    assert await shop.content(package, shop.new_node(limit=1)) == shop.image(2 * CHUNK)


async def test_a_full_disk_takes_what_is_not_in_use(shop, monkeypatch):
    first, second = await shop.add(shop.image(1000)), await shop.add(shop.image(1000, seed=b"other"))
    await shop.content(first)
    real = package_cache.write_all

    def full(file, data):
        if shop.cache.path_of(first.digest).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)

    monkeypatch.setattr(package_cache, "write_all", full)
    assert await shop.content(second) == shop.image(1000, seed=b"other")


async def test_a_disk_that_stays_full_is_told_as_such(shop, monkeypatch):
    package = await shop.add(shop.image(1000))

    def full(_file, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(package_cache, "write_all", full)
    with pytest.raises(PackageUnreadableError, match="No space left"):
        await shop.content(package)
    assert [path for path in shop.root.rglob("*") if path.is_file()] == []


async def test_what_a_killed_process_had_begun_to_fetch_is_removed_and_what_another_fetches_is_not(shop, tmp_path):
    folder = shop.root / "1" / "incoming"
    (folder / "left").write_bytes(b"half")
    with package_cache._incoming(folder / "arriving"):
        package_cache.PackageCache(shop.root / "1", shop.clock, limit=1)
        assert [path.name for path in folder.iterdir()] == ["arriving"]


async def test_an_image_that_is_fetched_while_it_is_deleted_is_gone(shop):
    package = await shop.add(shop.image(8 * CHUNK))
    parts = shop.node.stream(package.digest)
    await anext(parts)
    await shop.delete(package, shop.new_node())
    assert [part async for part in parts] == []


async def test_nodes_take_in_and_delete_the_same_bytes_at_once(shop):
    nodes = [shop.new_node() for _ in range(4)]
    for _ in range(4):
        made = await asyncio.gather(*(shop.add(shop.image(CHUNK + 9), node) for node in nodes))
        assert await shop.kept() == 1
        again, *_ = await asyncio.gather(
            shop.add(shop.image(CHUNK + 9), nodes[0]),
            *(shop.delete(package, node) for package, node in zip(made, nodes, strict=True)),
        )
        assert await shop.content(again, nodes[1]) == shop.image(CHUNK + 9)
        await shop.delete(again)
        assert await shop.kept() == 0


async def test_an_upload_is_taken_over_by_another_node(shop):
    """The first node's sender hangs; what he sends afterwards changes nothing, and he is told."""
    here, there = shop.uploads(shop.node), shop.uploads(shop.new_node())
    content = shop.image(4 * CHUNK)
    upload_id = await shop.begin(len(content))
    wakes, came = asyncio.Event(), asyncio.Event()

    async def hanging():
        yield content[: CHUNK + 100]
        came.set()
        await wakes.wait()
        yield b"late" * CHUNK

    async def first():
        return await here.append(upload_id, 0, hanging())

    sending = asyncio.create_task(first())
    await came.wait()
    # Nothing of it was counted yet, so the second sender begins at the first byte.
    moved = await there.append(upload_id, 0, shop.pieces(content[: 2 * CHUNK + 7]))
    assert moved.received == 2 * CHUNK + 7
    wakes.set()
    with pytest.raises(OffsetError) as refused:
        await sending
    assert refused.value.offset == 2 * CHUNK + 7
    await there.append(upload_id, 2 * CHUNK + 7, shop.pieces(content[2 * CHUNK + 7 :]))
    assert await shop.content(await here.complete(upload_id, shop.note)) == content


async def test_two_nodes_complete_an_upload_and_one_package_comes_of_it(shop):
    nodes = [shop.uploads(shop.new_node()) for _ in range(3)]
    upload_id = await shop.begin(2 * CHUNK)
    await nodes[0].append(upload_id, 0, shop.pieces(shop.image(2 * CHUNK)))
    results = await asyncio.gather(*(node.complete(upload_id, shop.note) for node in nodes), return_exceptions=True)
    assert any(not isinstance(result, Exception) for result in results)
    assert all(isinstance(result, OffsetError) for result in results if isinstance(result, Exception))
    packages = [await node.complete(upload_id, shop.note) for node in nodes]
    assert len({package.package_id for package in packages}) == 1
    assert await shop.content(packages[0]) == shop.image(2 * CHUNK)
    assert await shop.kept() == 1


async def test_who_completes_an_upload_while_another_node_does_gets_its_package(shop, monkeypatch):
    here, there = shop.uploads(shop.node), shop.uploads(shop.new_node())
    upload_id = await shop.begin(2 * CHUNK)
    await here.append(upload_id, 0, shop.pieces(shop.image(2 * CHUNK)))
    real, made = chunk_uploads.ChunkTurn.digest, []

    async def slow(turn, size):
        found = await real(turn, size)
        if not made:
            made.append(None)
            made.append(await there.complete(upload_id, shop.note))
        return found

    monkeypatch.setattr(chunk_uploads.ChunkTurn, "digest", slow)
    assert await here.complete(upload_id, shop.note) == made[1]
    assert await shop.kept() == 1


async def test_an_upload_that_another_node_ends_is_gone_for_who_sends(shop):
    here, there = shop.uploads(shop.node), shop.uploads(shop.new_node())
    upload_id = await shop.begin(4 * CHUNK)

    async def ended_meanwhile():
        yield shop.image(CHUNK)
        await there.delete(upload_id, shop.note)
        yield shop.image(2 * CHUNK)

    with pytest.raises(NotFoundError):
        await here.append(upload_id, 0, ended_meanwhile())
    assert await shop.node.remove_orphans() == 0
    assert await shop.kept() == 0


async def test_a_body_that_stopped_arriving_is_given_up_and_its_sender_told(shop):
    async def stopping():
        yield shop.image(CHUNK)
        shop.clock.moment = shop.clock.moment.replace(hour=12)
        await shop.new_node().remove_orphans()
        yield shop.image(CHUNK)

    with pytest.raises(StoreError, match="given up"):
        await shop.node.receive(stopping(), 1 << 24)
    assert await shop.kept() == 0


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (chunk_store._CLAIM, ("c", "w", 1)),
        (chunk_store._TOUCH, ("c", "w", 1)),
        (chunk_store._PUT, ("c", 1, b"")),
        (chunk_store._CHUNK, ("c", 1)),
        (chunk_store._CUT, ("c", 1)),
        (chunk_store._LAST, ("c",)),
        (chunk_store._FIND, ("d",)),
        (chunk_store._NAME, ("c", "w", "d")),
        (chunk_store._UNNAME, ("d",)),
        (chunk_store._ABANDON, ("c",)),
        (chunk_store._ABANDON_STALE, (1,)),
        (chunk_store._ORPHANS, (10,)),
        (chunk_store._REMOVE_SOME, ("c", 64)),
        (chunk_store._REMOVE, ("c",)),
    ],
)
async def test_each_statement_finds_its_rows_by_an_index(shop, statement, arguments):
    explain = portable(f"EXPLAIN {statement.postgres}")

    async def plan(tx):
        # The tables are empty here, and would be read through if that were allowed.
        await tx.execute(portable("SET LOCAL enable_seqscan = off"))
        return "\n".join(row[0] for row in await tx.fetch(explain, *arguments))

    found = await shop.database.write(plan)
    assert "Seq Scan on firmware_content" not in found
    assert "Seq Scan on firmware_chunk" not in found
