"""A gateway has a name of its own in each of its lives, and knows which others of its kind are alive.

Gateways of one site are one to the devices: a device reaches any of them, and each of them any device, at one address.
Where the store belongs to one process there is one gateway, and whatever is held by another name is its own.
"""

import socket
from collections.abc import Collection
from dataclasses import dataclass

from firmcast.db.port import Transaction
from firmcast.devices.holding import LivingGateways
from firmcast.devices.model import NOBODY
from firmcast.ids import GatewayId, new_gateway_id, new_hex, site_of
from firmcast.settings import GatewaySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """One life of a gateway among the others."""

    gateway_id: GatewayId
    living: LivingGateways
    """Returns the gateways that are alive, this one included."""
    is_alone: bool
    """There is no other gateway, and cannot be."""
    pause: float = 1.0
    """Seconds from one look for dead gateways to the next; who is not back by then is dead."""

    @classmethod
    def alone(cls) -> "Membership":
        """Return a new life of the only gateway."""
        gateway_id = new_gateway_id("")

        async def living(_tx: Transaction) -> Collection[GatewayId]:
            return (gateway_id,)

        return cls(gateway_id=gateway_id, living=living, is_alone=True)

    @classmethod
    def of(cls, site: str, living: LivingGateways, pause: float) -> "Membership":
        """Return a new life of one of several gateways, which looks for dead ones each `pause` seconds."""
        return cls(gateway_id=new_gateway_id(site), living=living, is_alone=False, pause=pause)

    def may_adopt(self, other: GatewayId) -> bool:
        """Tell whether a device of that gateway can be reached from here, so that it need not show itself first."""
        if other == self.gateway_id:
            return False
        return self.is_alone or other == NOBODY or site_of(other) == site_of(self.gateway_id)


def site_name(settings: GatewaySettings) -> str:
    """Return the site that the settings name, or else this machine's address for devices."""
    if settings.site:
        return settings.site
    ports = (settings.port, settings.secure_port_number if settings.secure else "")
    if 0 in ports:
        return new_hex()  # nobody else can be reached at an address that is not known before
    return f"{socket.gethostname()}:{settings.host}:{ports[0]}:{ports[1]}"
