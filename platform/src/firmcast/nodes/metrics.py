"""What a node tells of its own life and of its shares."""

from firmcast.metrics import Metrics
from firmcast.nodes.keeper import Keeper


class NodeMetrics:
    """Where a node shares its store with others; nothing of it is told where there are none."""

    def __init__(self, metrics: Metrics) -> None:
        """Declare all of it."""
        self.alive = metrics.gauge(
            "firmcast_node_alive", "Nodes that were alive when this one looked last, itself included (PostgreSQL)"
        )
        self.shares = metrics.gauge("firmcast_node_shares", "Partitions and duties that this node has (PostgreSQL)")
        self.lost = metrics.gauge(
            "firmcast_node_lives_lost", "How often the others gave this node up since its start (PostgreSQL)"
        )

    def show(self, keeper: Keeper) -> None:
        """Tell of the node that `keeper` keeps alive."""
        self.alive.read = lambda: keeper.nodes_alive
        self.shares.read = lambda: keeper.shares_held
        self.lost.read = lambda: keeper.lives_lost
