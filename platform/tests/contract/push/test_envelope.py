"""What is on the wire, against bodies written out by hand from the contract (section 8)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from firmcast.events.model import Event, Fact, FirmwareStateChanged, FirmwareUpgradeEnded, Outcome
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId, EventId, MessageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push.envelope import attempt_headers, encode_event
from firmcast.push.signing import Signature

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
