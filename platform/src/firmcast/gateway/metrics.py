"""What the gateway tells of itself."""

from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.metrics import Metrics
from firmcast.rest.handshakes import HandshakeEnd


class GatewayMetrics:
    """The counts and gauges of one gateway."""

    def __init__(self, metrics: Metrics) -> None:
        """Declare them."""
        registrations = metrics.counts(
            "firmcast_gateway_registrations",
            "Requests of devices about their registration that were carried out, and registrations that ran out, by"
            " what it was (made, updated, ended, expired), and those refused by why (unknown, malformed, unwritten,"
            " foreign: of another identity than the session's)",
            "outcome",
        )
        self.made = registrations.of("made")
        self.updated = registrations.of("updated")
        self.ended = registrations.of("ended")
        self.expired = registrations.of("expired")
        self.unknown = registrations.of("unknown")
        self.malformed = registrations.of("malformed")
        self.unwritten = registrations.of("unwritten")
        self.foreign = registrations.of("foreign")
        handshakes = metrics.counts(
            "firmcast_gateway_handshakes",
            "Handshakes of secure sessions, by what became of them (completed, unknown_identity, stalled, crowded_out,"
            " replaced, revoked, failed); hellos answered by a cookie (challenged) and datagrams of no session (stray)",
            "outcome",
        )
        self.handshakes = {outcome: handshakes.of(outcome.value) for outcome in HandshakeOutcome}
        self.datagrams = metrics.read_counts(
            "firmcast_gateway_datagrams",
            "CoAP datagrams of devices (received), those of them that are no CoAP (malformed) or came again (repeated),"
            " requests turned away for what their sender has under way (refused) or for their size (too_large);"
            " messages of ours that were sent again (retransmitted) or never acknowledged (given_up); and what was"
            " kept back, since it is more than three times what came from an address that may be false (withheld)",
            "outcome",
        )
        self.secure_sessions = metrics.gauge("firmcast_gateway_secure_sessions", "Secure sessions of devices")
        self.half_open = metrics.gauge("firmcast_gateway_half_open_handshakes", "Handshakes under way")
        self.live = metrics.gauge("firmcast_gateway_live_devices", "Devices whose registration this node holds")
        moves = metrics.counts(
            "firmcast_gateway_moves",
            "Devices that came from another gateway since they showed themselves here (in), that went to another one"
            " (out), or whose gateway was dead (adopted)",
            "direction",
        )
        self.moved_in = moves.of("in")
        self.moved_out = moves.of("out")
        self.adopted = moves.of("adopted")
        self.waiting = metrics.gauge(
            "firmcast_gateway_waiting_reports", "Reports and registrations that wait to be written"
        )
        self.sessions = metrics.gauge("firmcast_gateway_sessions", "Devices that orders are being carried out with")
        unanswered = metrics.counts(
            "firmcast_gateway_unanswered_requests",
            "Requests to devices that were given up without an answer, by why: the device, in queue mode, had fallen"
            " asleep (asleep), or answers nothing (silent)",
            "reason",
        )
        self.asleep, self.silent = unanswered.of("asleep"), unanswered.of("silent")
        self._declare_packages(metrics)

    def _declare_packages(self, metrics: Metrics) -> None:
        self.package_requests = metrics.counts(
            "firmcast_gateway_package_requests",
            "Requests for packages by HTTP and HTTPS, by what was answered: whole, part (206), unchanged (304), changed"
            " (412), unsatisfiable (416), unknown (404), unreadable (500), unavailable (503)",
            "outcome",
        )
        self.package_connections = metrics.gauge(
            "firmcast_gateway_package_connections", "Connections of devices that fetch packages by HTTP and HTTPS"
        )
        refusals = metrics.counts(
            "firmcast_gateway_package_refusals",
            "Connections for packages that came to nothing, by why: no place was left (no_place), their handshake had"
            " not ended in time (stalled), was given up for a newer one (crowded_out) or was none (failed)",
            "reason",
        )
        self.package_handshakes = {end: refusals.of(end.value) for end in HandshakeEnd}
        self.package_no_place = refusals.of("no_place")

    def count_unanswered(self, is_asleep: bool) -> None:
        """Count a request that a device has left unanswered, whether it had fallen asleep or not."""
        (self.asleep if is_asleep else self.silent).value += 1
