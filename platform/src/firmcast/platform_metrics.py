"""All that a platform counts is declared here, each part's own with the part; `app.py` hands them out."""

from firmcast.clock import Clock
from firmcast.db.metrics import StoreMetrics
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.metrics import Metrics
from firmcast.nodes.metrics import NodeMetrics
from firmcast.push.metrics import PushMetrics
from firmcast.rest.metrics import HttpMetrics


class PlatformMetrics:
    """What each part counts with, and the whole of it."""

    def __init__(self, clock: Clock) -> None:
        """Declare everything."""
        self.all = Metrics()
        self.push = PushMetrics(self.all)
        self.store = StoreMetrics(self.all, clock.monotonic)
        self.node = NodeMetrics(self.all)
        self.gateway = GatewayMetrics(self.all)
        self.removed = self.all.counts(
            "firmcast_retention_removed", "Rows that were removed for their age, by what they were", "kind"
        )
        self.http = HttpMetrics(self.all, clock.monotonic)
