"""How long each phase may take is data that is handed to the rules; none of them knows a duration by itself."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from firmcast.lwm2m.firmware_update import Protocol
from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.model import UpgradePhase

_SHORTEST: Final = timedelta(milliseconds=1)
_CHECKS_IN_A_PHASE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The durations and choices of UpgradeSettings that the rules use; every duration is positive."""

    waiting: timedelta
    inspecting: timedelta
    transferring: timedelta
    executing: timedelta
    verifying: timedelta
    probe: timedelta
    deferral_pause: timedelta
    deferral: timedelta
    awake: timedelta
    """How long a device in queue mode listens after it was heard."""
    sleeping: timedelta
    """How long in all a device may sleep within a phase before its time runs on."""
    prefer_write: bool
    fetching: timedelta = timedelta(minutes=5)
    """How long a device that took the address of its package may ask for no byte, where it has another way."""
    ways_remembered: timedelta = timedelta(days=30)
    """How long a way for packages that a device did not take is tried last."""
    protocols: tuple[Protocol, ...] = (Protocol.COAPS, Protocol.COAP)
    """By which packages are served and may be fetched, the most wanted first."""
    http_from: int = 0
    """Bytes: a smaller package goes by HTTP or HTTPS only to a device that takes it by no CoAP."""
    http_in_clear: bool = False
    """A device with a secure session that lists no secure way for packages is offered them by HTTP."""
    fetches_in_turn: bool = False
    """A device may have to wait for its turn until it is given the address of its package."""
    new_version_required: bool = False
    """Success is not believed of a device that tells the version from before."""

    def of(self, phase: UpgradePhase) -> timedelta:
        """Return how long `phase` may take; nothing for the two that have no time of their own."""
        match phase:
            case UpgradePhase.WAITING:
                return self.waiting
            case UpgradePhase.INSPECTING:
                return self.inspecting
            case UpgradePhase.TRANSFERRING:
                return self.transferring
            case UpgradePhase.EXECUTING:
                return self.executing
            case UpgradePhase.VERIFYING:
                return self.verifying
            case UpgradePhase.SCHEDULED | UpgradePhase.CLOSED:
                return timedelta(0)
            case _:
                assert_never(phase)

    def between_checks(self, phase: UpgradePhase) -> timedelta:
        """Return how long a device may be silent before it is asked, since notifications are lost at times."""
        return max(self.probe, self.of(phase) / _CHECKS_IN_A_PHASE)


def limits_of(settings: UpgradeSettings, gateway: GatewaySettings | None = None) -> Limits:
    """Return the limits that an operator set, for devices of such a gateway.

    A duration of nothing becomes the shortest there is.
    """
    gateway = GatewaySettings() if gateway is None else gateway
    served = _served(gateway)
    return Limits(
        waiting=max(settings.waiting_limit, _SHORTEST),
        inspecting=max(settings.inspecting_limit, _SHORTEST),
        transferring=max(settings.transferring_limit, _SHORTEST),
        fetching=max(settings.fetching_limit, _SHORTEST),
        ways_remembered=settings.ways_remembered,
        executing=max(settings.executing_limit, _SHORTEST),
        verifying=max(settings.verifying_limit, _SHORTEST),
        probe=max(settings.probe_limit, _SHORTEST),
        deferral_pause=max(settings.deferral_pause, _SHORTEST),
        deferral=max(settings.deferral_limit, _SHORTEST),
        awake=max(settings.awake_window, _SHORTEST),
        sleeping=max(settings.sleeping_limit, _SHORTEST),
        prefer_write=settings.prefer_write,
        protocols=tuple(protocol for name in settings.protocols if (protocol := Protocol[name.upper()]) in served),
        http_from=settings.http_from,
        http_in_clear=settings.http_in_clear,
        fetches_in_turn=gateway.fetch_limit > 0,
        new_version_required=settings.new_version_required,
    )


def _served(settings: GatewaySettings) -> set[Protocol]:
    """Return by what devices can fetch packages; which CoAP it is depends on how a device is reached."""
    served = {Protocol.COAP, Protocol.COAPS}
    if settings.package_url:
        served.add(Protocol[settings.package_url.partition(":")[0].upper()])
        return served
    if settings.package_port is not None:
        served.add(Protocol.HTTP)
    if settings.package_secure_port is not None:
        served.add(Protocol.HTTPS)
    return served
