"""How long each phase may take is data that is handed to the rules; none of them knows a duration by itself."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from firmcast.settings import UpgradeSettings
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
    prefer_write: bool

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


def limits_of(settings: UpgradeSettings) -> Limits:
    """Return the limits that an operator set; a duration of nothing becomes the shortest there is."""
    return Limits(
        waiting=max(settings.waiting_limit, _SHORTEST),
        inspecting=max(settings.inspecting_limit, _SHORTEST),
        transferring=max(settings.transferring_limit, _SHORTEST),
        executing=max(settings.executing_limit, _SHORTEST),
        verifying=max(settings.verifying_limit, _SHORTEST),
        probe=max(settings.probe_limit, _SHORTEST),
        deferral_pause=max(settings.deferral_pause, _SHORTEST),
        deferral=max(settings.deferral_limit, _SHORTEST),
        prefer_write=settings.prefer_write,
    )
