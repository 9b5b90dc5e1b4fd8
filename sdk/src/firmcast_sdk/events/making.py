"""A notification becomes an event here: the wire's words end in this module."""

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypedDict, assert_never

import msgspec

from firmcast_sdk.events.commands import (
    CommandAnswered,
    CommandStatus,
    CommandStatusChanged,
    DeviceEventReported,
    MessageConfirmed,
    RuleFired,
    RuleReason,
    RuleResult,
)
from firmcast_sdk.events.devices import (
    DesiredPropertiesSettled,
    DeviceAdded,
    DeviceBindingExpired,
    DeviceBound,
    DeviceDataReported,
    DeviceDeleted,
    DeviceInfoChanged,
    DeviceModelAdded,
    DeviceModelDeleted,
    ServiceInfoChanged,
    ServiceReport,
)
from firmcast_sdk.events.facts import (
    ApplicationId,
    DeliveryFacts,
    DeviceId,
    DeviceUpgradeId,
    FactsOfEvent,
    TaskId,
    facts_of_event,
)
from firmcast_sdk.events.upgrades import (
    FirmwareState,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    Outcome,
    SoftwareState,
    SoftwareStateChanged,
    SoftwareUpgradeEnded,
)
from firmcast_sdk.wire import notifications as wire
from firmcast_sdk.wire.times import parse_time

UpgradeEvents = FirmwareStateChanged | FirmwareUpgradeEnded | SoftwareStateChanged | SoftwareUpgradeEnded
DeviceEvents = (
    DeviceAdded
    | DeviceBound
    | DeviceBindingExpired
    | DeviceInfoChanged
    | DeviceDeleted
    | DeviceDataReported
    | ServiceInfoChanged
    | DesiredPropertiesSettled
    | DeviceModelAdded
    | DeviceModelDeleted
)
CommandEvents = CommandStatusChanged | CommandAnswered | MessageConfirmed | DeviceEventReported | RuleFired
Event = UpgradeEvents | DeviceEvents | CommandEvents

_FIRMWARE_STATES = {str(number): state for number, state in enumerate(FirmwareState)}
_SOFTWARE_STATES = {
    wire.SwUpgradeState.IDLE: SoftwareState.IDLE,
    wire.SwUpgradeState.DOWNLOADING: SoftwareState.DOWNLOADING,
    wire.SwUpgradeState.DOWNLOADED: SoftwareState.DOWNLOADED,
    wire.SwUpgradeState.UPDATING: SoftwareState.UPDATING,
    wire.SwUpgradeState.OTA_CREATED: SoftwareState.CREATED,
    wire.SwUpgradeState.REQUEST_DOWNLOAD: SoftwareState.DOWNLOAD_REQUESTED,
}
_OUTCOMES = {wire.UpgradeStatus.SUCCESS: Outcome.SUCCEEDED, wire.UpgradeStatus.FAIL: Outcome.FAILED}
_COMMAND_STATUSES = {
    wire.CommandResultCode.SENT: CommandStatus.SENT,
    wire.CommandResultCode.DELIVERED: CommandStatus.DELIVERED,
    wire.CommandResultCode.SUCCESSFUL: CommandStatus.SUCCEEDED,
    wire.CommandResultCode.FAILED: CommandStatus.FAILED,
    wire.CommandResultCode.TIMEOUT: CommandStatus.TIMED_OUT,
    wire.CommandResultCode.EXPIRED: CommandStatus.EXPIRED,
    wire.CommandResultCode.CANCELED: CommandStatus.CANCELLED,
}


def device_of(notification: wire.Notification) -> DeviceId | None:
    """The device that `notification` is about; None for a model, a rule or a message."""
    match notification:
        case (
            wire.MessageConfirmNotify()
            | wire.DeviceModelAddedNotify()
            | wire.DeviceModelDeletedNotify()
            | wire.RuleEventNotify()
        ):
            return None
        case wire.CommandRspNotify() | wire.DeviceEventNotify():
            return DeviceId(notification.header.device_id)
        case _:
            return DeviceId(notification.device_id)


