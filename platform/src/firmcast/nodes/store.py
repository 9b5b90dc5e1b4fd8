"""The tables of nodes, which only PostgreSQL has; times in them are the database's own."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from firmcast.db.columns import from_column
from firmcast.db.port import Transaction
from firmcast.db.statement import Statement
from firmcast.ids import GatewayId, NodeId
from firmcast.nodes.model import Epoch, Lease, Node, Share
from firmcast.settings import Role

_CLAIMS_LOCK: Final = 0x6669726D63617374  # "firmcast"


def _postgres(sql: str) -> Statement:
    return Statement(sqlite="", postgres=sql)


# What the time is.
SELECT_TIME: Final = _postgres("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")

# A node begins to live; its time is counted by the clock of the database.
INSERT_NODE: Final = _postgres(
    "INSERT INTO node (node_id, name, roles, started_at, expires_at, gateway_id)"
    " SELECT ?1, ?2, ?3, moment, moment + ?4::bigint, ?5"
    " FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS moment) AS clock"
)

# It lives on, unless the others have given it up.
RENEW_NODE: Final = _postgres(
    "UPDATE node SET expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + ?2::bigint"
    " WHERE node_id = ?1"
)

# It is about to end: it lives on without anything that is to be done.
RETIRE_NODE: Final = _postgres("UPDATE node SET roles = '' WHERE node_id = ?1")

# Those whose time is over; one whose last write is under way is left to the next look.
DELETE_EXPIRED: Final = _postgres(
    "DELETE FROM node WHERE node_id IN (SELECT node_id FROM node"
    " WHERE expires_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FOR UPDATE SKIP LOCKED)"
    " RETURNING name"
)

# A node ends.
DELETE_NODE: Final = _postgres("DELETE FROM node WHERE node_id = ?1")

# Who is alive.
SELECT_NODES: Final = _postgres("SELECT node_id, name, roles FROM node")

# Whose gateways are alive.
SELECT_GATEWAYS: Final = _postgres("SELECT gateway_id FROM node WHERE gateway_id <> ''")

# Who has what.
SELECT_LEASES: Final = _postgres("SELECT share, node_id, epoch FROM lease")

# One claim at a time: one that waited for a lease would not see that its new owner has a row, and take it from him.
TRY_CLAIMS: Final = _postgres("SELECT pg_try_advisory_xact_lock(?1::bigint)")

# Take what is nobody's: never from a node that has a row, so that row is what every write of its owner holds fast.
CLAIM: Final = _postgres(
    "INSERT INTO lease (share, node_id, epoch) SELECT share, ?1, 1 FROM unnest(?2::text[]) AS wanted (share)"
    " ORDER BY share"
    " ON CONFLICT (share) DO UPDATE SET node_id = excluded.node_id, epoch = lease.epoch + 1"
    " WHERE NOT EXISTS (SELECT FROM node WHERE node.node_id = lease.node_id)"
    " RETURNING share, epoch"
)

# Give back what is ours.
RELEASE: Final = _postgres("UPDATE lease SET node_id = '' WHERE node_id = ?1 AND share = ANY(?2::text[])")

# Under which epochs has this node these shares, if it may still write? While its row is held nobody can end the node,
# and so nobody can take its shares.
HOLD: Final = _postgres(
    "SELECT lease.share, lease.epoch FROM node JOIN lease ON lease.node_id = node.node_id"
    " WHERE node.node_id = ?1 AND lease.share = ANY(?2::text[]) FOR KEY SHARE OF node"
)


async def time(tx: Transaction) -> datetime:
    """Return the time of the database."""
    row = await tx.fetch_row(SELECT_TIME)
    assert row is not None
    return from_column(row[0])


async def insert_node(tx: Transaction, node: Node, life: timedelta) -> None:
    """Let a node begin to live."""
    roles = ",".join(sorted(node.roles))
    await tx.execute(INSERT_NODE, node.node_id, node.name, roles, _microseconds(life), node.gateway_id or "")


async def renew_node(tx: Transaction, node_id: NodeId, life: timedelta) -> bool:
    """Let a node live for so long from now on; return False when it was given up."""
    return await tx.execute(RENEW_NODE, node_id, _microseconds(life)) == 1


async def retire_node(tx: Transaction, node_id: NodeId) -> None:
    """Have a node be given nothing more to do."""
    await tx.execute(RETIRE_NODE, node_id)


async def delete_expired(tx: Transaction) -> list[str]:
    """Give up the nodes whose time is over, and return their names."""
    return [row[0] for row in await tx.fetch(DELETE_EXPIRED)]


async def delete_node(tx: Transaction, node_id: NodeId) -> None:
    """End a node."""
    await tx.execute(DELETE_NODE, node_id)


async def nodes(tx: Transaction) -> list[Node]:
    """Return those that are alive."""
    return [Node(node_id=NodeId(row[0]), name=row[1], roles=_roles(row[2])) for row in await tx.fetch(SELECT_NODES)]


async def gateways(tx: Transaction) -> frozenset[GatewayId]:
    """Return the gateways of those that are alive."""
    return frozenset(GatewayId(row[0]) for row in await tx.fetch(SELECT_GATEWAYS))


async def leases(tx: Transaction) -> dict[Share, Lease]:
    """Return the last known hands of each share."""
    return {Share(row[0]): Lease(node_id=NodeId(row[1]), epoch=Epoch(row[2])) for row in await tx.fetch(SELECT_LEASES)}


async def claim(tx: Transaction, node_id: NodeId, shares: Sequence[Share]) -> dict[Share, Epoch]:
    """Take what is nobody's of these shares; return what was got, which is nothing while another one claims."""
    if await tx.fetch(TRY_CLAIMS, _CLAIMS_LOCK) != [(True,)]:
        return {}
    return {Share(row[0]): Epoch(row[1]) for row in await tx.fetch(CLAIM, node_id, list(shares))}


async def release(tx: Transaction, node_id: NodeId, shares: Collection[Share]) -> None:
    """Make shares of a node nobody's."""
    await tx.execute(RELEASE, node_id, list(shares))


async def hold(tx: Transaction, node_id: NodeId, shares: Collection[Share]) -> dict[Share, Epoch]:
    """Return under which epochs a node has these shares, and keep it so until the transaction ends."""
    return {Share(row[0]): Epoch(row[1]) for row in await tx.fetch(HOLD, node_id, list(shares))}


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def _roles(text: str) -> frozenset[Role]:
    """Return the roles that this release knows of."""
    known = {role.value for role in Role}
    return frozenset(Role(role) for role in text.split(",") if role in known)
