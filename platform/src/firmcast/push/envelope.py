"""Here alone an event becomes what is on the wire: the contract's body, written once, and the headers of an attempt."""

from datetime import datetime
from itertools import product
from typing import Final, assert_never

from firmcast import __version__
from firmcast.events.model import (
    Binding,
    DeviceAdded,
    DeviceBound,
    DeviceDeleted,
    DeviceDescription,
    DeviceInfoChanged,
    Event,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    Outcome,
    Reachability,
)
from firmcast.ids import ApplicationId, MessageId
from firmcast.push.signing import Signature
from firmcast_sdk.wire.devices import DeviceInfo, DeviceStatus, NodeType
from firmcast_sdk.wire.headers import (
    ATTEMPT,
    CONTENT_TYPE,
    JSON,
    OCCURRED_AT,
    REPLAY,
    SEQUENCE,
    SYNTHESISED,
    TEST,
    WEBHOOK_ID,
    WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP,
)
from firmcast_sdk.wire.notifications import (
    STEP_DESCRIPTIONS,
    BindDeviceNotify,
    BindResult,
    ChangedDeviceInfo,
    DeviceAddedNotify,
    DeviceDeletedNotify,
    DeviceInfoChangedNotify,
    FwUpgradeResultNotify,
    FwUpgradeStateChangeNotify,
    UpgradeStatus,
    encode,
)
from firmcast_sdk.wire.times import format_moment

EVERY_PUSHS_HEADERS: Final = (
    f"{CONTENT_TYPE}: {JSON}",
    f"user-agent: firmcast/{__version__}",
    "expect:",  # without this an HTTP library may ask for leave before a large body, and wait
)
"""Header lines that are always the same."""

_ATTEMPTS_NAMES: Final = {
    (signed, synthesised, replay): (
        *(WEBHOOK_ID, SEQUENCE, ATTEMPT, OCCURRED_AT),
        *((WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE) if signed else ()),
        *((SYNTHESISED,) if synthesised else ()),
        *((REPLAY,) if replay else ()),
    )
    for signed, synthesised, replay in product((False, True), repeat=3)
}


CALLBACK_TEST_NAME: Final = "firmcast-callback-test"
"""Stands for the device, the task and the device upgrade in a push that tries a callback; no real one is named so."""


def encode_event(event: Event) -> bytes:
    """Return the compact body of the contract's notification of an event (contract, section 8)."""
    fact = event.fact
    match fact:
        case FirmwareStateChanged():
            return encode(_state_change(event, fact))
        case FirmwareUpgradeEnded():
            return encode(_result(event, fact))
        case DeviceAdded(device=device):
            return encode(
                # Every device here is connected directly, so it is a gateway of itself.
                DeviceAddedNotify(
                    device_id=event.device_id,
                    gateway_id=event.device_id,
                    node_type=NodeType.GATEWAY,
                    device_info=_device_info(device),
                )
            )
        case DeviceBound(binding=binding, device=device):
            return encode(
                BindDeviceNotify(
                    device_id=event.device_id, result_code=_bind_result(binding), device_info=_device_info(device)
                )
            )
        case DeviceInfoChanged(changed=changed):
            return encode(
                DeviceInfoChangedNotify(
                    device_id=event.device_id,
                    gateway_id=event.device_id,
                    device_info=ChangedDeviceInfo(node_id=changed.endpoint_name, **_described(changed)),
                )
            )
        case DeviceDeleted():
            return encode(DeviceDeletedNotify(device_id=event.device_id, gateway_id=event.device_id))
        case _:
            assert_never(fact)


def _state_change(event: Event, fact: FirmwareStateChanged) -> FwUpgradeStateChangeNotify:
    step = str(int(fact.state))
    return FwUpgradeStateChangeNotify(
        device_id=event.device_id,
        app_id=event.application_id,
        operation_id=event.task_id or "",
        sub_operation_id=event.device_upgrade_id or "",
        step=step,
        step_desc=STEP_DESCRIPTIONS[step],
    )


