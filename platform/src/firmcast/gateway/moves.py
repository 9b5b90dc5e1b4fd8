"""A device that another gateway holds by now is forgotten here, and its secure session here is ended, saying so.

The device no longer reaches this gateway by that session, or has another one already: told that it is over, it begins
anew with whoever hears it.
"""

from collections.abc import Collection, Sequence

from firmcast.coap.udp import UdpEndpoint
from firmcast.devices.model import NOBODY, RegistrationMoved
from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.registration import RegistrationInterface
from firmcast.ids import DeviceId, GatewayId


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

    def keep_only(self, held: Collection[DeviceId]) -> None:
        """Forget all other devices: this gateway has missed who took them."""
        for device in list(self._live):
            if device.device_id not in held:
                self._gone(device)

    def _gone(self, device: LiveDevice) -> None:
        self._metrics.moved_out.value += 1
        self._registration.forget(device)
        self._udp.end_session(device.peer)
