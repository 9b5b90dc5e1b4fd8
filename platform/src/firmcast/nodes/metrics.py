"""What a node tells of its own life and of its shares."""

from firmcast.metrics import Metrics
from firmcast.nodes.keeper import Keeper


def show(keeper: Keeper, metrics: Metrics) -> None:
    """Tell of the node that `keeper` keeps alive."""
    alive = metrics.gauge("firmcast_node_alive", "Nodes that were alive when this one looked last, itself included")
    alive.read = lambda: keeper.nodes_alive
    shares = metrics.gauge("firmcast_node_shares", "Partitions and duties that this node has")
    shares.read = lambda: keeper.shares_held
    lost = metrics.gauge("firmcast_node_lives_lost", "How often the others gave this node up since its start")
    lost.read = lambda: keeper.lives_lost
