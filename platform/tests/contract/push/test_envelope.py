"""What is on the wire, against bodies written out by hand from the contract (section 8)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from firmcast.events.model import (
    Binding,
    DeviceAdded,
    DeviceBound,
    DeviceDeleted,
    DeviceDescription,
    DeviceInfoChanged,
    Event,
    Fact,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    Outcome,
    Reachability,
)
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId, MessageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push.envelope import attempt_headers, encode_event
from firmcast.push.signing import Signature
from firmcast.upgrades.rules.wording import describe_success
from firmcast_sdk.wire.decoding import FieldError, decode_struct
from firmcast_sdk.wire.devices import (
    ModifyDeviceRequest,
    RefreshDeviceRequest,
    RegisterDeviceRequest,
    RegisteredDeviceInfo,
    RegisterSecretDeviceRequest,
)

OCCURRED_AT = datetime(2026, 11, 24, 8, 5, 9, 123_999, tzinfo=UTC)


def event(fact: Fact) -> Event:
    return Event(
        event_id=EventId(7),
        message_id=MessageId("evt_1"),
        sequence=3,
        application_id=ApplicationId("app"),
        device_id=DeviceId("device"),
        task_id=TaskId("task"),
        device_upgrade_id=DeviceUpgradeId("sub"),
        occurred_at=OCCURRED_AT,
        synthesised=False,
        fact=fact,
    )


@pytest.mark.parametrize(
    ("state", "step", "word"),
    [
        (FirmwareUpdateState.IDLE, "0", "idle"),
        (FirmwareUpdateState.DOWNLOADING, "1", "downloading"),
        (FirmwareUpdateState.DOWNLOADED, "2", "downloaded"),
        (FirmwareUpdateState.UPDATING, "3", "updating"),
    ],
)
def test_a_state_is_seven_strings_without_a_blank(state: FirmwareUpdateState, step: str, word: str) -> None:
    assert encode_event(event(FirmwareStateChanged(state=state))).decode() == (
        '{"notifyType":"fwUpgradeStateChangeNotify","deviceId":"device","appId":"app","operationId":"task",'
        f'"subOperationId":"sub","step":"{step}","stepDesc":"{word}"}}'
    )


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.SUCCEEDED, "SUCCESS"), (Outcome.FAILED, "FAIL"), (Outcome.CANCELLED, "FAIL")],
)
def test_an_end_tells_versions_status_and_duration_as_strings(outcome: Outcome, status: str) -> None:
    fact = FirmwareUpgradeEnded(
        outcome=outcome,
        description="why",
        source_version="1.3",
        target_version="1.6",
        current_version="1.6",
        duration=62,
    )
    assert encode_event(event(fact)).decode() == (
        '{"notifyType":"fwUpgradeResultNotify","deviceId":"device","appId":"app","operationId":"task",'
        '"subOperationId":"sub","curVersion":"1.6","targetVersion":"1.6","sourceVersion":"1.3",'
        f'"status":"{status}","statusDesc":"why","upgradeTime":"62"}}'
    )


# A new device as the contract shows it: everything that is not known is null.
UNKNOWN = (
    '"mac":null,"location":null,"deviceType":null,"model":null,"swVersion":null,"fwVersion":null,"hwVersion":null,'
    '"protocolType":null,"bridgeId":null'
)
NEVER_SAID = (
    '"supportedSecurity":null,"isSecurity":null,"signalStrength":null,"sigVersion":null,"serialNumber":null,'
    '"batteryLevel":null'
)
NEW = DeviceDescription(
    endpoint_name="863703030000011",
    name="",
    manufacturer_id="",
    manufacturer_name="",
    device_type="",
    model="",
    protocol_type="",
    location="",
    mute="",
    is_secure="",
    firmware_version="",
    reachability=Reachability.NEVER_REGISTERED,
)


def test_a_new_device_is_a_gateway_of_itself_with_every_key_of_its_information() -> None:
    assert encode_event(event(DeviceAdded(device=NEW))).decode() == (
        '{"notifyType":"deviceAdded","deviceId":"device","gatewayId":"device","nodeType":"GATEWAY",'
        '"deviceInfo":{"nodeId":"863703030000011","name":null,"description":null,"manufacturerId":null,'
        f'"manufacturerName":null,{UNKNOWN},"status":"OFFLINE","statusDetail":"NOT_ACTIVE","mute":null,{NEVER_SAID}}}}}'
    )


@pytest.mark.parametrize(
    ("binding", "word", "reachability", "status", "detail"),
    [
        (Binding.SUCCEEDED, "succeeded", Reachability.ONLINE, "ONLINE", "NONE"),
        (Binding.EXPIRED, "expired", Reachability.NEVER_REGISTERED, "OFFLINE", "NOT_ACTIVE"),
    ],
)
def test_a_first_registration_is_told_with_its_result(binding, word, reachability, status, detail) -> None:
    device = replace(NEW, reachability=reachability)
    assert encode_event(event(DeviceBound(binding=binding, device=device))).decode() == (
        f'{{"notifyType":"bindDevice","deviceId":"device","resultCode":"{word}",'
        '"deviceInfo":{"nodeId":"863703030000011","name":null,"description":null,"manufacturerId":null,'
        f'"manufacturerName":null,{UNKNOWN},"status":"{status}","statusDetail":"{detail}","mute":null,{NEVER_SAID}}}}}'
    )


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"reachability": Reachability.ONLINE}, '"status":"ONLINE","statusDetail":"NONE"'),
        ({"reachability": Reachability.OFFLINE}, '"status":"OFFLINE","statusDetail":"NONE"'),
        ({"firmware_version": "1.6"}, '"fwVersion":"1.6"'),
        ({"name": "", "mute": "TRUE"}, '"name":"","mute":"TRUE"'),
        ({"endpoint_name": "n", "is_secure": "true"}, '"nodeId":"n","isSecurity":"true"'),
        (
            {"manufacturer_id": "i", "manufacturer_name": "n", "location": "l"},
            '"manufacturerId":"i","manufacturerName":"n","location":"l"',
        ),
        (
            {"device_type": "t", "model": "m", "protocol_type": "LWM2M"},
            '"deviceType":"t","model":"m","protocolType":"LWM2M"',
        ),
    ],
)
def test_a_change_tells_what_changed_and_nothing_else(facts, told: str) -> None:
    changed = DeviceInfoChanged(changed=DeviceDescription(**facts))
    assert encode_event(event(changed)).decode() == (
        f'{{"notifyType":"deviceInfoChanged","deviceId":"device","gatewayId":"device","deviceInfo":{{{told}}}}}'
    )


def test_a_deletion_names_the_device_alone() -> None:
    assert encode_event(event(DeviceDeleted())) == (
        b'{"notifyType":"deviceDeleted","deviceId":"device","gatewayId":"device"}'
    )


def test_the_body_of_a_new_device_is_the_golden_one() -> None:
    device_id = DeviceId("3e3c1d2a-7f58-4c55-9d0b-0b6a8a5f1c11")
    golden = Path(__file__).parents[4] / "sdk/tests/golden/device_added.json"
    assert encode_event(replace(event(DeviceAdded(device=NEW)), device_id=device_id)) == golden.read_bytes().rstrip()


@pytest.mark.parametrize("fact", [DeviceAdded(device=NEW), DeviceDeleted()])
def test_an_event_of_no_upgrade_names_none(fact: Fact) -> None:
    body = encode_event(replace(event(fact), task_id=None, device_upgrade_id=None))
    assert b"peration" not in body
    assert b'": ' not in body


def headers(*, synthesised: bool = False, occurred_at: datetime = OCCURRED_AT, signed: bool = True) -> dict[str, str]:
    lines = attempt_headers(
        message_id=MessageId("evt_1"),
        sequence=3,
        occurred_at=occurred_at,
        synthesised=synthesised,
        attempt=2,
        signature=Signature(timestamp="1795507509", value="v1,abc=") if signed else None,
    )
    return dict(line.split(": ", 1) for line in lines if not line.endswith(":"))


def test_the_headers_of_an_attempt() -> None:
    found = headers()
    assert found.pop("user-agent").startswith("firmcast/")
    assert found == {
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "webhook-timestamp": "1795507509",
        "webhook-signature": "v1,abc=",
        "firmcast-sequence": "3",
        "firmcast-attempt": "2",
        "firmcast-occurred-at": "2026-11-24T08:05:09.123Z",
    }


def test_a_synthesised_edge_is_marked() -> None:
    assert headers(synthesised=True)["firmcast-synthesised"] == "true"
    assert "firmcast-synthesised" not in headers()


def test_the_time_of_the_event_is_told_in_utc_whatever_its_zone() -> None:
    shanghai = OCCURRED_AT.astimezone(timezone(timedelta(hours=8)))
    assert headers(occurred_at=shanghai)["firmcast-occurred-at"] == "2026-11-24T08:05:09.123Z"


def test_an_unsigned_attempt_has_no_signature_headers() -> None:
    assert {"webhook-signature", "webhook-timestamp"}.isdisjoint(headers(signed=False))


# The character that takes most room where anything is permitted (six bytes of JSON), and where it must be printable.
ANY, PRINTABLE = "\x01", "\U0001f600"
LARGEST_BODY = 20 * 1024
DESCRIBED = DeviceDescription(
    endpoint_name=PRINTABLE * 256,
    name=ANY * 256,
    manufacturer_id=ANY * 256,
    manufacturer_name=ANY * 256,
    device_type=ANY * 256,
    model=ANY * 256,
    protocol_type=ANY * 256,
    location=ANY * 1024,
    mute="FALSE",
    is_secure="FALSE",
    firmware_version=ANY * 255,
    reachability=Reachability.NEVER_REGISTERED,
)


@pytest.mark.parametrize(
    "fact",
    [
        DeviceAdded(device=DESCRIBED),
        DeviceBound(binding=Binding.EXPIRED, device=DESCRIBED),
        DeviceInfoChanged(changed=DESCRIBED),
        FirmwareUpgradeEnded(
            outcome=Outcome.SUCCEEDED,
            description=describe_success("2", "\U000e0001" * 255),
            source_version=ANY * 255,
            target_version=PRINTABLE * 256,
            current_version=ANY * 255,
            duration=2**31,
        ),
    ],
)
def test_no_body_is_larger_than_the_longest_texts_that_are_let_in(fact: Fact) -> None:
    """So what waits for an application is bounded in bytes where it is in rows (ADR 45)."""
    assert len(encode_event(event(fact))) <= LARGEST_BODY


@pytest.mark.parametrize(
    "said",
    [
        RegisterDeviceRequest,
        RegisterSecretDeviceRequest,
        RegisteredDeviceInfo,
        RefreshDeviceRequest,
        ModifyDeviceRequest,
    ],
)
def test_nothing_that_is_said_of_a_device_takes_a_longer_text(said: type[msgspec.Struct]) -> None:
    whole: dict[str, object] = {"nodeId": "1"} if said is RegisterDeviceRequest else {"deviceInfo": {}}
    decode_struct(said, msgspec.json.encode(whole))
    for field in msgspec.structs.fields(said):
        text = "1" * (1025 if field.name == "location" else 257)
        with pytest.raises(FieldError, match=field.encode_name):
            decode_struct(said, msgspec.json.encode({**whole, field.encode_name: text}))
