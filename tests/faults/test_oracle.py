"""The oracle finds what it is there to find: each of these would pass unseen by one that is blind."""

from dataclasses import replace

import pytest
from tests.faults.oracle import Arrival, Written, judge

WANTED = {"/states": "firmware.state_changed"}
LOG = [
    Written(event_id=number, device="device", sequence=number, message_id=f"m{number}", event_type=event_type)
    for number, event_type in enumerate(
        ["firmware.state_changed", "firmware.state_changed", "device.added", "firmware.state_changed"], 1
    )
]


def arrival(sequence: int, **changed: object) -> Arrival:
    made = Arrival(
        path="/states",
        device="device",
        sequence=sequence,
        attempt=1,
        message_id=f"m{sequence}",
        timestamp=1_000,
        signed_with=[0],
        digest=f"body {sequence}",
        received_at=1_000.5,
        occurred_at="",
        status=200,
        replay="",
        in_flight=0,
    )
    return replace(made, **changed)


GOOD = [arrival(1), arrival(2), arrival(4)]


def test_what_is_right_passes() -> None:
    found = judge(GOOD, LOG, WANTED, ["m1", "m4"])
    found.assert_none()
    assert found.duplicates == 0


def test_a_duplicate_is_counted_and_a_retry_is_none() -> None:
    refused = arrival(4, status=500)
    found = judge([arrival(1), arrival(2), arrival(1), refused, arrival(4, attempt=2)], LOG, WANTED)
    found.assert_none()
    assert found.duplicates == 1


@pytest.mark.parametrize(
    ("arrivals", "acknowledged", "complaint"),
    [
        (GOOD[:2], [], "lost"),
        ([*GOOD[:2], arrival(4, status=503)], [], "lost"),
        (GOOD, ["m5"], "forgotten"),
        ([arrival(2), arrival(1), arrival(4)], [], "overtaken"),
        ([arrival(1, status=500), arrival(2), arrival(1), arrival(4)], [], "overtaken"),
        ([*GOOD[:2], arrival(4, signed_with=[])], [], "unsigned"),
        ([*GOOD[:2], arrival(4, timestamp=900)], [], "stale"),
        ([*GOOD, arrival(4, digest="another body")], [], "unlike"),
        ([*GOOD, arrival(5)], [], "strangers"),
        ([*GOOD, arrival(3)], [], "strangers"),
        ([*GOOD, arrival(4, message_id="other")], [], "strangers"),
    ],
)
def test_what_is_wrong_is_named(arrivals: list[Arrival], acknowledged: list[str], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        judge(arrivals, LOG, WANTED, acknowledged).assert_none()


def test_a_gap_in_the_log_is_named() -> None:
    with pytest.raises(AssertionError, match="holes"):
        judge(GOOD, [event for event in LOG if event.sequence != 3], WANTED).assert_none()


def test_a_dead_letter_is_excused() -> None:
    judge(GOOD[:2], LOG, WANTED, excused=[(("/states", "device"), 4)]).assert_none()
