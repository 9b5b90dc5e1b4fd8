"""The table of registrations: one row at the most for each device, its latest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from firmcast.db.columns import from_column, to_column
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import differing, portable
from firmcast.devices.model import Registration
from firmcast.ids import DeviceId, GatewayId, RegistrationId

# A device registered; whatever registration it had is over. Whose it is, and since when it is known, never changes
# while it has one: both stand here so that the devices that are here are listed by an index.
_UPSERT = portable(
    "INSERT INTO registration (device_id, registration_id, endpoint_name, host, port, lifetime_seconds, binding,"
    " queue_mode, lwm2m_version, objects, registered_at, updated_at, expires_at, is_secure, gateway,"
    " gateway_epoch, application_id, device_created_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
    " (SELECT application_id FROM device WHERE device_id = ?1), (SELECT created_at FROM device WHERE device_id = ?1))"
    " ON CONFLICT (device_id) DO UPDATE SET registration_id = excluded.registration_id,"
    " endpoint_name = excluded.endpoint_name, host = excluded.host, port = excluded.port,"
    " lifetime_seconds = excluded.lifetime_seconds, binding = excluded.binding, queue_mode = excluded.queue_mode,"
    " lwm2m_version = excluded.lwm2m_version, objects = excluded.objects, registered_at = excluded.registered_at,"
    " updated_at = excluded.updated_at, expires_at = excluded.expires_at, is_secure = excluded.is_secure,"
    " gateway = excluded.gateway, gateway_epoch = excluded.gateway_epoch"
)

# A device updated its registration.
_UPDATE = portable(
    "UPDATE registration SET host = ?2, port = ?3, lifetime_seconds = ?4, binding = ?5, objects = ?6,"
    " updated_at = ?7, expires_at = ?8, queue_mode = ?9, gateway = ?10, gateway_epoch = ?11"
    " WHERE registration_id = ?1"
)

# The registrations that a batch of updates is about.
_BY_IDS = differing(
    sqlite="SELECT registration_id, device_id, endpoint_name, host, port, lifetime_seconds, binding, queue_mode,"
    " lwm2m_version, objects, registered_at, updated_at, expires_at, is_secure, gateway, gateway_epoch"
    " FROM registration WHERE registration_id IN (SELECT value FROM json_each(?1)) AND expires_at > ?2",
    postgres="SELECT registration_id, device_id, endpoint_name, host, port, lifetime_seconds, binding, queue_mode,"
    " lwm2m_version, objects, registered_at, updated_at, expires_at, is_secure, gateway, gateway_epoch"
    " FROM registration WHERE registration_id = ANY(?1) AND expires_at > ?2",
)

# Where these devices can be reached.
_OF_DEVICES = differing(
    sqlite="SELECT registration_id, device_id, endpoint_name, host, port, lifetime_seconds, binding, queue_mode,"
    " lwm2m_version, objects, registered_at, updated_at, expires_at, is_secure, gateway, gateway_epoch"
    " FROM registration WHERE device_id IN (SELECT value FROM json_each(?1)) AND expires_at > ?2",
    postgres="SELECT registration_id, device_id, endpoint_name, host, port, lifetime_seconds, binding, queue_mode,"
    " lwm2m_version, objects, registered_at, updated_at, expires_at, is_secure, gateway, gateway_epoch"
    " FROM registration WHERE device_id = ANY(?1) AND expires_at > ?2",
)

# Which of these devices count as registered; one whose time ran out does until it is told that it left. And which of
# them are here through a secure session: nobody in clear may take their place. And who holds them.
_REGISTERED = differing(
    sqlite="SELECT device_id, is_secure = 1 AND expires_at > ?2, gateway, gateway_epoch FROM registration"
    " WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT device_id, is_secure = 1 AND expires_at > ?2, gateway, gateway_epoch FROM registration"
    " WHERE device_id = ANY(?1)",
)

# Everybody who is still registered, a page after another.
_LIVE = portable(
    "SELECT registration_id, device_id, endpoint_name, host, port, lifetime_seconds, binding, queue_mode,"
    " lwm2m_version, objects, registered_at, updated_at, expires_at, is_secure, gateway, gateway_epoch"
    " FROM registration WHERE device_id > ?1 AND expires_at > ?2 ORDER BY device_id LIMIT ?3"
)

# Whose time ran out, the longest ago first.
_EXPIRED = portable(
    "SELECT registration_id, device_id, endpoint_name, host, port, lifetime_seconds, binding, queue_mode,"
    " lwm2m_version, objects, registered_at, updated_at, expires_at, is_secure, gateway, gateway_epoch"
    " FROM registration WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2"
)

# Registrations that ended, by the devices or by time.
_DELETE = differing(
    sqlite="DELETE FROM registration WHERE registration_id IN (SELECT value FROM json_each(?1))"
    " RETURNING registration_id, device_id",
    postgres="DELETE FROM registration WHERE registration_id = ANY(?1) RETURNING registration_id, device_id",
)

# The registration of a device that is forgotten.
_DELETE_OF_DEVICE = portable("DELETE FROM registration WHERE device_id = ?1 RETURNING registration_id")


def as_registration(row: Row) -> Registration:
    """Return what the columns above say, in their order."""
    return Registration(
        registration_id=RegistrationId(row[0]),
        device_id=DeviceId(row[1]),
        endpoint_name=row[2],
        host=row[3],
        port=row[4],
        lifetime_seconds=row[5],
        binding=row[6],
        queue_mode=bool(row[7]),
        lwm2m_version=row[8],
        objects=row[9],
        registered_at=from_column(row[10]),
        updated_at=from_column(row[11]),
        expires_at=from_column(row[12]),
        is_secure=bool(row[13]),
        gateway=GatewayId(row[14]),
        epoch=row[15],
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """A registration as a new one of the same device finds it."""

    is_secure: bool
    """Live, and through a secure session."""
    gateway: GatewayId
    epoch: int


async def upsert(tx: Transaction, registrations: Sequence[Registration]) -> None:
    """Store registrations, each in the place of its device's former one."""
    await tx.execute_many(
        _UPSERT,
        [
            (
                registration.device_id,
                registration.registration_id,
                registration.endpoint_name,
                registration.host,
                registration.port,
                registration.lifetime_seconds,
                registration.binding,
                int(registration.queue_mode),
                registration.lwm2m_version,
                registration.objects,
                to_column(registration.registered_at),
                to_column(registration.updated_at),
                to_column(registration.expires_at),
                int(registration.is_secure),
                registration.gateway,
                registration.epoch,
            )
            for registration in registrations
        ],
    )


