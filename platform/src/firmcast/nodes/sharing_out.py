"""Who should have what: partitions are shared out evenly, a duty goes to whoever asks first and stays with him.

Each node decides for itself from what it sees, takes only what is nobody's and gives back only what it has too much of.
So any number of nodes that see the same come to the same even state, and none ever takes from a living one.
"""

from dataclasses import dataclass

from firmcast.ids import PARTITIONS, NodeId
from firmcast.nodes.model import DUTIES, PARTITION_SHARES, Share, Standing
from firmcast.settings import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a node is to do next."""

    claims: tuple[Share, ...]
    """Take these, if they are still nobody's."""

    surplus: tuple[Share, ...]
    """Finish these and give them back."""


def plan(standing: Standing, node_id: NodeId) -> Plan:
    """Return what a node that is alive is to do."""
    node = standing.nodes[node_id]
    duties = tuple(duty for duty, role in DUTIES.items() if role in node.roles and _is_free(standing, duty))
    mine = [share for share in PARTITION_SHARES if _owner(standing, share) == node_id]
    if Role.PUSHER not in node.roles:
        return Plan(claims=duties, surplus=tuple(mine))  # of a life that retires
    pushers = sorted(other.node_id for other in standing.nodes.values() if Role.PUSHER in other.roles)
    most = -(-PARTITIONS // len(pushers))
    # Each begins elsewhere in the ring, so that nodes that come together do not all ask for the same.
    first = PARTITIONS * pushers.index(node_id) // len(pushers)
    ring = [*PARTITION_SHARES][first:] + [*PARTITION_SHARES][:first]
    free = [share for share in ring if _is_free(standing, share)]
    return Plan(claims=(*duties, *free[: max(0, most - len(mine))]), surplus=tuple(mine[most:]))


def _owner(standing: Standing, share: Share) -> NodeId | None:
    lease = standing.leases.get(share)
    return lease.node_id if lease is not None and lease.node_id in standing.nodes else None


def _is_free(standing: Standing, share: Share) -> bool:
    return _owner(standing, share) is None
