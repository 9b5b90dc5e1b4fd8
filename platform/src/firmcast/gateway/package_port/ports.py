"""Which package ports there are: by HTTP, by HTTPS, both, or none unless the settings name one."""

import ssl
from pathlib import Path
from typing import Final

import structlog

from firmcast.errors import StartError
from firmcast.gateway.addresses import PackageAddresses
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.package_port.application import PackageApplication
from firmcast.gateway.package_port.connections import SEND_BUFFER, Places
from firmcast.gateway.transfers import Transfers
from firmcast.lwm2m.firmware_update import Protocol
from firmcast.rest.handshakes import HandshakeEnd, Handshakes, open_files, places
from firmcast.rest.server import HttpsServer
from firmcast.settings import GatewaySettings

_KEEP_ALIVE_SECONDS: Final = 15
_log = structlog.get_logger()
_NO_CERTIFICATE: Final = "gateway.package_secure_port needs a certificate"


def _wants_ports(settings: GatewaySettings) -> bool:
    """Tell whether packages are to be served at a port of their own."""
    return settings.package_port is not None or settings.package_secure_port is not None


def _connections(wanted: int) -> int:
    """Return how many connections there may be: so many that files and sockets are left for the store and all else."""
    files = open_files()
    if files is None or wanted <= files // 2:
        return wanted
    _log.warning("packages.fewer_connections", wanted=wanted, connections=files // 2, advice="raise `ulimit -n`")
    return files // 2


def _handshakes(settings: GatewaySettings, metrics: GatewayMetrics) -> Handshakes:
    """Return the bounds of handshakes: they have files besides those of connections, and leave some to all else."""

    def count(end: HandshakeEnd) -> None:
        metrics.package_handshakes[end].value += 1

    limit = places(settings.package_handshakes, share=4)
    return Handshakes(limit=limit, deadline=settings.package_handshake_patience.total_seconds(), count=count)


class PackagePorts:
    """The open ports. Made by `open`."""

    def __init__(self, places: Places, handshakes: Handshakes, *, share_ports: bool) -> None:
        self._places = places
        self._handshakes = handshakes
        self._share_ports = share_ports
        self._servers: dict[Protocol, HttpsServer] = {}

    @classmethod
    async def open(
        cls,
        transfers: Transfers,
        addresses: PackageAddresses,
        *,
        settings: GatewaySettings,
        certificate: tuple[Path, Path] | None,
        metrics: GatewayMetrics,
    ) -> "PackagePorts":
        """Listen as the settings say and note in `addresses` where; `certificate` is a PEM chain and its key.

        Raises:
            StartError: an address cannot be had, or HTTPS has no certificate that can be used.
        """
        places = Places(
            _connections(settings.package_connections) if _wants_ports(settings) else 0, metrics.package_no_place
        )
        application = PackageApplication(transfers, metrics, patience=settings.package_patience.total_seconds())
        metrics.package_connections.read = lambda: len(places.taken)
        self = cls(places, _handshakes(settings, metrics), share_ports=settings.share_ports)
        try:
            if settings.package_port is not None:
                await self._listen(application, Protocol.HTTP, settings.host, settings.package_port, None)
            if settings.package_secure_port is not None:
                await self._listen(
                    application, Protocol.HTTPS, settings.host, settings.package_secure_port, certificate
                )
        except BaseException:
            await self.stop()
            raise
        for protocol, server in self._servers.items():
            addresses.add(protocol, server.address[1])
        return self

    def url(self, protocol: Protocol) -> str | None:
        """Return where packages are fetched by a protocol; None for nowhere."""
        server = self._servers.get(protocol)
        return None if server is None else server.url

    async def stop(self) -> None:
        """Break off what is under way, and stop listening."""
        self._places.close()
        for server in self._servers.values():
            await server.stop()

    async def _listen(
        self,
        application: PackageApplication,
        protocol: Protocol,
        host: str,
        port: int,
        files: tuple[Path, Path] | None,
    ) -> None:
        certificate, key = files or (None, None)
        if protocol is Protocol.HTTPS and files is None:
            raise StartError(_NO_CERTIFICATE)
        try:
            self._servers[protocol] = await HttpsServer.start(
                application.asgi,
                host=host,
                port=port,
                certificate=certificate,
                key=key,
                protocol=self._places.protocol(),
                keep_alive=_KEEP_ALIVE_SECONDS,
                send_buffer=SEND_BUFFER,
                reuse_port=self._share_ports,
                handshakes=self._handshakes if protocol is Protocol.HTTPS else None,
            )
        except (ssl.SSLError, FileNotFoundError) as error:
            message = f"the certificate for packages or its key cannot be used: {error}"
            raise StartError(message) from error
