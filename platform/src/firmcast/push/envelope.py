"""Here alone an event becomes what is on the wire: the contract's body, written once, and the headers of an attempt."""

from datetime import UTC, datetime
from typing import assert_never

from firmcast import __version__
from firmcast.events.model import Event, FirmwareStateChanged, FirmwareUpgradeEnded, Outcome
from firmcast.ids import MessageId
from firmcast.push.signing import Signature
from firmcast_sdk.wire.headers import (
    ATTEMPT,
    CONTENT_TYPE,
    JSON,
    OCCURRED_AT,
    SEQUENCE,
    SYNTHESISED,
    WEBHOOK_ID,
    WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP,
)
from firmcast_sdk.wire.notifications import (
    STEP_DESCRIPTIONS,
    FwUpgradeResultNotify,
    FwUpgradeStateChangeNotify,
    UpgradeStatus,
    encode,
)

_CONSTANT_HEADERS = (
    f"{CONTENT_TYPE}: {JSON}",
    f"user-agent: firmcast/{__version__}",
    "expect:",  # without this an HTTP library may ask for leave before a large body, and wait
)


def encode_event(event: Event) -> bytes:
    """Return the compact body of the contract's notification of an event (contract, section 8)."""
    fact = event.fact
    match fact:
        case FirmwareStateChanged():
            step = str(int(fact.state))
            return encode(
                FwUpgradeStateChangeNotify(
                    device_id=event.device_id,
                    app_id=event.application_id,
                    operation_id=event.task_id,
                    sub_operation_id=event.device_upgrade_id,
                    step=step,
                    step_desc=STEP_DESCRIPTIONS[step],
                )
            )
        case FirmwareUpgradeEnded():
            return encode(
                FwUpgradeResultNotify(
                    device_id=event.device_id,
                    app_id=event.application_id,
                    operation_id=event.task_id,
                    sub_operation_id=event.device_upgrade_id,
                    cur_version=fact.current_version,
                    target_version=fact.target_version,
                    source_version=fact.source_version,
                    status=_status(fact.outcome),
                    status_desc=fact.description,
                    upgrade_time=str(fact.duration),
                )
            )
        case _:
            assert_never(fact)


def _status(outcome: Outcome) -> UpgradeStatus:
    match outcome:
        case Outcome.SUCCEEDED:
            return UpgradeStatus.SUCCESS
        case Outcome.FAILED | Outcome.CANCELLED:  # the contract has no third word
            return UpgradeStatus.FAIL
        case _:
            assert_never(outcome)


def attempt_headers(
    *,
    message_id: MessageId,
    sequence: int,
    occurred_at: datetime,
    synthesised: bool,
    attempt: int,
    signature: Signature | None,
) -> list[str]:
    """Return the header lines of one attempt, `name: value` each; `signature` is None for an unsigned one."""
    lines = [
        *_CONSTANT_HEADERS,
        f"{WEBHOOK_ID}: {message_id}",
        f"{SEQUENCE}: {sequence}",
        f"{ATTEMPT}: {attempt}",
        f"{OCCURRED_AT}: {_rfc3339(occurred_at)}",
    ]
    if signature is not None:
        lines.append(f"{WEBHOOK_TIMESTAMP}: {signature.timestamp}")
        lines.append(f"{WEBHOOK_SIGNATURE}: {signature.value}")
    if synthesised:
        lines.append(f"{SYNTHESISED}: true")
    return lines


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
