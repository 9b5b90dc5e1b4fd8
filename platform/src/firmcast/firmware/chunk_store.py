"""The tables of the bytes of packages on PostgreSQL: contents, and the chunks that they are made of.

A content is an orphan from `abandon` on: nobody adds to it and nothing refers to it, so it is removed bit by bit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from firmcast.db.columns import to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import portable

CHUNK_BYTES: Final = 1 << 18
"""Of every chunk but the last one of a content."""

# Bytes begin to come; or somebody else goes on with an upload.
_CLAIM = portable(
    "INSERT INTO firmware_content (content_id, digest, writer, touched_at) VALUES (?1, NULL, ?2, ?3)"
    " ON CONFLICT (content_id) DO UPDATE SET writer = excluded.writer, touched_at = excluded.touched_at"
    " WHERE firmware_content.digest IS NULL"
)

# Only who claimed a content last may change it.
_TOUCH = portable(
    "UPDATE firmware_content SET touched_at = ?3 WHERE content_id = ?1 AND writer = ?2 AND digest IS NULL"
)

# A chunk; the last one is written again when it has grown.
_PUT = portable(
    "INSERT INTO firmware_chunk (content_id, number, bytes) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (content_id, number) DO UPDATE SET bytes = excluded.bytes"
)

# A chunk to be read, or to be added to.
_CHUNK = portable("SELECT bytes FROM firmware_chunk WHERE content_id = ?1 AND number = ?2")

# What is behind the bytes that are counted.
_CUT = portable("DELETE FROM firmware_chunk WHERE content_id = ?1 AND number >= ?2")

# Where a content ends.
_LAST = portable(
    "SELECT number, octet_length(bytes) FROM firmware_chunk WHERE content_id = ?1 ORDER BY number DESC LIMIT 1"
)

# Where the bytes of a digest are.
_FIND = portable("SELECT content_id FROM firmware_content WHERE digest = ?1")

# A package is made of a content.
_NAME = portable("UPDATE firmware_content SET digest = ?3, writer = '' WHERE content_id = ?1 AND writer = ?2")

# No package is made of these bytes any more.
_UNNAME = portable("UPDATE firmware_content SET digest = NULL, writer = '' WHERE digest = ?1 RETURNING content_id")

# What was coming will not be a package.
_ABANDON = portable("UPDATE firmware_content SET writer = '' WHERE content_id = ?1 AND digest IS NULL")

# What a node that was killed left behind; the contents of open uploads have their own end.
_ABANDON_STALE = portable(
    "UPDATE firmware_content SET writer = '' WHERE digest IS NULL AND writer <> '' AND touched_at < ?1"
    " AND NOT EXISTS (SELECT 1 FROM firmware_upload WHERE upload_id = content_id AND package_id = '')"
)

# What waits to be removed.
_ORPHANS = portable("SELECT content_id FROM firmware_content WHERE digest IS NULL AND writer = '' LIMIT ?1")

# A part of an orphan: a large one would keep every other write waiting.
_REMOVE_SOME = portable(
    "DELETE FROM firmware_chunk WHERE content_id = ?1 AND number IN"
    " (SELECT number FROM firmware_chunk WHERE content_id = ?1 ORDER BY number LIMIT ?2)"
    " AND EXISTS (SELECT 1 FROM firmware_content WHERE content_id = ?1 AND digest IS NULL AND writer = '')"
)

# An orphan whose chunks are gone.
_REMOVE = portable("DELETE FROM firmware_content WHERE content_id = ?1 AND digest IS NULL AND writer = ''")


async def claim(tx: Transaction, content_id: str, writer: str, now: datetime) -> None:
    """Have a content for `writer` alone; it is there from then on."""
    await tx.execute(_CLAIM, content_id, writer, to_column(now))


async def touch(tx: Transaction, content_id: str, writer: str, now: datetime) -> bool:
    """Note that `writer` goes on with a content; tell whether it is still his."""
    return await tx.execute(_TOUCH, content_id, writer, to_column(now)) > 0


async def put(tx: Transaction, content_id: str, number: int, data: bytes) -> None:
    """Write a chunk; only who has the content may."""
    await tx.execute(_PUT, content_id, number, data)


async def chunk(tx: Transaction, content_id: str, number: int) -> bytes | None:
    """Return a chunk, None where there is none."""
    row = await tx.fetch_row(_CHUNK, content_id, number)
    return None if row is None else row[0]


async def cut(tx: Transaction, content_id: str, size: int) -> bytes:
    """Remove what is behind the first `size` bytes, and return those of them that fill no whole chunk."""
    number, length = divmod(size, CHUNK_BYTES)
    tail = (await chunk(tx, content_id, number) or b"")[:length]
    await tx.execute(_CUT, content_id, number)
    if tail:
        await put(tx, content_id, number, tail)
    return tail


async def size(tx: Transaction, content_id: str) -> int:
    """Return how many bytes a content has."""
    row = await tx.fetch_row(_LAST, content_id)
    return 0 if row is None else row[0] * CHUNK_BYTES + row[1]


async def find(tx: Transaction, digest: str) -> str | None:
    """Return which content has the bytes of a digest, None for none."""
    row = await tx.fetch_row(_FIND, digest)
    return None if row is None else row[0]


async def name(tx: Transaction, content_id: str, writer: str, digest: str) -> bool:
    """Make a content the bytes of a digest, or an orphan where there are such bytes; tell whether it was `writer`'s."""
    if await find(tx, digest) is None:
        return await tx.execute(_NAME, content_id, writer, digest) > 0
    await abandon(tx, content_id)
    return True


async def unname(tx: Transaction, digests: Sequence[str]) -> list[str]:
    """Make orphans of the contents of these digests; return which they are."""
    return [row[0] for digest in digests for row in await tx.fetch(_UNNAME, digest)]


async def abandon(tx: Transaction, content_id: str) -> None:
    """Make an orphan of a content that no package is made of."""
    await tx.execute(_ABANDON, content_id)


async def abandon_stale(tx: Transaction, touched_before: datetime) -> None:
    """Make orphans of the contents that nobody has added to since a moment, those of open uploads aside."""
    await tx.execute(_ABANDON_STALE, to_column(touched_before))


async def orphans(tx: Transaction, limit: int) -> list[str]:
    """Return contents that wait to be removed."""
    return [row[0] for row in await tx.fetch(_ORPHANS, limit)]


async def remove_some(tx: Transaction, content_id: str, limit: int) -> bool:
    """Remove some chunks of an orphan, or itself when it has none; tell whether there may be more of it."""
    if await tx.execute(_REMOVE_SOME, content_id, limit):
        return True
    await tx.execute(_REMOVE, content_id)
    return False
