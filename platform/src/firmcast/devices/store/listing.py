"""Lists of devices, by statements of their own for each kind of filter: so each finds its rows by an index.

A page is chosen within the index alone, and only the rows on it are read whole: a far page costs little more than the
first. Who is here is listed from the registrations, less those that are overdue and not yet removed. Who is away, or
is here and of one type, is found by looking a registration up for each device that else fits, until the page is full.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from firmcast.db.columns import to_column
from firmcast.db.page import Page
from firmcast.db.port import Transaction, Value
from firmcast.db.statement import Statement, portable
from firmcast.devices.model import Device, DeviceFilter, Presence, Registration
from firmcast.devices.store import devices, registrations
from firmcast.ids import ApplicationId, DeviceId

_FAR_PAST = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)

_CREATED: Final = " FROM device WHERE application_id = ?1 AND created_at BETWEEN ?2 AND ?3"
_TYPED: Final = _CREATED + " AND device_type = ?4"
_LIVE: Final = "EXISTS (SELECT 1 FROM registration r WHERE r.device_id = device.device_id AND r.expires_at > "

_Kind = tuple[bool, Presence | None]
"""Whether the type of the devices is given, and what is said of their presence."""

# Which devices are meant, by kind of filter; the time of the question comes after the other values.
_MATCHES: Final[Mapping[_Kind, str]] = {
    (False, None): _CREATED,
    (False, Presence.ONLINE): " FROM registration WHERE application_id = ?1 AND device_created_at BETWEEN ?2 AND ?3"
    " AND device_id NOT IN (SELECT device_id FROM registration WHERE expires_at <= ?4)",
    (False, Presence.OFFLINE): _CREATED + " AND NOT " + _LIVE + "?4)",
    (True, None): _TYPED,
    (True, Presence.ONLINE): _TYPED + " AND " + _LIVE + "?5)",
    (True, Presence.OFFLINE): _TYPED + " AND NOT " + _LIVE + "?5)",
}

_NUMBERS: Final[Mapping[_Kind, str]] = {
    kind: {3: " LIMIT ?4 OFFSET ?5", 4: " LIMIT ?5 OFFSET ?6", 5: " LIMIT ?6 OFFSET ?7"}[
        3 + kind[0] + (kind[1] is not None)
    ]
    for kind in _MATCHES
}

# How many devices a list has on all pages; of those who are away it is told by the others.
COUNT: Final[Mapping[_Kind, Statement]] = {
    kind: portable("SELECT count(*)" + matches)
    for kind, matches in _MATCHES.items()
    if kind != (False, Presence.OFFLINE)
}

_COLUMN: Final[Mapping[_Kind, str]] = {
    kind: "device_created_at" if kind == (False, Presence.ONLINE) else "created_at" for kind in _MATCHES
}

# A page of a list, the newest first.
NEWEST_FIRST: Final[Mapping[_Kind, Statement]] = {
    kind: portable(
        "SELECT "
        + devices.COLUMNS
        + " FROM (SELECT device_id AS chosen"
        + matches
        + " ORDER BY "
        + _COLUMN[kind]
        + " DESC, device_id DESC"
        + _NUMBERS[kind]
        + ") AS page"
        + " JOIN device ON device_id = chosen ORDER BY created_at DESC, device_id DESC"
    )
    for kind, matches in _MATCHES.items()
}

# The same, the oldest first.
OLDEST_FIRST: Final[Mapping[_Kind, Statement]] = {
    kind: portable(
        "SELECT "
        + devices.COLUMNS
        + " FROM (SELECT device_id AS chosen"
        + matches
        + " ORDER BY "
        + _COLUMN[kind]
        + ", device_id"
        + _NUMBERS[kind]
        + ") AS page"
        + " JOIN device ON device_id = chosen ORDER BY created_at, device_id"
    )
    for kind, matches in _MATCHES.items()
}


async def listed(
    tx: Transaction, application_id: ApplicationId, wanted: DeviceFilter, page: Page, now: datetime
) -> tuple[list[Device], int]:
    """Return a page of the application's devices and how many there are on all pages."""
    if wanted.device_id:
        return await _one(tx, application_id, wanted, page, now)
    kind = (wanted.device_type != "", wanted.presence)
    arguments: list[Value] = [
        application_id,
        to_column(wanted.created_from or _FAR_PAST),
        to_column(wanted.created_until or _FAR_FUTURE),
    ]
    if wanted.device_type:
        arguments.append(wanted.device_type)
    if wanted.presence is not None:
        arguments.append(to_column(now))
    statement = (OLDEST_FIRST if wanted.oldest_first else NEWEST_FIRST)[kind]
    rows = await tx.fetch(statement, *arguments, page.limit, page.offset)
    return [devices.device_of(row) for row in rows], await _total(tx, kind, arguments)


async def _total(tx: Transaction, kind: _Kind, arguments: list[Value]) -> int:
    if kind == (False, Presence.OFFLINE):
        everybody = await _total(tx, (False, None), arguments[:3])
        return everybody - await _total(tx, (False, Presence.ONLINE), arguments)
    row = await tx.fetch_row(COUNT[kind], *arguments)
    return 0 if row is None else int(row[0])


async def _one(
    tx: Transaction, application_id: ApplicationId, wanted: DeviceFilter, page: Page, now: datetime
) -> tuple[list[Device], int]:
    device = await devices.find(tx, application_id, DeviceId(wanted.device_id))
    if device is None:
        return [], 0
    live = await registrations.of_devices(tx, [device.device_id], now)
    found = [device] if _fits(device, live, wanted) else []
    return found[page.offset : page.offset + page.limit], len(found)


def _fits(device: Device, live: list[Registration], wanted: DeviceFilter) -> bool:
    presence = Presence.ONLINE if live else Presence.OFFLINE
    return (
        wanted.device_type in ("", device.device_type)
        and wanted.presence in (None, presence)
        and (wanted.created_from or _FAR_PAST) <= device.created_at <= (wanted.created_until or _FAR_FUTURE)
    )
