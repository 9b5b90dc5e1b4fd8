"""Idle is not success: a verdict needs state and result read together, and a result that is news, or the new version.

The whole outcome rule is in this module, as functions of (state, result, version, registration, time). What they make
of every combination of these is the table of docs/explanation/outcomes.md, to which a test holds them.

A result is news when it differs from the one before the transfer, or was seen to leave it in between. Source: OMA
Object 5, resources 3 and 5, and the ways of real clients.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from firmcast.devices.model import CommandKind
from firmcast.events.model import Outcome
from firmcast.lwm2m.firmware_update import (
    FirmwareUpdateState,
    UpdateResult,
    is_failure,
    parse_result,
)
from firmcast.upgrades.model import DeviceUpgrade, Evidence, ResourcesReported, Tally, UpgradePhase
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.ladder import DOWNLOADED, DOWNLOADING, IDLE, UPDATING
from firmcast.upgrades.rules.ways import describe_end

LOST_TRANSFERS_LIMIT: Final = 5
"""So often a device may lose a transfer, for no reason given or one that passes; a loop of downloads serves nobody."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an upgrade ends."""

    outcome: Outcome
    tally: Tally
    description: str
    final: bool = False
    """True when another attempt would be senseless, however badly this one ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """State and result as told together."""

    state: FirmwareUpdateState
    result: int
    version: str | None


TASK_CONFLICT = Verdict(outcome=Outcome.FAILED, tally=Tally.FAILED, description=wording.TASK_CONFLICT, final=True)
STOPPED = Verdict(outcome=Outcome.CANCELLED, tally=Tally.STOPPED, description=wording.STOPPED)
DEFERRED_TOO_LONG = Verdict(outcome=Outcome.FAILED, tally=Tally.TIMED_OUT, description=wording.DEFERRED_TOO_LONG)
DEFERRED_BEYOND_WINDOW = Verdict(
    outcome=Outcome.CANCELLED, tally=Tally.STOPPED, description=wording.DEFERRED_BEYOND_WINDOW
)
WINDOW_TOO_SHORT = Verdict(outcome=Outcome.CANCELLED, tally=Tally.STOPPED, description=wording.WINDOW_TOO_SHORT)


def failure(description: str) -> Verdict:
    """Return the verdict that the device, or we, could not do it."""
    return Verdict(outcome=Outcome.FAILED, tally=Tally.FAILED, description=description)


def failure_of(result: int) -> Verdict:
    """Return the verdict of a failing result (/5/0/5); what somebody has cancelled is not tried again."""
    verdict = failure(wording.describe_failure(result))
    return replace(verdict, final=parse_result(result) is UpdateResult.CANCELLED)


def failure_of_transfer(upgrade: DeviceUpgrade, result: int) -> Verdict:
    """Return the verdict of the result that a transfer ended with, which tells of all ways if several were tried."""
    tried = describe_end(upgrade.evidence, wording.describe_failure(result), result)
    return failure_of(result) if tried is None else failure(tried)


def refusal(what: str, answer: str, result: int | None) -> Verdict:
    """Return the verdict that the device refused `what`, answering `answer`, with the result that it had then."""
    return failure(wording.describe_refusal(what, answer, result))


def success(upgrade: DeviceUpgrade) -> Verdict:
    """Return the verdict that the device has done it."""
    description = wording.describe_success(upgrade.target_version, upgrade.evidence.installed_version)
    return Verdict(outcome=Outcome.SUCCEEDED, tally=Tally.SUCCEEDED, description=description)


def parse_state(value: int | None) -> FirmwareUpdateState | None:
    """Return the state that /5/0/3 stands for; None where it was not told, or is none that the object names."""
    return FirmwareUpdateState(value) if value is not None and 0 <= value <= max(FirmwareUpdateState) else None


def reading_of(told: ResourcesReported) -> Reading | None:
    """Return state and result where both were told, None otherwise."""
    state = parse_state(told.state)
    if state is None or told.result is None:
        return None
    return Reading(state=state, result=told.result, version=told.firmware_version)


def weigh(evidence: Evidence, told: ResourcesReported) -> Evidence:
    """Return the evidence with what was told added."""
    if told.firmware_version is not None and evidence.executed_at is not None:
        evidence = replace(evidence, installed_version=told.firmware_version)
    changed = evidence.result_changed or told.state == DOWNLOADING
    if told.result is None:
        return replace(evidence, result_changed=changed)
    return replace(
        evidence,
        last_result=told.result,
        result_changed=changed or told.result != evidence.baseline_result,
    )


def is_news(evidence: Evidence, result: int) -> bool:
    """Tell whether `result` can be about this upgrade rather than left from an earlier one."""
    return evidence.result_changed or result != evidence.baseline_result


def tells_failure(evidence: Evidence, result: int | None) -> bool:
    """Tell whether a result was told, fails, and is news."""
    return _is_failure(evidence, result) and result is not None and is_news(evidence, result)


def _is_failure(evidence: Evidence, result: int | None) -> bool:
    """Tell whether a result is one of a device that failed: "cancelled" is not where it was us who had it reset."""
    known = None if result is None else parse_result(result)
    return known is not None and is_failure(known) and not (known is UpdateResult.CANCELLED and evidence.reset_ordered)


def tells_success(evidence: Evidence, result: int | None) -> bool:
    """Tell whether the result Success was told and is news."""
    return result == UpdateResult.SUCCESS and is_news(evidence, UpdateResult.SUCCESS)


def is_deferred(reading: Reading) -> bool:
    """Tell whether a device with a package says that it has put the installation off."""
    return reading.state is DOWNLOADED and reading.result == UpdateResult.DEFERRED


def judge_transfer(upgrade: DeviceUpgrade, reading: Reading, *, is_late: bool) -> Verdict | None:
    """Return how the upgrade of a device that should be downloading ended, None while that is open.

    Nothing is sent again when it is late: when the time for it, or the window of the task, is over.
    """
    evidence = upgrade.evidence
    if reading.state is DOWNLOADED and reading.result == UpdateResult.UPDATE_FAILED:
        # Only a client that installs by itself can have come this far.
        return failure(wording.PACKAGE_KEPT) if tells_failure(evidence, reading.result) else None
    if reading.state is not IDLE:
        return None
    if _installed_by_itself(upgrade, reading) or _runs_target_after_registration(upgrade, reading):
        return success(upgrade)
    is_over = is_late or not may_be_sent_again(upgrade, reading.result)
    if tells_lost_transfer(evidence, reading.result) and is_over:
        return failure_of_transfer(upgrade, reading.result)
    return None


def tells_lost_transfer(evidence: Evidence, result: int | None) -> bool:
    """Tell whether the result of an Idle device says why it has not got the package.

    After the last byte it has dropped the package, even if its result is the same as the last time.
    """
    is_over = evidence.transfer_finished and _is_failure(evidence, result)
    return is_over or tells_failure(evidence, result)


def may_be_sent_again(upgrade: DeviceUpgrade, result: int) -> bool:
    """Tell whether a package that was lost for the reason `result` is sent again without anybody asking for it."""
    evidence = upgrade.evidence
    known = parse_result(result)
    if known is UpdateResult.UPDATE_FAILED and _was_cut_off(evidence):
        known = UpdateResult.CONNECTION_LOST
    match known:
        case UpdateResult.CONNECTION_LOST | UpdateResult.OUT_OF_MEMORY:
            is_lost_too_often = is_its_doing(evidence) and evidence.lost_transfers + 1 >= LOST_TRANSFERS_LIMIT
            return evidence.another_way or not is_lost_too_often
        case UpdateResult.INTEGRITY_CHECK_FAILED:
            # It may have been spoilt on its way; if it is so again, it is the package that is.
            return upgrade.attempt == 1 and not evidence.spoilt
        case UpdateResult.INVALID_URI | UpdateResult.UNSUPPORTED_PROTOCOL:
            return evidence.another_way
        case _:
            return False


def _was_cut_off(evidence: Evidence) -> bool:
    """Tell whether a device that fetches the package cannot have all of it, so that "update failed" is not about it.

    Zephyr and LiteOS tell that of a download that found no way, or broke off.
    """
    return evidence.transfer_kind is CommandKind.TRANSFER_BY_URI and evidence.downloaded_at is None


def leaves_it(upgrade: DeviceUpgrade, at: datetime) -> bool:
    """Tell whether a device that has another way took the address of its package, and has let it lie since.

    It was there all the time; one that was away, asleep or registered anew may not have had the time to ask.
    """
    asks_by = upgrade.evidence.asks_by
    return asks_by is not None and at >= asks_by and upgrade.evidence.another_way


def has_begun(evidence: Evidence) -> bool:
    """Tell whether the device took up the transfer, as far as it showed that."""
    return evidence.result_changed or evidence.download_began_at is not None


def is_its_doing(evidence: Evidence) -> bool:
    """Tell whether the device lost a transfer, rather than its power or we."""
    return has_begun(evidence) and not evidence.registered_anew and not evidence.interrupted


def judge_install(upgrade: DeviceUpgrade, reading: Reading, *, new_version_required: bool) -> Verdict | None:
    """Return how the upgrade of a device that was told to install ended, None while that is open.

    Where a new version is required, success is not believed of a device that runs what it had.
    """
    evidence = upgrade.evidence
    if reading.state in (DOWNLOADING, UPDATING):
        return None
    if reading.state is IDLE and _runs_target_after_registration(upgrade, reading):
        return success(upgrade)
    if reading.state is IDLE and tells_success(evidence, reading.result):
        # With the version from before it may not have started again yet; or it has, and has fallen back.
        is_open = _runs_what_it_had(upgrade) and (new_version_required or not evidence.registered_anew)
        return None if is_open else success(upgrade)
    if tells_failure(evidence, reading.result):
        return failure_of(reading.result)
    if reading.state is DOWNLOADED and upgrade.published_state is UPDATING and not is_deferred(reading):
        return failure(wording.PACKAGE_KEPT)
    return None


def judge_at_the_end(
    upgrade: DeviceUpgrade, reading: Reading | None, *, window_is_over: bool, new_version_required: bool
) -> Verdict:
    """Return the verdict when the time of the phase is over; `reading` is what the last probe told, if anything."""
    installing = upgrade.phase in (UpgradePhase.EXECUTING, UpgradePhase.VERIFYING)
    idle_or_silent = reading is None or reading.state is IDLE
    result = upgrade.evidence.last_result
    put_off = upgrade.phase is UpgradePhase.EXECUTING and upgrade.evidence.deferred_until is not None
    if put_off and (reading is None or reading.state is DOWNLOADED):
        return DEFERRED_BEYOND_WINDOW if window_is_over else DEFERRED_TOO_LONG
    if installing and idle_or_silent:
        if reading is not None and reading.version == upgrade.target_version:
            # It has had all its time, is at rest, and runs what was wanted: the lack of a registration proves nothing.
            return success(upgrade)
        if tells_success(upgrade.evidence, result):
            is_doubted = new_version_required and _runs_what_it_had(upgrade)
            return failure(wording.OLD_VERSION) if is_doubted else success(upgrade)
    # What is told together with work that is not done is left from something earlier.
    is_at_rest = reading is None or reading.state in (IDLE, DOWNLOADED)
    if is_at_rest and tells_failure(upgrade.evidence, result):
        return failure_of(result) if installing else failure_of_transfer(upgrade, result)
    if upgrade.phase is UpgradePhase.VERIFYING and reading is not None and reading.state is IDLE:
        return failure(wording.NO_EVIDENCE)
    if not installing and window_is_over:
        return WINDOW_TOO_SHORT
    return Verdict(outcome=Outcome.FAILED, tally=Tally.TIMED_OUT, description=wording.TIMEOUTS[upgrade.phase])


def _installed_by_itself(upgrade: DeviceUpgrade, reading: Reading) -> bool:
    """Tell whether the device says that it has installed what it was sent, and runs something else than before."""
    changed = reading.version is not None and reading.version != upgrade.source_version
    return tells_success(upgrade.evidence, reading.result) and changed


def _runs_what_it_had(upgrade: DeviceUpgrade) -> bool:
    """Tell whether the device told, after the order to install, that its version is the one from before."""
    told = upgrade.evidence.installed_version
    return bool(told) and told == upgrade.source_version and told != upgrade.target_version


def _runs_target_after_registration(upgrade: DeviceUpgrade, reading: Reading) -> bool:
    return upgrade.evidence.registered_anew and reading.version == upgrade.target_version
