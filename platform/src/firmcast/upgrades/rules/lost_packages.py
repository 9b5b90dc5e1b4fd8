"""A package that a device has lost before it began to install is sent again, as often as a limit says.

A device may hold its package where it does not outlast the power, and restart between the last byte and the order to
install. Whether that order was obeyed is not known while it is unanswered: what counts is that the device shows nothing
of an installation, neither a result nor another version.
"""

from typing import Final

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import UpdateResult
from firmcast.upgrades.model import DeviceUpgrade, Evidence, UpgradePhase
from firmcast.upgrades.rules.evidence import STOPPED, Reading, tells_failure, tells_success
from firmcast.upgrades.rules.ladder import DOWNLOADING, IDLE
from firmcast.upgrades.rules.turn import Turn

LOST_PACKAGES_LIMIT: Final = 2
"""So often it is sent again; a device that installs, falls back and forgets it looks the same, and wears its flash."""


def is_lost(turn: Turn, reading: Reading) -> bool:
    """Tell whether a device that was told to install has no package any more, and may have it once more.

    `reading` is of a device that was asked for its version too. It has restarted, or has refused the order, or has had
    all its time: without any of these it may be at work, and not have said so yet. One that goes on with its download
    after a restart has lost the package too.
    """
    evidence = turn.upgrade.evidence
    if turn.window_is_over or evidence.lost_packages >= LOST_PACKAGES_LIMIT or _has_begun_to_install(evidence):
        return False
    if reading.state is DOWNLOADING:
        return evidence.registered_anew and _runs_nothing_new(turn.upgrade, reading)
    is_certain = evidence.registered_anew or evidence.refused_to_install or turn.time_is_up
    is_at_rest = reading.state is IDLE and is_certain
    return is_at_rest and not _tells_an_end(evidence, reading) and _runs_nothing_new(turn.upgrade, reading)


def begin_anew(turn: Turn, reading: Reading) -> None:
    """Go back to where a package is sent, by way of an inspection; a device that was to be stopped is stopped here."""
    lost = turn.upgrade.evidence
    if lost.stop_requested:
        turn.conclude(STOPPED, reading.state)
        return
    turn.change(evidence=_known_still(lost, reading), description="")
    turn.publish(reading.state)
    turn.enter(UpgradePhase.TRANSFERRING)
    turn.order(CommandKind.INSPECT)
    turn.hold()


def _has_begun_to_install(evidence: Evidence) -> bool:
    """Tell whether the order to install was obeyed for all that is known: one that is put off was not."""
    return evidence.execute_confirmed and evidence.deferred_until is None


def _tells_an_end(evidence: Evidence, reading: Reading) -> bool:
    """Tell whether the result is of an installation; a lost connection is of a download, when it has restarted."""
    if reading.result == UpdateResult.CONNECTION_LOST and evidence.registered_anew:
        return False
    return tells_success(evidence, reading.result) or tells_failure(evidence, reading.result)


def _runs_nothing_new(upgrade: DeviceUpgrade, reading: Reading) -> bool:
    """Tell whether the device runs what it had, as far as it tells that at all."""
    told = reading.version or upgrade.evidence.installed_version
    return not told or (told == upgrade.source_version and told != upgrade.target_version)


def _known_still(lost: Evidence, reading: Reading) -> Evidence:
    """Return what is left of the evidence: how the package went, and nothing of the order to install."""
    return Evidence(
        baseline_result=reading.result,
        transfer_kind=lost.transfer_kind,
        transfer_protocol=lost.transfer_protocol,
        refused_ways=lost.refused_ways,
        another_way=lost.another_way,
        has_asked=lost.has_asked,
        lost_transfers=lost.lost_transfers,
        lost_packages=lost.lost_packages + 1,
        spoilt=lost.spoilt,
        left_alone=lost.left_alone,
        deferred_since=lost.deferred_since,
        registered_anew=lost.registered_anew,
    )