async def update(tx: Transaction, registrations: Sequence[Registration]) -> None:
    """Write back what an update may change."""
    await tx.execute_many(
        _UPDATE,
        [
            (
                registration.registration_id,
                registration.host,
                registration.port,
                registration.lifetime_seconds,
                registration.binding,
                registration.objects,
                to_column(registration.updated_at),
                to_column(registration.expires_at),
                int(registration.queue_mode),
                registration.gateway,
                registration.epoch,
            )
            for registration in registrations
        ],
    )


async def by_ids(tx: Transaction, registration_ids: Sequence[RegistrationId], now: datetime) -> list[Registration]:
    """Return those that are live."""
    return [as_registration(row) for row in await tx.fetch(_BY_IDS, list(registration_ids), to_column(now))]


async def of_devices(tx: Transaction, device_ids: Sequence[DeviceId], now: datetime) -> list[Registration]:
    """Return the live registrations of these devices."""
    return [as_registration(row) for row in await tx.fetch(_OF_DEVICES, list(device_ids), to_column(now))]


async def live(tx: Transaction, after: DeviceId, now: datetime, limit: int) -> list[Registration]:
    """Return the next live registrations after a device, in the order of device ids."""
    return [as_registration(row) for row in await tx.fetch(_LIVE, after, to_column(now), limit)]


async def expired(tx: Transaction, now: datetime, limit: int) -> list[Registration]:
    """Return registrations whose time ran out."""
    return [as_registration(row) for row in await tx.fetch(_EXPIRED, to_column(now), limit)]


async def registered(tx: Transaction, device_ids: Sequence[DeviceId], now: datetime) -> dict[DeviceId, Standing]:
    """Return those of these devices that have a registration, and how it stands."""
    rows = await tx.fetch(_REGISTERED, list(device_ids), to_column(now))
    return {DeviceId(row[0]): Standing(bool(row[1]), GatewayId(row[2]), row[3]) for row in rows}


async def delete(tx: Transaction, registration_ids: Sequence[RegistrationId]) -> dict[RegistrationId, DeviceId]:
    """Delete registrations and return whose they were."""
    return {RegistrationId(row[0]): DeviceId(row[1]) for row in await tx.fetch(_DELETE, list(registration_ids))}


async def delete_of_device(tx: Transaction, device_id: DeviceId) -> list[RegistrationId]:
    """Delete the registration of a device, and return it if it had one."""
    return [RegistrationId(row[0]) for row in await tx.fetch(_DELETE_OF_DEVICE, device_id)]
