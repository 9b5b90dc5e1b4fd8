"""What others may ask of the journal; each takes the caller's transaction, and none of them commits.

It is bounded for each device and by age. The bound of a device is enforced by who writes: about one page in so many has
the pages behind it counted, so that a device that never rests is as bounded as one that does, at next to no cost.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from firmcast.db.columns import to_column
from firmcast.db.port import Transaction
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal import store
from firmcast.journal.model import DeviceNote
from firmcast.journal.pages import Page, pages_of

PAGES_OF_DEVICE: Final = 500
"""Pages that are kept of a device; a few more while nobody counts."""

_COUNTED_ONE_IN: Final = 32


async def write(tx: Transaction, noted: Iterable[DeviceNote]) -> None:
    """Write notes: one row for those of each device, or of each of its upgrades."""
    pages = pages_of(noted)
    if not pages:
        return
    await store.insert(tx, pages)
    # The last digits of a time are as good as a die, and fall the same way again in a transaction that is repeated.
    counted = sorted({page.device_id for page in pages if to_column(page.began_at) % _COUNTED_ONE_IN == 0})
    if counted:
        await store.delete_beyond(tx, counted, PAGES_OF_DEVICE - 1)


async def between(
    tx: Transaction,
    device_id: DeviceId,
    begin: datetime,
    end: datetime,
    *,
    device_upgrade_id: DeviceUpgradeId | None = None,
    limit: int,
    newest_first: bool,
) -> list[Page]:
    """Return the pages of a device that began in a stretch of time, `end` excluded, `limit` at the most."""
    return await store.between(tx, device_id, begin, end, device_upgrade_id, limit, newest_first=newest_first)


async def forget(tx: Transaction, before: datetime, limit: int) -> int:
    """Remove those of the oldest `limit` pages that began before a time, and return how many those were."""
    return await store.delete_old(tx, before, limit)


async def forget_devices(tx: Transaction, device_ids: Sequence[DeviceId]) -> None:
    """Remove the journals of devices."""
    await store.delete_of_devices(tx, device_ids)
