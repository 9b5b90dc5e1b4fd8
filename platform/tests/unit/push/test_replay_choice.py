"""What a replay tells next: everything that is wanted, once, in order, however the log is cut into steps."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from firmcast.events.model import EventHeading, EventType
from firmcast.ids import ApplicationId, DeviceId, EventId, ReplayId, SubscriptionId
from firmcast.push.replay.model import Replay, ReplayOrder, ReplayState, choose

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
APPLICATION, ANOTHER = ApplicationId("a"), ApplicationId("b")
TYPES = [EventType.FIRMWARE_STATE_CHANGED, EventType.FIRMWARE_UPGRADE_ENDED, EventType.DEVICE_ADDED]
WANTED = {
    EventType.FIRMWARE_STATE_CHANGED: [SubscriptionId("states")],
    EventType.FIRMWARE_UPGRADE_ENDED: [SubscriptionId("ends"), SubscriptionId("ends too")],
}


def replay(*, cursor: int = 0, last: int = 1000, device: str = "", since: int | None = None, until: int | None = None):
    return Replay(
        replay_id=ReplayId(1),
        order=ReplayOrder(
            application_id=APPLICATION,
            subscription_ids=(SubscriptionId("states"),),
            device_id=DeviceId(device) if device else None,
            since=None if since is None else NOW + since * MINUTE,
            until=None if until is None else NOW + until * MINUTE,
            rate=100,
        ),
        created_at=NOW,
        created_by="test",
        last=last,
        state=ReplayState.OPEN,
        cursor=cursor,
        queued=0,
        passed_over=0,
        incomplete=False,
        paid_until=NOW,
        ended_at=None,
    )


def heading(event: int, *, kind: EventType = TYPES[0], minute: int = 0, application: ApplicationId = APPLICATION):
    return EventHeading(
        event_id=EventId(event),
        application_id=application,
        device_id=DeviceId("d"),
        sequence=event,
        event_type=kind,
        occurred_at=NOW + minute * MINUTE,
    )


@given(
    log=st.lists(st.tuples(st.sampled_from(TYPES), st.integers(0, 9)), max_size=40),
    bounds=st.tuples(st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)),
    last=st.integers(0, 45),
    at_once=st.integers(1, 5),
    looked_at=st.integers(1, 7),
    of_device=st.booleans(),
)
def test_what_is_wanted_is_told_once_and_in_order(log, bounds, last, at_once, looked_at, of_device) -> None:
    headings = [heading(number, kind=kind, minute=minute) for number, (kind, minute) in enumerate(log, start=1)]
    it = replay(last=last, since=bounds[0], until=bounds[1], device="d" if of_device else "")
    told, cursor = [], 0
    while cursor < last:
        following = [one for one in headings if one.event_id > cursor][:looked_at]
        step = choose(
            replay(cursor=cursor, last=last, since=bounds[0], until=bounds[1], device=it.order.device_id or ""),
            following,
            WANTED,
            most=at_once,
            is_end=len(following) < looked_at,
            log_begins=1,
        )
        assert step.cursor > cursor, "each step gets somewhere"
        assert len(step.told) <= at_once + 1
        assert not step.incomplete
        told += [(one.event_id, one.subscription_id) for one in step.told]
        cursor = step.cursor
    since, until = bounds
    assert told == [
        (one.event_id, subscription)
        for one, (kind, minute) in zip(headings, log, strict=True)
        for subscription in WANTED.get(kind, [])
        if one.event_id <= last and (since is None or minute >= since) and (until is None or minute < until)
    ]


def test_what_retention_has_taken_before_it_was_reached_is_said() -> None:
    step = choose(replay(cursor=3), [heading(9)], WANTED, most=5, is_end=True, log_begins=9)
    assert step.incomplete
    step = choose(replay(cursor=8), [heading(9)], WANTED, most=5, is_end=True, log_begins=9)
    assert not step.incomplete


def test_a_device_that_went_to_another_application_takes_its_history_along_for_nobody() -> None:
    step = choose(
        replay(device="d", last=2),
        [heading(1, application=ANOTHER), heading(2)],
        WANTED,
        most=5,
        is_end=True,
        log_begins=1,
    )
    assert [one.event_id for one in step.told] == [2]
