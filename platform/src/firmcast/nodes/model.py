"""A node is one life of one process; a share of the work is one node's at a time, under an epoch that only grows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NewType

from firmcast.ids import PARTITIONS, GatewayId, NodeId, Partition
from firmcast.settings import Role

Share = NewType("Share", str)
"""Names what one node does and no other: a partition of the devices, or a duty."""

Epoch = NewType("Epoch", int)
"""Counts the hands that a share went through; whoever writes for it must know the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as the others see it."""

    node_id: NodeId
    name: str
    """For people, such as the host and the process; says nothing to the platform."""

    roles: frozenset[Role]

    gateway_id: GatewayId | None = None
    """The gateway of its process, which stays the same when the node begins another life; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who has a share; a node that is not alive has lost it."""

    node_id: NodeId
    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All nodes that are alive, and what each share's last known hands are."""

    nodes: Mapping[NodeId, Node]
    leases: Mapping[Share, Lease]


UPGRADES: Final = Share("upgrades")
"""Deadlines of device upgrades, and of first registrations."""

HOUSEKEEPING: Final = Share("housekeeping")
"""What removes what is no longer kept."""

REPLAYS: Final = Share("replays")

DUTIES: Final[Mapping[Share, Role]] = {UPGRADES: Role.GATEWAY, HOUSEKEEPING: Role.PUSHER, REPLAYS: Role.PUSHER}
"""Shares that are not divided, each with the role that may have it."""


def share_of(partition: Partition) -> Share:
    """Return the share that a partition is."""
    return Share(f"partition-{partition}")


PARTITION_SHARES: Final = {share_of(Partition(number)): Partition(number) for number in range(PARTITIONS)}
