"""A turn is one input on its way through the rules: the rules say what changes, and nothing is done before it ends."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from firmcast.devices.model import CommandKind
from firmcast.events.model import Fact, FirmwareStateChanged, FirmwareUpgradeEnded, Outcome
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceUpgrade, Input, ResourcesReported, Tally, UpgradePhase
from firmcast.upgrades.rules.evidence import Verdict, weigh
from firmcast.upgrades.rules.ladder import DOWNLOADED, DOWNLOADING, IDLE, UPDATING, way, way_through_updating

READS: Final = (CommandKind.INSPECT, CommandKind.PROBE)
"""The orders after whose answer state and result are known."""

TRANSFERS: Final = (CommandKind.TRANSFER_BY_URI, CommandKind.TRANSFER_BY_WRITE)

_ENDED_BADLY: Final = (Tally.FAILED, Tally.TIMED_OUT)
LEFT_ALONE_LIMIT: Final = 10
"""So often an upgrade has new time since the gateway of its device was dead."""

_INSTALLING: Final = (UpgradePhase.EXECUTING, UpgradePhase.VERIFYING)


class PublishedFact(msgspec.Struct, frozen=True, gc=False):
    """A fact for the log; `synthesised` when it follows from what was observed but was not."""

    fact: Fact
    synthesised: bool


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is to be done about one input."""

    upgrade: DeviceUpgrade
    command: CommandKind | None = None
    """An order for the device, in the place of any that waits."""
    withdraw: bool = False
    """True when the order that waits must not be carried out any more."""
    facts: tuple[PublishedFact, ...] = ()
    heard: Input | None = None
    """What it is about; None where the device was in another upgrade."""


