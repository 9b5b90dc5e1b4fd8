"""Secure sessions of devices: the identity is the endpoint name, the key is the device's."""

from collections.abc import Callable, Sequence

import structlog

from firmcast.coap.dtls.layer import Deliver, Ended, Transmit
from firmcast.coap.dtls.parameters import DtlsParameters, HandshakeOutcome
from firmcast.coap.dtls.self_test import check_dtls
from firmcast.coap.dtls.server import DtlsServer
from firmcast.coap.events import Peer
from firmcast.coap.udp import UdpEndpoint
from firmcast.db.port import Database
from firmcast.devices.keys import DEVICE_KEYS_CHANGED
from firmcast.gateway.device_keys import DeviceKeys, OpenKey
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.sparing_log import SparingLog
from firmcast.settings import GatewaySettings

_log = structlog.get_logger()


class SecurePort:
    """The secure port of a gateway. Made by `open`."""

    def __init__(
        self,
        udp: UdpEndpoint,
        database: Database,
        open_key: OpenKey,
        metrics: GatewayMetrics,
        stray: Callable[[Peer], None] | None,
    ) -> None:
        self._udp = udp
        self._database = database
        self._metrics = metrics
        self._keys = DeviceKeys(database, open_key, self)
        self._stray = stray
        self._strangers = SparingLog()
        self._server: DtlsServer

    @classmethod
    async def open(
        cls,
        udp: UdpEndpoint,
        *,
        database: Database,
        open_key: OpenKey,
        settings: GatewaySettings,
        metrics: GatewayMetrics,
        stray: Callable[[Peer], None] | None = None,
    ) -> "SecurePort":
        """Listen for handshakes; `stray` is told the address of whoever speaks through a session that is not here.

        Raises:
            StartError: the installed OpenSSL does not do it.
            OSError: the address cannot be had.
        """
        check_dtls()
        self = cls(udp, database, open_key, metrics, stray)
        parameters = DtlsParameters(
            handshake_deadline=settings.handshake_limit.total_seconds(),
            half_open_limit=settings.half_open_limit,
            session_limit=settings.session_limit,
            idle_limit=settings.session_idle_limit.total_seconds(),
        )

        def make(deliver: Deliver, transmit: Transmit, ended: Ended) -> DtlsServer:
            self._server = DtlsServer(
                deliver=deliver,
                transmit=transmit,
                ended=ended,
                look_up=self._keys.look_up,
                count=self._count,
                stray=self._stray,
                parameters=parameters,
            )
            return self._server

        await udp.listen_securely(settings.host, settings.secure_port_number, make, reuse_port=settings.share_ports)
        metrics.secure_sessions.read = lambda: self._server.session_count
        metrics.half_open.read = lambda: self._server.half_open_count
        database.listen(DEVICE_KEYS_CHANGED, self._changed)
        return self

    async def stop(self) -> None:
        """Look no more keys up; the sessions end with the endpoint."""
        self._database.unlisten(DEVICE_KEYS_CHANGED, self._changed)
        await self._keys.stop()

    def missed(self) -> None:
        """Compare the keys of all sessions with the store's: that some were replaced may have gone unheard."""
        self._keys.look_again(self._server.identities())

    def key_found(self, identity: str, key: bytes | None) -> None:
        """Go on with the handshakes that wait for a key."""
        left_out = self._strangers.left_out_before(self._udp.now()) if key is None else None
        if left_out is not None:
            _log.warning("dtls.unknown_identity", identity=identity, left_out=left_out)
        self._server.key_found(identity, key, self._udp.now())
        self._udp.flush()

    def key_unknown(self, identity: str) -> None:
        """Give up the handshakes that wait for a key; their devices try again."""
        self._server.give_up(identity)
        self._udp.flush()

    def _changed(self, endpoint_names: Sequence[str]) -> None:
        self._keys.changed(endpoint_names)
        for name in endpoint_names:
            self._server.end_identity(name, self._udp.now())
        self._udp.flush()

    def _count(self, outcome: HandshakeOutcome) -> None:
        self._metrics.handshakes[outcome].value += 1
