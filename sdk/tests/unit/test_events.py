"""What a notification and its headers become for a handler."""

import dataclasses
import typing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast_sdk.events import (
    CommandAnswered,
    CommandStatus,
    CommandStatusChanged,
    DeliveryFacts,
    DesiredPropertiesSettled,
    DeviceAdded,
    DeviceBindingExpired,
    DeviceBound,
    DeviceDataReported,
    DeviceDeleted,
    DeviceEventReported,
    DeviceInfoChanged,
    DeviceModelAdded,
    DeviceModelDeleted,
    Event,
    FirmwareState,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    MessageConfirmed,
    Outcome,
    RuleFired,
    ServiceInfoChanged,
    SoftwareState,
    SoftwareStateChanged,
    SoftwareUpgradeEnded,
    device_of,
    make_event,
    read_delivery_facts,
)
from firmcast_sdk.wire import headers as names
from firmcast_sdk.wire.notifications import (
    STEP_DESCRIPTIONS,
    CommandResult,
    CommandResultCode,
    CommandStatusNotify,
    SwUpgradeState,
    SwUpgradeStateChangeNotify,
    decode,
)

FULL = {
    "webhook-id": "evt_7",
    "firmcast-sequence": "12",
    "firmcast-attempt": "3",
    "firmcast-synthesised": "true",
    "firmcast-occurred-at": "2026-01-02T03:04:05.5Z",
    "firmcast-replay": "true",
}


def test_a_state_change_with_all_its_headers(golden):
    event = make_event(decode(golden("fw_upgrade_state_change.json")), read_delivery_facts(FULL))
    assert event == FirmwareStateChanged(
        device_id="3e3c1d2a-7f58-4c55-9d0b-0b6a8a5f1c11",
        application_id="RgPq3V4xQ2yYJ0m8sWc1dT6kB5oa",
        task_id="7ee1e0a4",
        device_upgrade_id="d1b6f2a9",
        state=FirmwareState.DOWNLOADING,
        event_id="evt_7",
        sequence=12,
        attempt=3,
        synthesised=True,
        occurred_at=datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
        replay=True,
    )


def test_a_platform_that_sends_no_headers_leaves_the_defaults(golden):
    event = make_event(decode(golden("fw_upgrade_state_change.json")), read_delivery_facts({}))
    assert (event.event_id, event.sequence, event.attempt, event.synthesised) == (None, None, 1, False)
    assert (event.occurred_at, event.replay) == (None, False)


def test_firmware_results(golden):
    event = make_event(decode(golden("fw_upgrade_result.json")), DeliveryFacts())
    assert isinstance(event, FirmwareUpgradeEnded)
    assert (event.outcome, event.duration) == (Outcome.SUCCEEDED, timedelta(seconds=42))
    assert (event.source_version, event.target_version, event.current_version) == ("1.3", "1.6", "1.6")


def test_software_events(golden):
    state = make_event(decode(golden("sw_upgrade_state_change.json")), DeliveryFacts())
    assert isinstance(state, SoftwareStateChanged)
    assert state.state is SoftwareState.DOWNLOADING
    ended = make_event(decode(golden("sw_upgrade_result.json")), DeliveryFacts())
    assert isinstance(ended, SoftwareUpgradeEnded)
    assert (ended.outcome, ended.error_code, ended.error_description) == (Outcome.FAILED, "5", "space")


