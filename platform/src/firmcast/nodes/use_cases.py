"""What nodes do to each other: live, take what is nobody's, give back, and prove in a write that a share is theirs.

These run read committed (`write_urgently`, `write_apart`): they lock what they decide upon.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from firmcast.db.port import Transaction
from firmcast.ids import GatewayId, NodeId
from firmcast.nodes import store
from firmcast.nodes.model import Epoch, Node, Share, Standing


async def time(tx: Transaction) -> datetime:
    """Return the time that all nodes go by: the database's, whatever their own clocks say."""
    return await store.time(tx)


async def begin(tx: Transaction, node: Node, life: timedelta) -> None:
    """Let a node begin to live; it must renew within `life`."""
    await store.insert_node(tx, node, life)


async def renew(tx: Transaction, node_id: NodeId, life: timedelta) -> bool:
    """Let a node live on for `life`; return False when the others have given it up."""
    return await store.renew_node(tx, node_id, life)


async def look(tx: Transaction) -> tuple[Standing, list[str]]:
    """Give up nodes whose time is over; return how things stand then, and the names of those given up."""
    given_up = await store.delete_expired(tx)
    alive = {node.node_id: node for node in await store.nodes(tx)}
    return Standing(nodes=alive, leases=await store.leases(tx)), given_up


async def gateways(tx: Transaction) -> frozenset[GatewayId]:
    """Return the gateways whose nodes nobody has given up; each other one is dead, or is taken for it."""
    return await store.gateways(tx)


async def claim(tx: Transaction, node_id: NodeId, shares: Sequence[Share]) -> dict[Share, Epoch]:
    """Take those shares that are nobody's; return what was got, each with its new epoch."""
    return await store.claim(tx, node_id, shares)


async def release(tx: Transaction, node_id: NodeId, shares: Collection[Share]) -> None:
    """Give back shares."""
    await store.release(tx, node_id, shares)


async def retire(tx: Transaction, node_id: NodeId) -> None:
    """Have others do what a node did: it is alive until it has finished, and takes nothing any more."""
    await store.retire_node(tx, node_id)


async def end(tx: Transaction, node_id: NodeId) -> None:
    """End a node; what it had is nobody's."""
    await store.delete_node(tx, node_id)


async def still_held(
    tx: Transaction, node_id: NodeId, claimed: Collection[tuple[Share, Epoch]]
) -> frozenset[tuple[Share, Epoch]]:
    """Return which of these shares the node has under these very epochs; they stay its until the transaction ends."""
    present = await store.hold(tx, node_id, {share for share, _ in claimed})
    return frozenset(held for held in claimed if present.get(held[0]) == held[1])
