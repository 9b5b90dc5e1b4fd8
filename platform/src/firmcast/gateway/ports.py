"""Which ports a gateway has: one for devices with a key, and one in clear only where the settings let it be.

Who reaches the port in clear may speak in the name of any device, so by default nobody else than this machine does.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from firmcast.coap.events import Peer
from firmcast.coap.udp import UdpEndpoint
from firmcast.db.port import Database
from firmcast.errors import StartError
from firmcast.gateway.addresses import PackageAddresses, is_loopback
from firmcast.gateway.device_keys import OpenKey
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.secure_port import SecurePort
from firmcast.settings import GatewaySettings

_NOBODY_SERVED: Final = (
    "no device could be served: gateway.secure is false, and gateway.nosec does not allow devices without a key there"
)
_log = structlog.get_logger()


def serves_in_clear(settings: GatewaySettings) -> bool:
    """Tell whether devices without a key are served."""
    return settings.nosec == "always" or (settings.nosec == "local" and is_loopback(settings.host))


async def open_ports(
    udp: UdpEndpoint,
    *,
    database: Database,
    open_key: OpenKey | None,
    settings: GatewaySettings,
    metrics: GatewayMetrics,
    stray: Callable[[Peer], None] | None = None,
) -> SecurePort | None:
    """Listen as the settings say; without `open_key` there are no secure sessions.

    `stray` is told the address of whoever speaks through a secure session that is not here.

    Raises:
        StartError: an address cannot be had, no device could be served, or OpenSSL does not do what sessions need.
    """
    in_clear = serves_in_clear(settings)
    secure = settings.secure and open_key is not None
    if not in_clear and not secure:
        raise StartError(_NOBODY_SERVED)
    if settings.nosec == "local" and not in_clear:
        advice = "others reach this address: devices without a key are served here if gateway.nosec is always"
        _log.info("gateway.no_port_in_clear", host=settings.host, advice=advice)
    if in_clear:
        with _told(settings.host, settings.port):
            await udp.listen(settings.host, settings.port, reuse_port=settings.share_ports)
    if not secure or open_key is None:
        return None
    with _told(settings.host, settings.secure_port_number):
        return await SecurePort.open(
            udp, database=database, open_key=open_key, settings=settings, metrics=metrics, stray=stray
        )


@contextmanager
def _told(host: str, port: int) -> Iterator[None]:
    """Say which address cannot be had."""
    try:
        yield
    except OSError as error:
        message = f"cannot listen for devices on {host}:{port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            message += "; gateways of one platform share it if gateway.share_ports is true for all of them"
        raise StartError(message) from error


def package_addresses(udp: UdpEndpoint, settings: GatewaySettings) -> PackageAddresses:
    """Return the addresses of packages at these ports."""
    bound_host, port = udp.address[:2]
    secure_port = port if udp.secure_address is None else udp.secure_address[1]
    return PackageAddresses(
        public_host=settings.public_host,
        bound_host=bound_host,
        port=port,
        secure_port=secure_port,
        package_url=settings.package_url,
    )