def make_event(notification: wire.Notification, facts: DeliveryFacts) -> Event:
    """The event that `notification` tells of."""
    told = facts_of_event(facts)
    match notification:
        case (
            wire.FwUpgradeStateChangeNotify()
            | wire.FwUpgradeResultNotify()
            | wire.SwUpgradeStateChangeNotify()
            | wire.SwUpgradeResultNotify()
        ):
            return _upgrade(notification, told)
        case (
            wire.CommandStatusNotify()
            | wire.CommandRspNotify()
            | wire.MessageConfirmNotify()
            | wire.DeviceEventNotify()
            | wire.RuleEventNotify()
        ):
            return _command(notification, told)
        case wire.DeviceModelAddedNotify() | wire.DeviceModelDeletedNotify():
            return _model(notification, told)
        case wire.DeviceDataChangedNotify() | wire.DeviceDatasChangedNotify():
            return _data(notification, told)
        case _:
            return _device(notification, told)


class _UpgradeIds(TypedDict):
    device_id: DeviceId
    application_id: ApplicationId
    task_id: TaskId
    device_upgrade_id: DeviceUpgradeId


class _Ending(TypedDict):
    current_version: str
    target_version: str
    source_version: str
    duration: timedelta | None


def _upgrade(notification: wire.UpgradeNotification, told: FactsOfEvent) -> UpgradeEvents:
    ids = _UpgradeIds(
        device_id=DeviceId(notification.device_id),
        application_id=ApplicationId(notification.app_id),
        task_id=TaskId(notification.operation_id),
        device_upgrade_id=DeviceUpgradeId(notification.sub_operation_id),
    )
    match notification:
        case wire.FwUpgradeStateChangeNotify():
            return FirmwareStateChanged(**told, **ids, state=_FIRMWARE_STATES[notification.step])
        case wire.FwUpgradeResultNotify():
            return FirmwareUpgradeEnded(
                **told,
                **ids,
                **_ending(notification),
                outcome=_OUTCOMES[notification.status],
                description=notification.status_desc,
            )
        case wire.SwUpgradeStateChangeNotify():
            return SoftwareStateChanged(**told, **ids, state=_SOFTWARE_STATES[notification.sw_upgrade_state])
        case wire.SwUpgradeResultNotify():
            return SoftwareUpgradeEnded(
                **told,
                **ids,
                **_ending(notification),
                outcome=_OUTCOMES[notification.sw_upgrade_result],
                description=notification.result_desc,
                error_code=notification.error_code,
                error_description=notification.description,
            )
        case _:
            assert_never(notification)


def _ending(notification: wire.FwUpgradeResultNotify | wire.SwUpgradeResultNotify) -> _Ending:
    return _Ending(
        current_version=notification.cur_version,
        target_version=notification.target_version,
        source_version=notification.source_version,
        duration=_seconds(notification.upgrade_time),
    )


def _device(
    notification: wire.DeviceAddedNotify
    | wire.BindDeviceNotify
    | wire.DeviceInfoChangedNotify
    | wire.DeviceDeletedNotify
    | wire.ServiceInfoChangedNotify
    | wire.DeviceDesiredPropertiesModifyStatusChangedNotify,
    told: FactsOfEvent,
) -> DeviceEvents:
    device_id = DeviceId(notification.device_id)
    match notification:
        case wire.DeviceAddedNotify():
            return DeviceAdded(
                **told,
                device_id=device_id,
                gateway_id=None if notification.gateway_id is None else DeviceId(notification.gateway_id),
                node_type=notification.node_type,
                info=notification.device_info,
            )
        case wire.BindDeviceNotify(result_code=wire.BindResult.SUCCEEDED):
            return DeviceBound(**told, device_id=device_id, info=notification.device_info)
        case wire.BindDeviceNotify():
            return DeviceBindingExpired(**told, device_id=device_id, info=notification.device_info)
        case wire.DeviceInfoChangedNotify():
            changes = msgspec.structs.asdict(notification.device_info)
            return DeviceInfoChanged(
                **told,
                device_id=device_id,
                gateway_id=DeviceId(notification.gateway_id),
                changes=MappingProxyType({name: value for name, value in changes.items() if value is not None}),
            )
        case wire.DeviceDeletedNotify():
            return DeviceDeleted(**told, device_id=device_id, gateway_id=DeviceId(notification.gateway_id))
        case wire.ServiceInfoChangedNotify():
            return ServiceInfoChanged(
                **told,
                device_id=device_id,
                gateway_id=DeviceId(notification.gateway_id),
                service_id=notification.service_id,
                service_type=notification.service_type,
                muted_commands=notification.service_info.mute_cmds or (),
            )
        case wire.DeviceDesiredPropertiesModifyStatusChangedNotify():
            return DesiredPropertiesSettled(
                **told,
                device_id=device_id,
                service_id=notification.service_id,
                properties=notification.properties,
                delivered=notification.status is wire.ModifyStatus.DELIVERED,
            )
        case _:
            assert_never(notification)