class Turn:
    """Gathers what one input changes."""

    __slots__ = ("_command", "_facts", "_withdraw", "at", "limits", "upgrade")

    def __init__(self, upgrade: DeviceUpgrade, at: datetime, limits: Limits) -> None:
        """Begin with `upgrade` as it is at the time `at`."""
        self.upgrade = upgrade
        self.at = at
        self.limits = limits
        self._command: CommandKind | None = None
        self._withdraw = False
        self._facts: list[PublishedFact] = []

    def decision(self) -> Decision:
        """Return what was gathered."""
        return Decision(upgrade=self.upgrade, command=self._command, withdraw=self._withdraw, facts=tuple(self._facts))

    @property
    def is_closed(self) -> bool:
        """True when this turn, or an earlier one, has closed the upgrade."""
        return self.upgrade.phase is UpgradePhase.CLOSED

    @property
    def time_is_up(self) -> bool:
        """True when the phase has had all its time."""
        ends_at = self.upgrade.phase_ends_at
        return ends_at is not None and self.at >= ends_at

    @property
    def window_is_over(self) -> bool:
        """True when the task has a window and nothing may begin any more: no transfer, no installation."""
        window_end = self.upgrade.window_end
        return window_end is not None and self.at >= window_end

    # ------------------------------------------------------------------ records

    def change(self, **changes: Any) -> None:
        """Change fields of the upgrade."""
        self.upgrade = replace(self.upgrade, **changes)

    def note(self, **changes: Any) -> None:
        """Change fields of its evidence."""
        self.change(evidence=replace(self.upgrade.evidence, **changes))

    def weigh(self, told: ResourcesReported) -> None:
        """Add what the device told to what is known of it."""
        self.change(evidence=weigh(self.upgrade.evidence, told))
        if told.firmware_version is not None:
            self.change(current_version=told.firmware_version)

    # ------------------------------------------------------------------ orders

    def order(self, kind: CommandKind) -> None:
        """Order something of the device, in the place of whatever was ordered before."""
        self._command, self._withdraw = kind, False
        self.change(command_id=None, command_kind=kind)

    def withdraw(self) -> None:
        """Let nothing wait for the device."""
        self._command, self._withdraw = None, True
        self.change(command_id=None, command_kind=None)

    def finish_order(self) -> None:
        """Note that the order was answered, or came to nothing; whoever reports that removes it."""
        self.change(command_id=None, command_kind=None)

    def ask(self) -> None:
        """Have state and result read together, unless that is on its way already."""
        if self.upgrade.command_kind not in READS:
            self.order(CommandKind.PROBE)
        if not self.upgrade.probed:
            self.arm(self.limits.probe)

    # ------------------------------------------------------------------ time

    def enter(self, phase: UpgradePhase, ends_at: datetime | None = None) -> None:
        """Go to a phase, which ends at `ends_at`, or else after its limit; at the window's end unless it installs."""
        ends_at = self._within_window(phase, self.at + self.limits.of(phase) if ends_at is None else ends_at)
        goes_on = phase in _INSTALLING and self.upgrade.phase in _INSTALLING
        slept = self.upgrade.evidence.slept if goes_on else timedelta(0)
        waits = phase in (UpgradePhase.SCHEDULED, UpgradePhase.WAITING)
        tally = Tally.WAITING if waits else Tally.PROCESSING
        self.change(phase=phase, tally=tally, phase_ends_at=ends_at, deadline_at=ends_at, probed=False)
        self.note(asleep_since=None, slept=slept)

    def put_off_end(self, ends_at: datetime) -> None:
        """Have the phase end at `ends_at`; still at the window's end unless it installs."""
        self.change(phase_ends_at=self._within_window(self.upgrade.phase, ends_at))

    def _within_window(self, phase: UpgradePhase, ends_at: datetime) -> datetime:
        window_end = self.upgrade.window_end
        return ends_at if window_end is None or phase in _INSTALLING else min(ends_at, window_end)

    def arm(self, after: timedelta | None = None) -> None:
        """Look again `after` so long, or at the phase's own pace, and when the phase ends at the latest.

        A device that sleeps is looked at when it wakes.
        """
        if self.upgrade.evidence.asleep_since is not None:
            return
        ends_at = self.upgrade.phase_ends_at
        assert ends_at is not None
        look_at = self.at + (self.limits.between_checks(self.upgrade.phase) if after is None else after)
        self.change(deadline_at=min(ends_at, look_at), probed=False)

    def enter_anew(self) -> None:
        """Give the phase its whole time once more: what is over of it went by while nobody could ask the device.

        Not for ever: gateways that die again and again are no reason for an upgrade without an end.
        """
        times = self.upgrade.evidence.left_alone + 1
        if times > LEFT_ALONE_LIMIT:
            return
        self.note(left_alone=times)
        if self.upgrade.evidence.asleep_since is not None:
            self.put_off_end(self.at + self.limits.of(self.upgrade.phase))  # who sleeps goes on sleeping
        else:
            self.enter(self.upgrade.phase)
            self.arm()

    def hold(self, after: timedelta | None = None) -> None:
        """Look again as `arm` says, unless the last look is under way."""
        if not self.upgrade.probed:
            self.arm(after)

    # ------------------------------------------------------------------ what applications are told

    def publish(self, state: FirmwareUpdateState, *, observed: bool = True) -> None:
        """Tell that the device is in `state`, and fill in the steps that nobody saw."""
        published = self.upgrade.published_state
        confirmed = self.upgrade.evidence.execute_confirmed
        if state is IDLE and published is DOWNLOADED and confirmed:
            # A device that carried out the order to install has been Updating, whether it said so or not.
            self._tell(way_through_updating(published), observed=observed)
        else:
            self._tell(way(published, state), observed=observed)

    def _tell(self, states: tuple[FirmwareUpdateState, ...], *, observed: bool) -> None:
        for position, state in enumerate(states, start=1):
            seen = observed and position == len(states)
            self._facts.append(PublishedFact(FirmwareStateChanged(state=state), synthesised=not seen))
            self.change(published_state=state)

    def conclude(self, verdict: Verdict, state: FirmwareUpdateState | None) -> None:
        """Close with `verdict`, of a device that is in `state` as far as it was just told."""
        if verdict.outcome is Outcome.SUCCEEDED:
            self._climb_to_success(observed=state is IDLE)
            self.close(verdict, clean_up=False)
            return
        transferring = self.upgrade.phase is UpgradePhase.TRANSFERRING
        if state is not None:
            self.publish(state)
        elif transferring and self.upgrade.published_state is DOWNLOADING and verdict.tally is Tally.FAILED:
            self.publish(IDLE, observed=False)
        left_at = self.upgrade.published_state if state is None else state
        leftover = left_at in (DOWNLOADING, DOWNLOADED) or (transferring and state is None)
        self.close(verdict, clean_up=leftover)

    def _climb_to_success(self, *, observed: bool) -> None:
        published = self.upgrade.published_state
        installing = self.upgrade.phase is not UpgradePhase.TRANSFERRING
        if published is UPDATING:
            self._tell((IDLE,), observed=observed)
        elif published is not IDLE or not installing:
            self._tell(way_through_updating(published), observed=observed)

    def close(self, verdict: Verdict, *, clean_up: bool) -> None:
        """Close for good, and tell it; with `clean_up` the device is brought back to Idle once it can be reached.

        The order to clean up belongs to nobody: its answer removes it, and changes nothing.
        """
        if clean_up:
            self.order(CommandKind.RESET)
            self.finish_order()
        else:
            self.withdraw()
        self.change(
            phase=UpgradePhase.CLOSED,
            tally=verdict.tally,
            retryable=verdict.tally in _ENDED_BADLY and not verdict.final,
            outcome=verdict.outcome,
            description=verdict.description,
            ended_at=self.at,
            phase_ends_at=None,
            deadline_at=None,
            probed=False,
        )
        self.note(asleep_since=None)
        self._facts.append(PublishedFact(self._ending(verdict), synthesised=False))

    def _ending(self, verdict: Verdict) -> FirmwareUpgradeEnded:
        upgrade = self.upgrade
        begun_at = self.at if upgrade.started_at is None else upgrade.started_at
        return FirmwareUpgradeEnded(
            outcome=verdict.outcome,
            description=verdict.description,
            source_version=upgrade.source_version,
            target_version=upgrade.target_version,
            current_version=upgrade.current_version,
            duration=max(0, int((self.at - begun_at).total_seconds())),
        )
