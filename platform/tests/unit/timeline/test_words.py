"""Each entry is one line that a person understands without the page of the protocol."""

from datetime import UTC, datetime, timedelta

import pytest

from firmcast.events.model import (
    DeviceDeleted,
    DeviceDescription,
    DeviceInfoChanged,
    Event,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    Outcome,
    Reachability,
)
from firmcast.ids import ApplicationId, DeviceId, EventId, MessageId, SubscriptionId
from firmcast.journal.model import Decision, Exchange, ExchangeKind, Transfer
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push.model import Attempt, DeadLetter
from firmcast.push.retry import DeadReason, FailureReason
from firmcast.timeline.details import details
from firmcast.timeline.model import Entry
from firmcast.timeline.words import line

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(fact, *, synthesised: bool = False) -> Event:
    return Event(
        event_id=EventId(70),
        message_id=MessageId("m"),
        sequence=7,
        application_id=ApplicationId("a"),
        device_id=DeviceId("d"),
        task_id=None,
        device_upgrade_id=None,
        occurred_at=AT,
        synthesised=synthesised,
        fact=fact,
    )


def attempt(**said) -> Attempt:
    told = {"status": 503, "failure": FailureReason.SERVER_ERROR, "detail": "", **said}
    return Attempt(
        attempt_id=1,
        event_id=EventId(70),
        subscription_id=SubscriptionId("s"),
        device_id=DeviceId("d"),
        number=2,
        attempted_at=AT,
        duration=timedelta(seconds=1.5),
        address="192.0.2.1",
        answer=b"",
        **told,
    )


CASES = [
    (
        Exchange(kind=ExchangeKind.REGISTER, told={"lifetime": "300"}, answer="2.01"),
        "the device registered: 2.01, lifetime=300",
    ),
    (
        Exchange(kind=ExchangeKind.NOTIFICATION, path="/5/0/3", told={"/5/0/3": "1"}),
        "the device notified /5/0/3=1 downloading",
    ),
    (Exchange(kind=ExchangeKind.EXPIRY), "the registration ran out"),
    (
        Exchange(
            kind=ExchangeKind.READ, path="/5/0", told={"/5/0/3": "0", "/5/0/5": "7"}, answer="2.05", seconds=0.25
        ),
        "read /5/0: 2.05 in 0.25 s, /5/0/3=0 idle, /5/0/5=7 (the device could not use the address of the package)",
    ),
    (
        Exchange(kind=ExchangeKind.EXECUTE, path="/5/0/2", failure="no answer from the device: timeout", seconds=93.0),
        "execute /5/0/2: no answer from the device: timeout in 93 s",
    ),
    (
        Transfer(
            way="uri", began_at=AT, last_at=AT + timedelta(seconds=95), blocks=61, reached=614, total=1024, restarts=2
        ),
        "fetches the package: 61 blocks in 1 min 35 s, 614 of 1024 bytes (59 %), begun again 2 times",
    ),
    (
        Decision(
            heard="registered",
            before="waiting",
            after="inspecting",
            order="inspect",
            deadline_at=AT + timedelta(minutes=3),
            phase_ends_at=AT + timedelta(minutes=3),
        ),
        "registered; waiting -> inspecting; order inspect, looks again in 3 min",
    ),
    (
        Decision(
            heard="deadline_passed",
            before="executing",
            after="closed",
            attempt=2,
            withdrawn=True,
            outcome="failed",
            description="no word of it",
        ),
        "deadline passed; executing -> closed (attempt 2); the order that waited is taken back, failed: no word of it",
    ),
    (
        Decision(
            heard="inspect_answered",
            before="transferring",
            after="transferring",
            order="reset",
            way_given_up="https",
            why_given_up="nothing was asked for",
            was_left=True,
        ),
        "inspect answered; transferring; gives up https for the package: nothing was asked for, order reset",
    ),
    (event(FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING), synthesised=True),
     "event 7: state 1 downloading, unseen"),
    (
        event(
            FirmwareUpgradeEnded(
                outcome=Outcome.FAILED,
                description="Invalid URI",
                source_version="1",
                target_version="2",
                current_version="1",
                duration=9,
            )
        ),
        "event 7: upgrade failed: Invalid URI",
    ),
    (event(DeviceInfoChanged(changed=DeviceDescription(reachability=Reachability.OFFLINE))), "event 7: device offline"),
    (event(DeviceDeleted()), "event 7: device deleted"),
    (attempt(), "push of event 7 to s, attempt 2: 503, server_error (1.5 s)"),
    (attempt(status=200, failure=None), "push of event 7 to s, attempt 2: 200 (1.5 s)"),
    (
        DeadLetter(
            event_id=EventId(70),
            subscription_id=SubscriptionId("s"),
            device_id=DeviceId("d"),
            sequence=7,
            attempts=9,
            reason=DeadReason.EXPIRED,
            failure=FailureReason.SERVER_ERROR,
            died_at=AT,
        ),
        "push of event 7 to s given up after 9 attempts: expired, server_error",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("what", "said"), CASES, ids=lambda each: type(each).__name__)
def test_a_line(what, said) -> None:
    assert line(Entry(at=AT, what=what, sequence=7)) == said


@pytest.mark.parametrize("what", [what for what, _ in CASES], ids=lambda each: type(each).__name__)
def test_the_same_for_programs_is_plain(what) -> None:
    members = details(Entry(at=AT, what=what))
    assert members
    assert "is" not in members