def _result(event: Event, fact: FirmwareUpgradeEnded) -> FwUpgradeResultNotify:
    return FwUpgradeResultNotify(
        device_id=event.device_id,
        app_id=event.application_id,
        operation_id=event.task_id or "",
        sub_operation_id=event.device_upgrade_id or "",
        cur_version=fact.current_version,
        target_version=fact.target_version,
        source_version=fact.source_version,
        status=_status(fact.outcome),
        status_desc=fact.description,
        upgrade_time=str(fact.duration),
    )


def _device_info(device: DeviceDescription) -> DeviceInfo:
    told = {name: text or None for name, text in _described(device).items()}
    return DeviceInfo(node_id=device.endpoint_name or "", **told)


def _described(device: DeviceDescription) -> dict[str, str | None]:
    """Return the contract's facts of a device by the names of their fields; the two of its status come in pairs."""
    status, detail = (None, None) if device.reachability is None else _status_pair(device.reachability)
    return {
        "name": device.name,
        "manufacturer_id": device.manufacturer_id,
        "manufacturer_name": device.manufacturer_name,
        "location": device.location,
        "device_type": device.device_type,
        "model": device.model,
        "fw_version": device.firmware_version,
        "protocol_type": device.protocol_type,
        "status": status,
        "status_detail": detail,
        "mute": device.mute,
        "is_security": device.is_secure,
    }


def _status_pair(reachability: Reachability) -> tuple[str, str]:
    match reachability:
        case Reachability.NEVER_REGISTERED:
            return DeviceStatus.OFFLINE, "NOT_ACTIVE"
        case Reachability.ONLINE:
            return DeviceStatus.ONLINE, "NONE"
        case Reachability.OFFLINE:
            return DeviceStatus.OFFLINE, "NONE"
        case _:
            assert_never(reachability)


def _bind_result(binding: Binding) -> BindResult:
    match binding:
        case Binding.SUCCEEDED:
            return BindResult.SUCCEEDED
        case Binding.EXPIRED:
            return BindResult.EXPIRED
        case _:
            assert_never(binding)


def _status(outcome: Outcome) -> UpgradeStatus:
    match outcome:
        case Outcome.SUCCEEDED:
            return UpgradeStatus.SUCCESS
        case Outcome.FAILED | Outcome.CANCELLED:  # the contract has no third word
            return UpgradeStatus.FAIL
        case _:
            assert_never(outcome)


def attempt_fields(
    *,
    message_id: MessageId,
    sequence: int,
    occurred_at: datetime,
    synthesised: bool,
    attempt: int,
    signature: Signature | None,
    replay: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and the values of the header fields that an attempt has to itself.

    `signature` is None for an unsigned one.
    """
    values: tuple[str, ...] = (message_id, str(sequence), str(attempt), format_moment(occurred_at))
    if signature is not None:
        values += (signature.timestamp, signature.value)
    if synthesised:
        values += ("true",)
    if replay:
        values += ("true",)
    return _ATTEMPTS_NAMES[signature is not None, synthesised, replay], values


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
    names, values = attempt_fields(
        message_id=message_id,
        sequence=sequence,
        occurred_at=occurred_at,
        synthesised=synthesised,
        attempt=attempt,
        signature=signature,
    )
    return [*EVERY_PUSHS_HEADERS, *(f"{name}: {value}" for name, value in zip(names, values, strict=True))]


def encode_callback_test(application_id: ApplicationId) -> bytes:
    """Return the body of a push that tries a callback: a device that nobody has is idle, which asks for nothing."""
    return encode(
        FwUpgradeStateChangeNotify(
            device_id=CALLBACK_TEST_NAME,
            app_id=application_id,
            operation_id=CALLBACK_TEST_NAME,
            sub_operation_id=CALLBACK_TEST_NAME,
            step="0",
            step_desc=STEP_DESCRIPTIONS["0"],
        )
    )


def callback_test_headers(message_id: MessageId, sent_at: datetime, signature: Signature) -> list[str]:
    """Return the header lines of such a push. It has no place in any order, so it carries no sequence."""
    return [
        *EVERY_PUSHS_HEADERS,
        f"{WEBHOOK_ID}: {message_id}",
        f"{ATTEMPT}: 1",
        f"{OCCURRED_AT}: {format_moment(sent_at)}",
        f"{WEBHOOK_TIMESTAMP}: {signature.timestamp}",
        f"{WEBHOOK_SIGNATURE}: {signature.value}",
        f"{TEST}: true",
    ]