KINDS = {
    "device_added": DeviceAdded,
    "bind_device": DeviceBound,
    "bind_device_expired": DeviceBindingExpired,
    "device_info_changed": DeviceInfoChanged,
    "device_data_changed": DeviceDataReported,
    "device_data_changed_short": DeviceDataReported,
    "device_datas_changed": DeviceDataReported,
    "service_info_changed": ServiceInfoChanged,
    "device_deleted": DeviceDeleted,
    "message_confirm": MessageConfirmed,
    "command_rsp": CommandAnswered,
    "device_event": DeviceEventReported,
    "device_model_added": DeviceModelAdded,
    "device_model_deleted": DeviceModelDeleted,
    "rule_event": RuleFired,
    "desired_properties_changed": DesiredPropertiesSettled,
    "command_status": CommandStatusChanged,
    "fw_upgrade_state_change": FirmwareStateChanged,
    "fw_upgrade_result": FirmwareUpgradeEnded,
    "sw_upgrade_state_change": SoftwareStateChanged,
    "sw_upgrade_result": SoftwareUpgradeEnded,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_push_has_its_event_with_the_facts_of_its_delivery(golden, name):
    notification = decode(golden(f"{name}.json"))
    event = make_event(notification, read_delivery_facts(FULL))
    assert type(event) is KINDS[name]
    assert (event.event_id, event.sequence, event.attempt, event.replay) == ("evt_7", 12, 3, True)
    assert getattr(event, "device_id", None) == device_of(notification)


def test_every_event_is_among_them():
    assert set(KINDS.values()) == set(typing.get_args(Event))


def test_what_device_events_say(golden):
    def event(name):
        return make_event(decode(golden(f"{name}.json")), DeliveryFacts())

    assert (event("device_added").node_type, event("device_added").info.node_id) == ("GATEWAY", "863703030000011")
    assert dict(event("device_info_changed").changes) == {
        "fw_version": "1.1.0",
        "status": "ONLINE",
        "status_detail": "NONE",
    }
    (report,) = event("device_data_changed").reports
    assert (report.service_id, report.data) == ("Brightness", {"brightness": 80})
    assert report.reported_at == datetime(2017, 3, 11, 16, 36, 57, tzinfo=UTC)
    assert event("device_data_changed_short").reports[0].reported_at is None
    assert [report.service_id for report in event("device_datas_changed").reports] == ["Brightness", "Battery"]
    assert event("service_info_changed").muted_commands == ("CLOSE", "OPEN")
    assert event("desired_properties_changed").delivered
    assert event("command_status").status is CommandStatus.DELIVERED
    assert event("command_status_detail").detail == {"level": 5}
    assert event("rule_event").results[1].error == "no number"
    assert event("rule_event").reasons[0].passed_on == {"note": "x"}
    assert event("message_confirm").status == "delivered"
    assert event("command_rsp").method == "MUTE_COMMANDS"
    assert event("device_event").event_type == "alarm"


@pytest.mark.parametrize("code", list(CommandResultCode))
def test_every_code_of_a_command_has_its_status(code):
    push = CommandStatusNotify(device_id="d", command_id="c", result=CommandResult(result_code=code))
    assert isinstance(make_event(push, DeliveryFacts()).status, CommandStatus)


def test_every_step_has_its_state():
    assert [state.value for state in FirmwareState] == list(STEP_DESCRIPTIONS.values())


@pytest.mark.parametrize("word", list(SwUpgradeState))
def test_every_word_of_software_has_its_state(word):
    push = SwUpgradeStateChangeNotify(
        device_id="d", app_id="a", operation_id="o", sub_operation_id="s", sw_upgrade_state=word
    )
    assert isinstance(make_event(push, DeliveryFacts()), SoftwareStateChanged)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), st.text(max_size=60)))
def test_headers_that_make_no_sense_never_refuse_a_push(headers):
    facts = read_delivery_facts(headers)
    assert facts.attempt >= 1
    assert facts.sequence is None or facts.sequence >= 1
    assert facts.occurred_at is None or facts.occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        (names.SEQUENCE, "0", "sequence"),
        (names.SEQUENCE, "-4", "sequence"),
        (names.OCCURRED_AT, "2026-01-02T03:04:05", "occurred_at"),
        (names.OCCURRED_AT, "0001-01-01T00:00:00+14:00", "occurred_at"),
        (names.WEBHOOK_ID, "x" * 257, "event_id"),
    ],
)
def test_a_header_without_sense_counts_as_absent(name, value, fact):
    assert getattr(read_delivery_facts({name: value}), fact) is None


def test_events_are_frozen(golden):
    event = make_event(decode(golden("fw_upgrade_state_change.json")), DeliveryFacts())
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.state = FirmwareState.IDLE
