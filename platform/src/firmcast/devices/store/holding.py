"""Who holds which registration, in the table of registrations; and whose a registration is, by what is seen of it."""

from collections.abc import Sequence
from datetime import datetime

from firmcast.db.columns import to_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.devices.model import Registration
from firmcast.devices.store.registrations import as_registration
from firmcast.ids import DeviceId, GatewayId

# Everybody who holds any registration: from one to the next in the index, however many each of them has.
HOLDERS = portable(
    "WITH RECURSIVE holder AS (SELECT min(gateway) AS gateway FROM registration UNION ALL"
    " SELECT (SELECT min(r.gateway) FROM registration r WHERE r.gateway > holder.gateway) FROM holder"
    " WHERE holder.gateway IS NOT NULL) SELECT gateway FROM holder WHERE gateway IS NOT NULL"
)

# Some of what one gateway holds. With an equality PostgreSQL may walk through all devices for a gateway that has few.
SOME_HELD = differing(
    sqlite="SELECT device_id FROM registration WHERE gateway = ?1 ORDER BY device_id LIMIT ?2",
    postgres="SELECT device_id FROM registration WHERE gateway >= ?1 AND gateway <= ?1"
    " ORDER BY gateway, device_id LIMIT ?2",
)

# What one gateway holds, a page after another.
HELD_AFTER = differing(
    sqlite="SELECT device_id FROM registration WHERE gateway = ?1 AND device_id > ?2 ORDER BY device_id LIMIT ?3",
    postgres="SELECT device_id FROM registration WHERE (gateway, device_id) > (?1, ?2) AND gateway <= ?1"
    " ORDER BY gateway, device_id LIMIT ?3",
)

# These registrations change hands.
MOVE = differing(
    sqlite="UPDATE registration SET gateway = ?2, gateway_epoch = gateway_epoch + 1"
    " WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="UPDATE registration SET gateway = ?2, gateway_epoch = gateway_epoch + 1 WHERE device_id = ANY(?1)",
)

# Of these devices the gateways.
GATEWAYS_OF = differing(
    sqlite="SELECT device_id, gateway FROM registration WHERE device_id IN (SELECT value FROM json_each(?1))"
    " AND expires_at > ?2",
    postgres="SELECT device_id, gateway FROM registration WHERE device_id = ANY(?1) AND expires_at > ?2",
)

# Who is registered at these addresses.
AT_ADDRESSES = differing(
    sqlite="SELECT r.registration_id, r.device_id, r.endpoint_name, r.host, r.port, r.lifetime_seconds, r.binding,"
    " r.queue_mode, r.lwm2m_version, r.objects, r.registered_at, r.updated_at, r.expires_at, r.is_secure, r.gateway,"
    " r.gateway_epoch FROM json_each(?1) h JOIN json_each(?2) p ON p.key = h.key"
    " JOIN registration r ON r.host = h.value AND r.port = p.value WHERE r.expires_at > ?3",
    postgres="SELECT r.registration_id, r.device_id, r.endpoint_name, r.host, r.port, r.lifetime_seconds, r.binding,"
    " r.queue_mode, r.lwm2m_version, r.objects, r.registered_at, r.updated_at, r.expires_at, r.is_secure, r.gateway,"
    " r.gateway_epoch FROM unnest(?1::text[], ?2::bigint[]) AS a (host, port)"
    " JOIN registration r ON r.host = a.host AND r.port = a.port WHERE r.expires_at > ?3",
)

# Who registered through secure sessions under these names.
SECURE_NAMED = differing(
    sqlite="SELECT r.registration_id, r.device_id, r.endpoint_name, r.host, r.port, r.lifetime_seconds, r.binding,"
    " r.queue_mode, r.lwm2m_version, r.objects, r.registered_at, r.updated_at, r.expires_at, r.is_secure, r.gateway,"
    " r.gateway_epoch FROM json_each(?1) n JOIN device d ON d.endpoint_name = n.value"
    " JOIN registration r ON r.device_id = d.device_id WHERE r.is_secure = 1 AND r.expires_at > ?2",
    postgres="SELECT r.registration_id, r.device_id, r.endpoint_name, r.host, r.port, r.lifetime_seconds, r.binding,"
    " r.queue_mode, r.lwm2m_version, r.objects, r.registered_at, r.updated_at, r.expires_at, r.is_secure, r.gateway,"
    " r.gateway_epoch FROM unnest(?1::text[]) AS n (value) JOIN device d ON d.endpoint_name = n.value"
    " JOIN registration r ON r.device_id = d.device_id WHERE r.is_secure = 1 AND r.expires_at > ?2",
)

