"""What the gateway tells of itself."""

from firmcast.metrics import Metrics


class GatewayMetrics:
    """The counts and gauges of one gateway."""

    def __init__(self, metrics: Metrics) -> None:
        """Declare them."""
        registrations = metrics.counts(
            "firmcast_gateway_registrations",
            "Requests of devices about their registration that were carried out, and registrations that ran out, by"
            " what it was (made, updated, ended, expired), and those refused by why (unknown, malformed, unwritten)",
            "outcome",
        )
        self.made = registrations.of("made")
        self.updated = registrations.of("updated")
        self.ended = registrations.of("ended")
        self.expired = registrations.of("expired")
        self.unknown = registrations.of("unknown")
        self.malformed = registrations.of("malformed")
        self.unwritten = registrations.of("unwritten")
        self.live = metrics.gauge("firmcast_gateway_live_devices", "Devices whose registration this node holds")
        self.waiting = metrics.gauge(
            "firmcast_gateway_waiting_reports", "Reports and registrations that wait to be written"
        )
        self.sessions = metrics.gauge("firmcast_gateway_sessions", "Devices that orders are being carried out with")