def _data(
    notification: wire.DeviceDataChangedNotify | wire.DeviceDatasChangedNotify, told: FactsOfEvent
) -> DeviceDataReported:
    if isinstance(notification, wire.DeviceDatasChangedNotify):
        services = notification.services
    else:
        services = (notification.service,)
    reports = tuple(
        ServiceReport(
            service_id=service.service_id,
            service_type=service.service_type,
            data=service.data,
            reported_at=_moment(service.event_time),
        )
        for service in services
    )
    return DeviceDataReported(
        **told,
        device_id=DeviceId(notification.device_id),
        gateway_id=DeviceId(notification.gateway_id),
        request_id=notification.request_id,
        reports=reports,
    )


def _model(
    notification: wire.DeviceModelAddedNotify | wire.DeviceModelDeletedNotify, told: FactsOfEvent
) -> DeviceModelAdded | DeviceModelDeleted:
    kind = DeviceModelAdded if isinstance(notification, wire.DeviceModelAddedNotify) else DeviceModelDeleted
    return kind(
        **told,
        application_id=ApplicationId(notification.app_id),
        device_type=notification.device_type,
        manufacturer_name=notification.manufacturer_name,
        manufacturer_id=notification.manufacturer_id,
        model=notification.model,
        protocol_type=notification.protocol_type,
    )


def _command(
    notification: wire.CommandStatusNotify
    | wire.CommandRspNotify
    | wire.MessageConfirmNotify
    | wire.DeviceEventNotify
    | wire.RuleEventNotify,
    told: FactsOfEvent,
) -> CommandEvents:
    match notification:
        case wire.CommandStatusNotify():
            return CommandStatusChanged(
                **told,
                device_id=DeviceId(notification.device_id),
                command_id=notification.command_id,
                status=_COMMAND_STATUSES[notification.result.result_code],
                detail=notification.result.result_detail,
            )
        case wire.CommandRspNotify(header=header):
            return CommandAnswered(
                **told,
                device_id=DeviceId(header.device_id),
                request_id=header.request_id,
                service_type=header.service_type,
                method=header.method,
                sender=header.sender,
                recipient=header.recipient,
                body=notification.body,
            )
        case wire.MessageConfirmNotify(header=confirmed):
            return MessageConfirmed(
                **told,
                request_id=confirmed.request_id,
                status=confirmed.status,
                sender=confirmed.sender,
                recipient=confirmed.recipient,
                confirmed_at=_moment(confirmed.timestamp),
                body=notification.body,
            )
        case wire.DeviceEventNotify(header=reported):
            return DeviceEventReported(
                **told,
                device_id=DeviceId(reported.device_id),
                event_type=reported.event_type,
                service_type=reported.service_type,
                sender=reported.sender,
                reported_at=_moment(reported.event_time),
                body=notification.body,
            )
        case wire.RuleEventNotify():
            return _rule(notification, told)
        case _:
            assert_never(notification)


def _rule(notification: wire.RuleEventNotify, told: FactsOfEvent) -> RuleFired:
    return RuleFired(
        **told,
        rule_id=notification.rule_id,
        rule_name=notification.rule_name,
        author=notification.author,
        logic=notification.logic,
        triggered_at=_moment(notification.trigger_time),
        reasons=tuple(
            RuleReason(
                kind=reason.type,
                id=reason.id,
                satisfied_at=_moment(reason.satisfaction_time),
                info=reason.info,
                passed_on=reason.trans_info,
            )
            for reason in notification.reasons
        ),
        results=tuple(
            RuleResult(
                kind=result.type,
                id=result.id,
                error=result.exception,
                result=result.result,
                info=result.info,
                passed_on=result.trans_info,
            )
            for result in notification.actions_results
        ),
    )


def _seconds(text: str) -> timedelta | None:
    plain = text.strip()
    return timedelta(seconds=int(plain)) if plain.isascii() and plain.isdigit() and len(plain) <= 10 else None


def _moment(text: str | None) -> datetime | None:
    try:
        return parse_time(text or "")
    except ValueError:
        return None
