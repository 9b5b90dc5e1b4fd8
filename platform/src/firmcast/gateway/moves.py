"""A device that another gateway holds by now is forgotten here, and its secure session here is ended, saying so.

The device no longer reaches this gateway by that session, or has another one already: told that it is over, it begins
anew with whoever hears it.
"""

from collections.abc import Collection, Mapping, Sequence

from firmcast.coap.udp import UdpEndpoint
from firmcast.devices.model import NOBODY, RegistrationMoved
from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.registration import RegistrationInterface
from firmcast.ids import DeviceId, GatewayId, RegistrationId

Standing = tuple[RegistrationId, int]
"""A registration of a device, and the epoch of this gateway's hold of it."""


class Moves:
    """Hears of registrations that changed hands, or ended, on whichever node."""

    def __init__(
        self,
        *,
        udp: UdpEndpoint,
        live: LiveDevices,
        registration: RegistrationInterface,
        metrics: GatewayMetrics,
        gateway_id: GatewayId,
    ) -> None:
        self._udp = udp
        self._live = live
        self._registration = registration
        self._metrics = metrics
        self._gateway_id = gateway_id

    def heard(self, moves: Sequence[RegistrationMoved]) -> None:
        """Forget what is another's; news that are older than what is known here change nothing."""
        for moved in moves:
            device = self._live.of(moved.device_id)
            if device is None or moved.gateway == self._gateway_id:
                continue
            if moved.gateway == NOBODY:
                if moved.registration_id == device.registration_id:
                    self._registration.forget(device)
            elif moved.epoch > device.epoch:
                self._gone(device)

    def standing(self) -> dict[DeviceId, Standing]:
        """Return what is held here, as far as is known."""
        return {device.device_id: _standing(device) for device in self._live}

    def keep_only(self, held: Collection[DeviceId], before: Mapping[DeviceId, Standing]) -> None:
        """Forget all other devices: this gateway has missed who took them.

        Those that came since it was found out what is held are not among it, and stay: `before` was the standing then.
        """
        for device in list(self._live):
            if device.device_id not in held and before.get(device.device_id) == _standing(device):
                self._gone(device)

    def _gone(self, device: LiveDevice) -> None:
        self._metrics.moved_out.value += 1
        self._registration.forget(device)
        self._udp.end_session(device.peer)


def _standing(device: LiveDevice) -> Standing:
    return device.registration_id, device.epoch