# Whose registration ids are these, or go on from them in hexadecimal digits: g comes after the last of those. The plus
# keeps SQLite from walking through all that is live.
BEGINNING_WITH = differing(
    sqlite="SELECT r.registration_id, r.device_id, r.endpoint_name, r.host, r.port, r.lifetime_seconds, r.binding,"
    " r.queue_mode, r.lwm2m_version, r.objects, r.registered_at, r.updated_at, r.expires_at, r.is_secure, r.gateway,"
    " r.gateway_epoch FROM json_each(?1) b"
    " JOIN registration r ON r.registration_id >= b.value AND r.registration_id < b.value || 'g'"
    " WHERE +r.expires_at > ?2",
    postgres="SELECT r.registration_id, r.device_id, r.endpoint_name, r.host, r.port, r.lifetime_seconds, r.binding,"
    " r.queue_mode, r.lwm2m_version, r.objects, r.registered_at, r.updated_at, r.expires_at, r.is_secure, r.gateway,"
    " r.gateway_epoch FROM unnest(?1::text[]) AS b (value)"
    " JOIN registration r ON r.registration_id >= b.value AND r.registration_id < b.value || 'g'"
    " WHERE r.expires_at > ?2",
)


async def holders(tx: Transaction) -> list[GatewayId]:
    """Return everybody who holds any registration, live or not."""
    return [GatewayId(row[0]) for row in await tx.fetch(HOLDERS)]


async def some_held(tx: Transaction, gateway: GatewayId, limit: int) -> list[DeviceId]:
    """Return some of the devices that a gateway holds, whether their registrations are live or not."""
    return [DeviceId(row[0]) for row in await tx.fetch(SOME_HELD, gateway, limit)]


async def held_after(tx: Transaction, gateway: GatewayId, after: DeviceId, limit: int) -> list[DeviceId]:
    """Return the next devices that a gateway holds, in the order of their ids."""
    return [DeviceId(row[0]) for row in await tx.fetch(HELD_AFTER, gateway, after, limit)]


async def move(tx: Transaction, device_ids: Sequence[DeviceId], gateway: GatewayId) -> None:
    """Give the registrations of these devices to a gateway."""
    await tx.execute(MOVE, list(device_ids), gateway)


async def gateways_of(tx: Transaction, device_ids: Sequence[DeviceId], now: datetime) -> dict[DeviceId, GatewayId]:
    """Return who holds these devices; who has no live registration is absent."""
    rows = await tx.fetch(GATEWAYS_OF, list(device_ids), to_column(now))
    return {DeviceId(row[0]): GatewayId(row[1]) for row in rows}


async def at_addresses(tx: Transaction, addresses: Sequence[tuple[str, int]], now: datetime) -> list[Registration]:
    """Return the live registrations from these hosts and ports."""
    hosts, ports = [host for host, _ in addresses], [port for _, port in addresses]
    return [as_registration(row) for row in await tx.fetch(AT_ADDRESSES, hosts, ports, to_column(now))]


async def secure_named(tx: Transaction, names: Sequence[str], now: datetime) -> list[Registration]:
    """Return the live registrations of these endpoint names that came through secure sessions."""
    return [as_registration(row) for row in await tx.fetch(SECURE_NAMED, list(names), to_column(now))]


async def beginning_with(tx: Transaction, beginnings: Sequence[str], now: datetime) -> list[Registration]:
    """Return the live registrations whose ids are any of these, or go on from them in hexadecimal digits."""
    return [as_registration(row) for row in await tx.fetch(BEGINNING_WITH, list(beginnings), to_column(now))]
