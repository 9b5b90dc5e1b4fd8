"""The table of devices; their lists, registrations and waiting commands have stores of their own."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from firmcast.db.columns import from_column, from_optional_column, to_column, to_optional_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.devices.model import Device
from firmcast.ids import ApplicationId, DeviceId

COLUMNS: Final = (
    "device_id, application_id, endpoint_name, verification_code, name, manufacturer_id, manufacturer_name,"
    " device_type, model, protocol_type, activation_seconds, firmware_version, created_at, changed_at, activated_at,"
    " attributes"
)
"""What a device is read from, in the order of `device_of`."""

# A new device; its endpoint name must be free.
_INSERT = portable(
    "INSERT INTO device (device_id, application_id, endpoint_name, verification_code, name, manufacturer_id,"
    " manufacturer_name, device_type, model, protocol_type, activation_seconds, firmware_version, created_at,"
    " changed_at, activated_at, attributes, pre_shared_key, activation_ends_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '', ?12, ?12, NULL, ?13, ?14, ?15)"
)

# A device whose time to register ran out unused is made known anew under its old id.
_RENEW = portable(
    "UPDATE device SET verification_code = ?2, name = ?3, manufacturer_id = ?4, manufacturer_name = ?5,"
    " device_type = ?6, model = ?7, protocol_type = ?8, activation_seconds = ?9, created_at = ?10, changed_at = ?10,"
    " attributes = ?11, pre_shared_key = ?12, activation_ends_at = ?13 WHERE device_id = ?1"
)

# One device of an application.
_FIND = portable(
    "SELECT device_id, application_id, endpoint_name, verification_code, name, manufacturer_id, manufacturer_name,"
    " device_type, model, protocol_type, activation_seconds, firmware_version, created_at, changed_at, activated_at,"
    " attributes FROM device WHERE application_id = ?1 AND device_id = ?2"
)

# One device, whosever it is.
_FIND_ANY = portable(
    "SELECT device_id, application_id, endpoint_name, verification_code, name, manufacturer_id, manufacturer_name,"
    " device_type, model, protocol_type, activation_seconds, firmware_version, created_at, changed_at, activated_at,"
    " attributes FROM device WHERE device_id = ?1"
)

# The chosen devices of an application, for a new task; the plus keeps SQLite from walking through all that it has.
BY_IDS = differing(
    sqlite="SELECT device_id, application_id, endpoint_name, verification_code, name, manufacturer_id,"
    " manufacturer_name, device_type, model, protocol_type, activation_seconds, firmware_version, created_at,"
    " changed_at, activated_at, attributes FROM device"
    " WHERE +application_id = ?1 AND device_id IN (SELECT value FROM json_each(?2))",
    postgres="SELECT device_id, application_id, endpoint_name, verification_code, name, manufacturer_id,"
    " manufacturer_name, device_type, model, protocol_type, activation_seconds, firmware_version, created_at,"
    " changed_at, activated_at, attributes FROM device WHERE application_id = ?1 AND device_id = ANY(?2)",
)

# Who the devices of a batch of registrations are, whichever application they belong to.
_BY_ENDPOINT_NAMES = differing(
    sqlite="SELECT device_id, application_id, endpoint_name, verification_code, name, manufacturer_id,"
    " manufacturer_name, device_type, model, protocol_type, activation_seconds, firmware_version, created_at,"
    " changed_at, activated_at, attributes FROM device"
    " WHERE endpoint_name IN (SELECT value FROM json_each(?1))",
    postgres="SELECT device_id, application_id, endpoint_name, verification_code, name, manufacturer_id,"
    " manufacturer_name, device_type, model, protocol_type, activation_seconds, firmware_version, created_at,"
    " changed_at, activated_at, attributes FROM device WHERE endpoint_name = ANY(?1)",
)

# What an application says of a device, written back whole.
_MODIFY = portable(
    "UPDATE device SET name = ?2, manufacturer_id = ?3, manufacturer_name = ?4, device_type = ?5, model = ?6,"
    " protocol_type = ?7, attributes = ?8, changed_at = ?9 WHERE device_id = ?1"
)

# A new verification code, and with it new time to register.
_SET_CREDENTIALS = portable(
    "UPDATE device SET verification_code = ?2, endpoint_name = ?3, activation_seconds = ?4, changed_at = ?5"
    " WHERE device_id = ?1"
)

# The key of a device's DTLS sessions, sealed.
_SET_PRE_SHARED_KEY = portable("UPDATE device SET pre_shared_key = ?2, changed_at = ?3 WHERE device_id = ?1")

# The keys for a batch of handshakes, by the identity that the devices name.
_PRE_SHARED_KEYS = differing(
    sqlite="SELECT endpoint_name, pre_shared_key FROM device"
    " WHERE endpoint_name IN (SELECT value FROM json_each(?1)) AND length(pre_shared_key) > 0",
    postgres="SELECT endpoint_name, pre_shared_key FROM device"
    " WHERE endpoint_name = ANY(?1) AND length(pre_shared_key) > 0",
)

# The keys of all that have one, for another sealing key: a page of all devices.
SEALED_AFTER: Final = portable(
    "SELECT device_id, pre_shared_key FROM device WHERE device_id > ?1 AND length(pre_shared_key) > 0"
    " ORDER BY device_id LIMIT ?2"
)

# The same key, sealed anew: so the device has not changed.
SET_SEALED: Final = portable("UPDATE device SET pre_shared_key = ?2 WHERE device_id = ?1")

# The first registration activates; later ones leave the time of the first.
_ACTIVATE = differing(
    sqlite="UPDATE device SET activated_at = ?2, changed_at = ?2, activation_ends_at = NULL"
    " WHERE activated_at IS NULL AND device_id IN (SELECT value FROM json_each(?1))",
    postgres="UPDATE device SET activated_at = ?2, changed_at = ?2, activation_ends_at = NULL"
    " WHERE activated_at IS NULL AND device_id = ANY(?1)",
)

# Whose first registration was awaited in vain, the longest ago first; each is returned once.
EXPIRE_ACTIVATIONS = portable(
    "UPDATE device SET activation_ends_at = NULL WHERE device_id IN (SELECT device_id FROM device"
    " WHERE activation_ends_at < ?1 ORDER BY activation_ends_at LIMIT ?2)"
    " RETURNING device_id, application_id, endpoint_name, verification_code, name, manufacturer_id, manufacturer_name,"
    " device_type, model, protocol_type, activation_seconds, firmware_version, created_at, changed_at, activated_at,"
    " attributes"
)

# When the next first registration is awaited no longer.
NEXT_ACTIVATION_END = portable(
    "SELECT activation_ends_at FROM device WHERE activation_ends_at IS NOT NULL ORDER BY activation_ends_at LIMIT 1"
)

# The versions that devices run, where they are news: one JSON text with [device, version] for each.
_SET_FIRMWARE_VERSIONS = differing(
    sqlite="UPDATE device SET firmware_version = said.value ->> 1, changed_at = ?2 FROM json_each(?1) AS said"
    " WHERE device.device_id = said.value ->> 0 AND device.firmware_version <> said.value ->> 1"
    " RETURNING device_id, application_id, firmware_version",
    postgres="UPDATE device SET firmware_version = said.version, changed_at = ?2"
    " FROM (SELECT row ->> 0 AS id, row ->> 1 AS version FROM jsonb_array_elements(?1::jsonb) row) AS said"
    " WHERE device.device_id = said.id AND device.firmware_version <> said.version"
    " RETURNING device_id, application_id, firmware_version",
)

# Whose devices are these.
_OWNERS = differing(
    sqlite="SELECT device_id, application_id FROM device WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT device_id, application_id FROM device WHERE device_id = ANY(?1)",
)

# A device is forgotten.
_DELETE = portable("DELETE FROM device WHERE device_id = ?1")


def device_of(row: Row) -> Device:
    """Return the device in a row of COLUMNS."""
    return Device(
        device_id=DeviceId(row[0]),
        application_id=ApplicationId(row[1]),
        endpoint_name=row[2],
        verification_code=row[3],
        name=row[4],
        manufacturer_id=row[5],
        manufacturer_name=row[6],
        device_type=row[7],
        model=row[8],
        protocol_type=row[9],
        activation_seconds=row[10],
        firmware_version=row[11],
        created_at=from_column(row[12]),
        changed_at=from_column(row[13]),
        activated_at=from_optional_column(row[14]),
        attributes=json.loads(row[15]),
    )


async def insert(tx: Transaction, device: Device, pre_shared_key: bytes) -> None:
    """Store a new device with its sealed key, which may be empty."""
    await tx.execute(
        _INSERT,
        device.device_id,
        device.application_id,
        device.endpoint_name,
        device.verification_code,
        device.name,
        device.manufacturer_id,
        device.manufacturer_name,
        device.device_type,
        device.model,
        device.protocol_type,
        device.activation_seconds,
        to_column(device.created_at),
        json.dumps(device.attributes),
        pre_shared_key,
        to_optional_column(device.activation_ends_at),
    )


async def renew(tx: Transaction, device: Device, pre_shared_key: bytes) -> None:
    """Write everything but the identity anew."""
    await tx.execute(
        _RENEW,
        device.device_id,
        device.verification_code,
        device.name,
        device.manufacturer_id,
        device.manufacturer_name,
        device.device_type,
        device.model,
        device.protocol_type,
        device.activation_seconds,
        to_column(device.created_at),
        json.dumps(device.attributes),
        pre_shared_key,
        to_optional_column(device.activation_ends_at),
    )


async def find(tx: Transaction, application_id: ApplicationId, device_id: DeviceId) -> Device | None:
    """Return the device, None when the application has no such device."""
    row = await tx.fetch_row(_FIND, application_id, device_id)
    return None if row is None else device_of(row)


async def find_any(tx: Transaction, device_id: DeviceId) -> Device | None:
    """Return the device, whichever application it belongs to; None when there is none."""
    row = await tx.fetch_row(_FIND_ANY, device_id)
    return None if row is None else device_of(row)


async def by_ids(tx: Transaction, application_id: ApplicationId, device_ids: Sequence[DeviceId]) -> list[Device]:
    """Return those that the application has."""
    return [device_of(row) for row in await tx.fetch(BY_IDS, application_id, list(device_ids))]


async def by_endpoint_names(tx: Transaction, names: Sequence[str]) -> list[Device]:
    """Return those that exist."""
    return [device_of(row) for row in await tx.fetch(_BY_ENDPOINT_NAMES, list(names))]


async def modify(tx: Transaction, device: Device) -> None:
    """Write back what an application may say of a device."""
    await tx.execute(
        _MODIFY,
        device.device_id,
        device.name,
        device.manufacturer_id,
        device.manufacturer_name,
        device.device_type,
        device.model,
        device.protocol_type,
        json.dumps(device.attributes),
        to_column(device.changed_at),
    )


async def set_credentials(tx: Transaction, device: Device) -> None:
    """Write back the identity on the air and the time to register."""
    await tx.execute(
        _SET_CREDENTIALS,
        device.device_id,
        device.verification_code,
        device.endpoint_name,
        device.activation_seconds,
        to_column(device.changed_at),
    )


async def set_pre_shared_key(tx: Transaction, device_id: DeviceId, sealed: bytes, now: datetime) -> None:
    """Write the sealed key."""
    await tx.execute(_SET_PRE_SHARED_KEY, device_id, sealed, to_column(now))


async def pre_shared_keys(tx: Transaction, endpoint_names: Sequence[str]) -> dict[str, bytes]:
    """Return the sealed keys of those that have one."""
    return {row[0]: bytes(row[1]) for row in await tx.fetch(_PRE_SHARED_KEYS, list(endpoint_names))}


async def activate(tx: Transaction, device_ids: Sequence[DeviceId], now: datetime) -> None:
    """Note the first registration of those that had none."""
    await tx.execute(_ACTIVATE, list(device_ids), to_column(now))


async def expire_activations(tx: Transaction, now: datetime, limit: int) -> list[Device]:
    """Await no longer whose time to register is over; return those whose time was not over before."""
    devices = [device_of(row) for row in await tx.fetch(EXPIRE_ACTIVATIONS, to_column(now), limit)]
    return sorted(devices, key=lambda device: (device.created_at, device.device_id))


async def next_activation_end(tx: Transaction) -> datetime | None:
    """Return when the next time to register is over; None when none is awaited."""
    row = await tx.fetch_row(NEXT_ACTIVATION_END)
    return None if row is None else from_column(row[0])


async def set_firmware_versions(
    tx: Transaction, versions: Mapping[DeviceId, str], now: datetime
) -> list[tuple[DeviceId, ApplicationId, str]]:
    """Note the versions that devices run; return those that were news, with whose device it is."""
    rows = await tx.fetch(_SET_FIRMWARE_VERSIONS, json.dumps(sorted(versions.items())), to_column(now))
    return sorted((DeviceId(row[0]), ApplicationId(row[1]), str(row[2])) for row in rows)


async def owners(tx: Transaction, device_ids: Sequence[DeviceId]) -> dict[DeviceId, ApplicationId]:
    """Return whose devices these are."""
    return {DeviceId(row[0]): ApplicationId(row[1]) for row in await tx.fetch(_OWNERS, list(device_ids))}


async def delete(tx: Transaction, device_id: DeviceId) -> None:
    """Forget a device."""
    await tx.execute(_DELETE, device_id)
