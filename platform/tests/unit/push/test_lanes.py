"""The scheduler by example: order, isolation, fairness, memory, recovery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from firmcast.ids import ApplicationId, DeviceId, EventId
from firmcast.push.lanes import Lanes, Sendable
from firmcast.push.model import GroupId, Trouble
from firmcast.push.retry import Blocked, Dead, DeadReason, Delivered, FailureReason, RetryAt
from firmcast.push.scheduling.breaker import BreakerPolicy, BreakerState
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.push.scheduling.lane_limits import LaneLimits
from firmcast.push.scheduling.spill import LoadRequest

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GROUP, OTHER, THIRD = GroupId(1), GroupId(2), GroupId(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    group_id: GroupId
    device_id: DeviceId
    event_id: EventId
    trouble: Trouble | None = None
    replay: int = 0


def row(event: int, device: str = "d", group: GroupId = GROUP, trouble: Trouble | None = None) -> Row:
    return Row(
        group_id=group,
        device_id=DeviceId(device),
        event_id=EventId(event),
        trouble=trouble,
    )


LIMITS = LaneLimits(in_flight=100, reserved=10, window_rows=50, total_rows=200, open_rows=4, load_rows=20)


def lanes(
    limits: LaneLimits = LIMITS,
    breaker: BreakerPolicy | None = None,
    window: int = 80,
    applications: Mapping[GroupId, str] = MappingProxyType({}),
) -> Lanes[Row]:
    return Lanes(
        limits=limits,
        breaker_policy=breaker or BreakerPolicy(),
        concurrency_policy=ConcurrencyPolicy(start=window, most=window),
        draw=lambda: 0.0,
        group_of=lambda row: row.group_id,
        application_of=lambda group_id: ApplicationId(applications.get(group_id, f"of {group_id}")),
    )


def events(sendables: Sequence[Sendable[Row]]) -> list[int]:
    return [sendable.row.event_id for sendable in sendables]


def again(at: datetime, reason: FailureReason = FailureReason.SERVER_ERROR) -> RetryAt:
    return RetryAt(at=at, reason=reason)


def test_one_delivery_of_a_lane_is_in_flight_and_the_next_follows_when_it_is_settled() -> None:
    it = lanes()
    it.offer([row(1), row(2), row(3, "e")], NOW)
    first, other = it.take(NOW)
    assert events([first, other]) == [1, 3]
    assert it.take(NOW) == []
    it.settle(first, Delivered(), NOW)
    assert events(it.take(NOW)) == [2]
    assert it.in_flight == 2


def test_a_failing_lane_waits_alone_and_keeps_its_order() -> None:
    it = lanes()
    it.offer([row(1, "bad"), row(2, "bad"), row(3, "good"), row(4, "good")], NOW)
    bad, good = it.take(NOW)
    it.settle(bad, again(NOW + SECOND), NOW)
    it.settle(good, Delivered(), NOW)
    (good,) = it.take(NOW)
    assert good.row.event_id == 4
    assert it.next_timer() == NOW + SECOND
    (retry,) = it.take(NOW + SECOND)
    assert (retry.row.event_id, retry.attempt, retry.first_attempted_at) == (1, 2, NOW)
    it.settle(retry, Delivered(), NOW + SECOND)
    (following,) = it.take(NOW + SECOND)
    assert (following.row.event_id, following.attempt) == (2, 1)
    assert it.next_timer() is None


def test_what_is_taken_in_parts_is_what_would_be_taken_at_once() -> None:
    rows = [row(number, f"d{number}", [GROUP, OTHER][number % 2]) for number in range(1, 21)]
    at_once, in_parts = lanes(), lanes()
    at_once.offer(rows, NOW)
    in_parts.offer(rows, NOW)
    parts = [events(in_parts.take(NOW, 8)) for _ in range(4)]
    assert [len(part) for part in parts] == [8, 8, 4, 0]
    assert [event for part in parts for event in part] == events(at_once.take(NOW))


def test_after_a_dead_letter_the_lane_goes_on() -> None:
    it = lanes()
    it.offer([row(1), row(2)], NOW)
    (first,) = it.take(NOW)
    it.settle(first, Dead(reason=DeadReason.GONE, failure=FailureReason.GONE), NOW)
    assert events(it.take(NOW)) == [2]


def test_an_attempt_that_was_not_spent_keeps_its_number() -> None:
    it = lanes()
    it.offer([row(1)], NOW)
    (first,) = it.take(NOW)
    unspent = RetryAt(at=NOW + SECOND, reason=FailureReason.LOCAL, spends_attempt=False)
    it.settle(first, unspent, NOW)
    (second,) = it.take(NOW + SECOND)
    assert second.attempt == 1


def test_settling_twice_is_a_mistake_of_the_driver() -> None:
    it = lanes()
    it.offer([row(1), row(2)], NOW)
    (first,) = it.take(NOW)
    it.settle(first, Delivered(), NOW)
    with pytest.raises(ValueError, match="not in flight"):
        it.settle(first, Delivered(), NOW)


def test_groups_take_turns() -> None:
    it = lanes(replace(LIMITS, in_flight=6, reserved=0))
    it.offer([row(event, f"d{event}", GROUP) for event in range(1, 21)], NOW)
    it.offer([row(30, "x", OTHER), row(31, "y", OTHER)], NOW)
    assert events(it.take(NOW)) == [1, 30, 2, 31, 3, 4]


def test_applications_share_places_alike_however_many_callbacks_they_have() -> None:
    owners = {GroupId(number): "many" for number in range(1, 1001)} | {GroupId(2000): "one"}
    it = lanes(replace(LIMITS, in_flight=100, reserved=10, window_rows=2_000, total_rows=5_000), applications=owners)
    it.offer([row(number, "d", GroupId(number)) for number in range(1, 1001)], NOW)
    it.offer([row(2000 + number, f"d{number}", GroupId(2000)) for number in range(1000)], NOW)
    taken = it.take(NOW)
    sent = dict.fromkeys(("many", "one"), 0)
    event = 10_000
    for _ in range(400):
        for sendable in taken[:7]:
            sent[owners[sendable.group_id]] += 1
            it.settle(sendable, Delivered(), NOW)
            event += 1
            it.offer([row(event, f"d{event}", sendable.group_id)], NOW)
        taken = taken[7:] + it.take(NOW)
    assert sum(sent.values()) == 2800
    assert abs(sent["many"] - sent["one"]) < 280


def test_a_slow_application_does_not_hold_the_places_that_a_fast_one_wants() -> None:
    it = lanes(replace(LIMITS, in_flight=40, reserved=4), window=40)
    it.offer([row(number, f"d{number}", GROUP) for number in range(1, 41)], NOW)
    slow = it.take(NOW)
    assert len(slow) == 36
    it.offer([row(number, f"d{number}", OTHER) for number in range(100, 140)], NOW)
    held = [it.take(NOW)]
    for sendable in slow[:18]:
        it.settle(sendable, Delivered(), NOW)
        held.append(it.take(NOW))
    assert {sendable.group_id for taken in held for sendable in taken} == {OTHER}
    assert sum(len(taken) for taken in held) == 18


def test_one_group_fills_its_window_only() -> None:
    it = lanes(window=3)
    it.offer([row(event, f"d{event}") for event in range(1, 11)], NOW)
    assert events(it.take(NOW)) == [1, 2, 3]


def test_the_last_slots_are_for_groups_with_nothing_in_flight() -> None:
    it = lanes(replace(LIMITS, in_flight=10, reserved=3))
    it.offer([row(event, f"d{event}", GROUP) for event in range(1, 21)], NOW)
    assert len(it.take(NOW)) == 7
    it.offer([row(100 + number, "d", GroupId(2 + number)) for number in range(5)], NOW)
    assert events(it.take(NOW)) == [100, 101, 102]
    assert it.in_flight == 10


def test_rows_beyond_the_window_are_read_later_and_in_order() -> None:
    it = lanes(replace(LIMITS, window_rows=4, load_rows=4))
    store = [row(event, f"d{event % 2}") for event in range(1, 31)]
    it.offer(store, NOW)
    delivered: list[int] = []
    for _ in range(200):
        for request in it.needs_rows():
            rest = [item for item in store if item.event_id > request.after and item.event_id not in delivered]
            it.loaded(request, rest[: request.limit], NOW)
        for sendable in it.take(NOW):
            delivered.append(sendable.row.event_id)
            it.settle(sendable, Delivered(), NOW)
        assert it.queued <= 4
    assert sorted(delivered) == list(range(1, 31))
    for parity in (0, 1):
        lane = [event for event in delivered if event % 2 == parity]
        assert lane == sorted(lane)
    it.offer([row(31)], NOW)
    assert events(it.take(NOW)) == [31], "nothing is left behind, so new rows are queued at once"


def test_a_row_committed_while_a_read_is_under_way_is_neither_lost_nor_sent_twice() -> None:
    it = lanes()
    it.add_backlog(GROUP)
    (request,) = it.needs_rows()
    assert request == LoadRequest(group_id=GROUP, after=EventId(0), limit=20)
    it.offer([row(2, "e"), row(3, "f")], NOW)
    it.loaded(request, [row(1), row(2, "e")], NOW)
    it.offer([row(3, "f"), row(4, "g")], NOW)
    assert sorted(events(it.take(NOW))) == [1, 2, 3, 4]
    assert it.needs_rows() == []


def test_a_dead_callback_costs_one_probe_at_a_time_and_few_rows() -> None:
    it = lanes()
    it.offer([row(event, f"d{event}") for event in range(1, 41)], NOW)
    for sendable in it.take(NOW):
        it.settle(sendable, again(NOW + SECOND, FailureReason.CONNECT), NOW)
    assert it.breaker_state(GROUP) is BreakerState.OPEN
    assert it.queued <= 2 * LIMITS.open_rows
    now = NOW
    probes = []
    for _ in range(8):
        due = it.next_timer()
        assert due is not None
        now = max(now, due)
        for probe in it.take(now):
            assert probe.probe
            probes.append(probe.row.event_id)
            assert it.take(now + 5 * SECOND) == []
            it.settle(probe, again(now + SECOND, FailureReason.CONNECT), now)
    assert probes[:4] == [1, 2, 3, 4], "each lane in its turn, the oldest first"
    assert len(probes) >= 5


def test_those_that_do_not_answer_have_a_part_of_the_places_together() -> None:
    it = lanes(replace(LIMITS, in_flight=20, reserved=2, trials=3), BreakerPolicy(failures=2, failing_lanes=2))
    dead = [GroupId(number) for number in range(10, 30)]
    now = NOW
    for group in dead:
        it.offer([row(1, "d", group), row(2, "e", group)], now)
        for sendable in it.take(now):
            it.settle(sendable, again(now + SECOND, FailureReason.TIMEOUT), now)
    tried = set()
    for _ in range(20):
        now += 60 * SECOND
        probes = it.take(now)
        assert 1 <= len(probes) <= 3
        tried |= {sendable.group_id for sendable in probes}
        it.offer([row(100, "x")], now)
        (live,) = it.take(now)
        for sendable in probes:
            it.settle(sendable, again(now + SECOND, FailureReason.TIMEOUT), now)
        it.settle(live, Delivered(), now)
        it.drop_group(GROUP)
    assert tried == set(dead), "each in its turn"


def test_when_a_callback_is_back_everything_is_due_and_the_window_grows() -> None:
    it = lanes(replace(LIMITS, open_rows=40, in_flight=1000))
    it.offer([row(event, f"d{event}") for event in range(1, 41)], NOW)
    far = NOW + timedelta(hours=1)
    for sendable in it.take(NOW):
        it.settle(sendable, again(far, FailureReason.CONNECT), NOW)
    due = it.next_timer()
    assert due is not None
    (probe,) = it.take(due)
    it.settle(probe, Delivered(), due)
    waves = []
    while wave := it.take(due):
        waves.append(len(wave))
        for sendable in wave:
            it.settle(sendable, Delivered(), due)
    assert waves == [2, 4, 8, 16, 9]


def test_rows_left_in_the_store_while_it_was_down_do_not_wait_for_their_old_time() -> None:
    it = lanes(replace(LIMITS, open_rows=1))
    it.offer([row(event, f"d{event}") for event in range(1, 11)], NOW)
    far = NOW + timedelta(hours=1)
    for sendable in it.take(NOW):
        it.settle(sendable, again(far, FailureReason.CONNECT), NOW)
    due = it.next_timer()
    assert due is not None
    (probe,) = it.take(due)
    it.settle(probe, Delivered(), due)
    trouble = Trouble(attempts=1, first_attempted_at=NOW, due_at=far)
    delivered = [probe.row.event_id]
    for _ in range(10):
        for request in it.needs_rows():
            left = [row(event, f"d{event}", trouble=trouble) for event in range(2, 11)]
            it.loaded(request, [item for item in left if item.event_id > request.after], due)
        for sendable in it.take(due):
            assert sendable.attempt == 2
            delivered.append(sendable.row.event_id)
            it.settle(sendable, Delivered(), due)
    assert sorted(delivered) == list(range(1, 11))


def test_a_receiver_that_names_a_time_is_left_alone_until_then() -> None:
    it = lanes()
    it.offer([row(event, f"d{event}") for event in range(1, 6)], NOW)
    sendables = it.take(NOW)
    until = NOW + 7 * SECOND
    throttled = RetryAt(at=until, reason=FailureReason.THROTTLED, spends_attempt=False, holds_callback=True)
    it.settle(sendables[0], throttled, NOW)
    for sendable in sendables[1:]:
        it.settle(sendable, Delivered(), NOW)
    it.offer([row(9, "new")], NOW)
    assert it.take(until - SECOND) == []
    assert it.next_timer() == until
    (probe,) = it.take(until)
    assert (probe.row.event_id, probe.attempt) == (1, 1)


def test_a_dead_group_takes_nothing_from_a_healthy_one() -> None:
    it = lanes(replace(LIMITS, in_flight=20, reserved=5), window=20)
    it.offer([row(event, f"d{event}", GROUP) for event in range(1, 41)], NOW)
    assert len(it.take(NOW)) == 15
    sent = 0
    for event in range(100, 200):
        it.offer([row(event, f"d{event}", OTHER)], NOW)
        (sendable,) = it.take(NOW)
        assert sendable.group_id == OTHER
        it.settle(sendable, Delivered(), NOW)
        sent += 1
    assert sent == 100


def test_a_paused_group_holds_its_rows_and_goes_on_where_it_stopped() -> None:
    it = lanes()
    it.offer([row(1), row(2), row(3, "e")], NOW)
    first, other = it.take(NOW)
    it.pause(GROUP)
    it.settle(first, Delivered(), NOW)
    it.settle(other, again(NOW + SECOND), NOW)
    it.offer([row(4)], NOW)
    assert it.take(NOW + 5 * SECOND) == []
    assert it.needs_rows() == []
    it.resume(GROUP)
    (request,) = it.needs_rows()
    it.loaded(request, [item for item in (row(2), row(3, "e"), row(4)) if item.event_id > request.after], NOW)
    assert events(it.take(NOW)) == [3, 2]


def test_a_group_that_ended_is_forgotten_at_once() -> None:
    it = lanes()
    it.offer([row(1), row(2), row(3, "d", OTHER)], NOW)
    first, other = it.take(NOW)
    it.drop_group(GROUP)
    assert (it.in_flight, it.queued) == (1, 1)
    it.settle(first, again(NOW + SECOND), NOW)
    it.settle(other, Delivered(), NOW)
    assert (it.in_flight, it.queued, it.next_timer()) == (0, 0, None)
    assert it.take(NOW + 5 * SECOND) == []


def test_a_dead_letter_sent_again_takes_its_old_place_in_the_lane() -> None:
    it = lanes()
    it.offer([row(5), row(6), row(7)], NOW)
    (fifth,) = it.take(NOW)
    it.offer_late([row(3), row(2), row(3)], NOW)
    it.settle(fifth, Delivered(), NOW)
    order = []
    while sendables := it.take(NOW):
        for sendable in sendables:
            order.append(sendable.row.event_id)
            it.settle(sendable, Delivered(), NOW)
    assert order == [2, 3, 6, 7]


def test_lanes_that_wait_do_not_keep_the_others_out_of_memory() -> None:
    it = lanes(replace(LIMITS, window_rows=4, load_rows=4), BreakerPolicy(failing_lanes=100))
    far = NOW + timedelta(hours=1)
    store = {event: row(event, "bad" if event <= 20 else f"d{event}") for event in range(1, 31)}
    it.offer(store.values(), NOW)
    (bad,) = it.take(NOW)
    it.settle(bad, again(far), NOW)
    store[1] = replace(store[1], trouble=Trouble(attempts=1, first_attempted_at=NOW, due_at=far))
    sent = []

    def go_on(now: datetime) -> None:
        for _ in range(40):
            for request in it.needs_rows():
                rest = [item for event, item in sorted(store.items()) if event > request.after]
                it.loaded(request, rest[: request.limit], now)
            for sendable in it.take(now):
                sent.append(sendable.row.event_id)
                del store[sendable.row.event_id]
                it.settle(sendable, Delivered(), now)
            assert it.queued <= 4

    go_on(NOW)
    assert sent == list(range(21, 31))
    assert it.queued == 0
    assert it.next_timer() == far
    go_on(far)
    assert sent[10:] == list(range(1, 21))


BLOCKED = Blocked(reason=DeadReason.UNACCEPTABLE, failure=FailureReason.UNACCEPTABLE)
BLOCKED_ROW = Trouble(attempts=12, first_attempted_at=NOW, due_at=NOW, blocked=True)


def test_a_blocked_lane_stands_still_without_rows_and_the_others_go_on() -> None:
    it = lanes()
    it.offer([row(1), row(2), row(3, "e")], NOW)
    head, other = it.take(NOW)
    it.settle(head, BLOCKED, NOW)
    it.settle(other, Delivered(), NOW)
    it.offer([row(4), row(5, "e")], NOW)
    assert it.queued == 1
    assert events(it.take(NOW)) == [5]
    assert (it.needs_rows(), it.next_timer()) == ([], None)


def test_an_unblocked_lane_goes_on_from_its_first_row() -> None:
    it = lanes()
    it.offer([row(1, "e"), row(2), row(3)], NOW)
    other, head = it.take(NOW)
    it.settle(head, BLOCKED, NOW)
    it.unblock(GROUP, DeviceId("d"))
    (request,) = it.needs_rows()
    assert request.after == 1
    it.loaded(request, [row(2), row(3)], NOW)
    assert events(it.take(NOW)) == [2]
    it.settle(other, Delivered(), NOW)
    it.unblock(GROUP, DeviceId("d"))
    it.unblock(OTHER, DeviceId("d"))
    assert it.needs_rows() == []


def test_a_lane_goes_on_when_what_blocks_it_is_taken_back() -> None:
    it = lanes()
    it.offer_late([replayed(1)], NOW)
    (head,) = it.take(NOW)
    it.settle(head, BLOCKED, NOW)
    it.offer([row(7)], NOW)
    it.withdraw(GROUP, DeviceId("d"), EventId(1))
    (request,) = it.needs_rows()
    it.loaded(request, [row(7)], NOW)
    assert events(it.take(NOW)) == [7]


def test_a_restart_finds_a_lane_blocked_and_fills_no_window_with_it() -> None:
    it = lanes(replace(LIMITS, window_rows=4, load_rows=4))
    it.add_backlog(GROUP)
    store = [row(1, trouble=BLOCKED_ROW), *(row(event) for event in range(2, 11)), row(11, "e")]
    asked = []
    while requests := it.needs_rows():
        for request in requests:
            asked.append(request.after)
            it.loaded(request, [item for item in store if item.event_id > request.after][: request.limit], NOW)
            assert it.queued <= 1
    assert asked == [0, 4, 8]
    assert events(it.take(NOW)) == [11]


def test_an_unblocking_that_a_read_under_way_has_not_seen_counts() -> None:
    it = lanes()
    it.add_backlog(GROUP)
    (early,) = it.needs_rows()
    it.unblock(GROUP, DeviceId("d"))
    it.loaded(early, [row(1, trouble=BLOCKED_ROW)], NOW)
    (request,) = it.needs_rows()
    it.loaded(request, [row(1)], NOW)
    assert events(it.take(NOW)) == [1]


def test_of_a_device_that_is_no_longer_ours_only_what_is_in_flight_ends() -> None:
    it = lanes()
    it.offer([row(1), row(2), row(3, "e"), row(4, "e"), row(5, "f", OTHER)], NOW)
    leaving, _, staying = it.take(NOW)
    it.drop_group(OTHER)
    it.keep_only(lambda device: device == "e")
    assert it.in_flight_devices(lambda device: device != "e") == 2, "of a group that has ended, too"
    it.settle(leaving, again(NOW + SECOND), NOW)
    assert it.in_flight_devices(lambda device: device == "d") == 0
    it.settle(staying, Delivered(), NOW)
    assert events(it.take(NOW + 5 * SECOND)) == [4]
    assert (it.queued, it.needs_rows()) == (1, [])


def test_a_device_that_comes_back_is_read_from_its_beginning_and_nothing_is_sent_twice() -> None:
    it = lanes()
    it.offer([row(1), row(2), row(3, "e"), row(4, "e")], NOW)
    first, other = it.take(NOW)
    it.keep_only(lambda device: device == "e")
    it.add_backlog(GROUP)
    (request,) = it.needs_rows()
    assert request.after == 0
    it.loaded(request, [row(1), row(2), row(3, "e"), row(4, "e")], NOW)
    assert it.take(NOW) == []
    it.settle(other, Delivered(), NOW)
    assert events(it.take(NOW)) == [4]
    it.settle(first, Delivered(), NOW)
    (request,) = it.needs_rows()
    assert request.after == 0, "what was written of the first may have been refused"
    it.loaded(request, [row(1), row(2), row(4, "e")], NOW)
    assert events(it.take(NOW)) == [1]
    assert it.queued == 3


def test_a_stream_of_late_rows_lets_a_read_end() -> None:
    it = lanes()
    it.add_backlog(GROUP)
    (request,) = it.needs_rows()
    for event in range(1, 100, 2):
        it.offer_late([row(event, f"late{event}")], NOW)
    it.loaded(request, [row(event, f"d{event}") for event in range(2, 42, 2)], NOW)
    sent = events(it.take(NOW))
    assert set(range(2, 42, 2)) <= set(sent), "what the read brought counts, whatever came meanwhile"
    assert set(range(1, 31, 2)) <= set(sent), "and so do late rows that there is room for"
    assert not it.needs_rows(), "there is no room for more"


def test_a_late_row_without_room_is_read_again() -> None:
    it = lanes(replace(LIMITS, window_rows=4))
    it.offer([row(event, f"d{event}") for event in range(10, 14)], NOW)
    it.offer_late([row(5, "late")], NOW)
    for sendable in it.take(NOW):
        it.settle(sendable, Delivered(), NOW)
    (request,) = it.needs_rows()
    assert request.after == 4
    it.loaded(request, [row(5, "late")], NOW)
    assert events(it.take(NOW)) == [5]


def test_what_a_restart_finds_waiting_waits_for_its_time_and_keeps_its_count() -> None:
    it = lanes()
    it.add_backlog(GROUP)
    (request,) = it.needs_rows()
    trouble = Trouble(attempts=4, first_attempted_at=NOW - timedelta(hours=1), due_at=NOW + SECOND)
    it.loaded(request, [row(1, trouble=trouble), row(2), row(3, "e")], NOW)
    assert events(it.take(NOW)) == [3]
    assert it.next_timer() == NOW + SECOND
    (head,) = it.take(NOW + SECOND)
    assert (head.row.event_id, head.attempt) == (1, 5)
    assert head.first_attempted_at == NOW - timedelta(hours=1)


def test_all_memory_together_is_bounded_but_nobody_is_shut_out() -> None:
    it = lanes(replace(LIMITS, total_rows=30, least_rows=2, window_rows=25, in_flight=4, reserved=0))
    it.offer([row(event, f"d{event}", GROUP) for event in range(1, 26)], NOW)
    it.offer([row(event, f"d{event}", OTHER) for event in range(30, 60)], NOW)
    it.offer([row(event, f"d{event}", THIRD) for event in range(60, 90)], NOW)
    assert it.queued == 25 + 5 + 2


def test_a_row_without_a_group_is_left_in_the_store_until_its_group_begins() -> None:
    begun: set[GroupId] = set()
    it: Lanes[Row] = Lanes(
        limits=LIMITS,
        breaker_policy=BreakerPolicy(),
        concurrency_policy=ConcurrencyPolicy(),
        draw=lambda: 0.0,
        application_of=lambda _: ApplicationId("one"),
        group_of=lambda row: row.group_id if row.group_id in begun else None,
    )
    it.offer([row(1)], NOW)
    it.offer_late([row(2)], NOW)
    assert (it.take(NOW), it.needs_rows(), it.queued) == ([], [], 0)
    begun.add(GROUP)
    it.add_backlog(GROUP)
    (request,) = it.needs_rows()
    it.loaded(request, [row(1), row(2)], NOW)
    assert events(it.take(NOW)) == [1]


def replayed(event: int, device: str = "d") -> Row:
    return replace(row(event, device), replay=1)


def test_a_live_event_goes_before_the_replays_of_its_lane() -> None:
    it = lanes()
    it.offer_late([replayed(1), replayed(2), replayed(3)], NOW)
    (first,) = it.take(NOW)
    it.offer([row(7), row(8)], NOW)
    it.offer_late([replayed(4)], NOW)
    order = []
    while first is not None:
        order.append(first.row.event_id)
        it.settle(first, Delivered(), NOW)
        first = next(iter(it.take(NOW)), None)
    assert order == [1, 7, 8, 2, 3, 4]


def test_a_live_event_does_not_wait_for_a_replay_that_failed() -> None:
    it = lanes()
    it.offer_late([replayed(1), replayed(2)], NOW)
    (failed,) = it.take(NOW)
    it.settle(failed, again(NOW + SECOND), NOW)
    assert it.take(NOW) == []
    it.offer([row(7)], NOW)
    (live,) = it.take(NOW)
    assert (live.row.event_id, live.attempt) == (7, 1)
    it.settle(live, Delivered(), NOW)
    (retried,) = it.take(NOW)
    assert (retried.row.event_id, retried.attempt) == (1, 2)


def test_a_live_event_that_came_while_a_replay_was_on_its_way_does_not_wait_for_it_either() -> None:
    it = lanes()
    it.offer_late([replayed(1), replayed(2)], NOW)
    (failed,) = it.take(NOW)
    it.offer([row(7)], NOW)
    it.settle(failed, again(NOW + SECOND), NOW)
    (live,) = it.take(NOW)
    assert (live.row.event_id, live.attempt) == (7, 1)
    it.settle(live, Delivered(), NOW)
    (retried,) = it.take(NOW)
    assert (retried.row.event_id, retried.attempt) == (1, 2)


def test_live_lanes_go_before_those_that_replay_and_find_most_places_free() -> None:
    it = lanes(window=8)
    it.offer_late([replayed(event, f"d{event}") for event in range(1, 10)], NOW)
    first, second = it.take(NOW)
    it.offer([row(event, f"live{event}") for event in range(20, 27)], NOW)
    live = it.take(NOW)
    assert events(live) == [20, 21, 22, 23, 24, 25]
    it.settle(first, Delivered(), NOW)
    assert events(it.take(NOW)) == [26]
    it.settle(second, Delivered(), NOW)
    assert events(it.take(NOW)) == [3]
    it.settle(live[0], Delivered(), NOW)
    assert events(it.take(NOW)) == [4]


def test_what_is_withdrawn_does_not_leave_and_what_is_on_its_way_is_not_tried_again() -> None:
    it = lanes()
    it.offer_late([replayed(1), replayed(2), replayed(3, "e")], NOW)
    (first, other) = it.take(NOW)
    for event, device in ((1, "d"), (2, "d"), (3, "e")):
        it.withdraw(GROUP, DeviceId(device), EventId(event))
    it.settle(first, again(NOW + SECOND), NOW)
    it.settle(other, Delivered(), NOW)
    assert it.take(NOW + SECOND) == []
    assert (it.queued, it.in_flight) == (0, 0)


def test_what_is_replayed_anew_while_its_withdrawn_copy_is_on_its_way_is_not_lost() -> None:
    it = lanes()
    it.offer_late([replayed(1)], NOW)
    (first,) = it.take(NOW)
    it.withdraw(GROUP, DeviceId("d"), EventId(1))
    it.offer_late([replayed(1)], NOW)
    it.settle(first, again(NOW + SECOND), NOW)
    assert events(it.take(NOW + SECOND)) == [1]


def test_a_window_that_is_cut_keeps_the_trouble_with_its_event() -> None:
    it = lanes(replace(LIMITS, open_rows=1), BreakerPolicy(failures=1, failing_lanes=1))
    it.offer_late([replayed(1), replayed(2)], NOW)
    it.offer([row(7), row(8), row(9)], NOW)
    (live,) = it.take(NOW)
    it.settle(live, again(NOW + SECOND, FailureReason.CONNECT), NOW)
    (probe,) = it.take(NOW + 60 * SECOND)
    assert (probe.row.event_id, probe.attempt) == (1, 1), "what failed is in the store, and was another"


def test_what_is_hastened_while_the_receiver_asks_for_time_is_tried_when_that_is_over() -> None:
    def throttled(seconds: float) -> RetryAt:
        return RetryAt(at=NOW + seconds * SECOND, reason=FailureReason.THROTTLED, holds_callback=True)

    it = lanes()
    it.offer([row(1), row(2, "e")], NOW)
    first, straggler = it.take(NOW)
    it.settle(first, throttled(1), NOW)
    (probe,) = it.take(NOW + SECOND)
    it.settle(straggler, throttled(3), NOW + 2 * SECOND)
    it.settle(probe, again(NOW + 60 * SECOND, FailureReason.CONNECT), NOW + 2.9 * SECOND)
    it.hasten(GROUP, NOW + 2.95 * SECOND)
    assert it.take(NOW + 2.95 * SECOND) == []
    assert it.next_timer() == NOW + 3 * SECOND
    assert events(it.take(NOW + 3 * SECOND)) == [1]


def test_rows_that_nobody_told_of_are_read_and_a_read_from_the_beginning_is_not_in_vain() -> None:
    it = lanes()
    it.add_backlog(GROUP)
    (request,) = it.needs_rows()
    it.add_backlog(GROUP, unheard=True)
    assert it.loaded(request, [row(1), row(2)], NOW)
    (head,) = it.take(NOW)
    assert head.row.event_id == 1
    (request,) = it.needs_rows()
    assert request.after == 0
    it.loaded(request, [row(1), row(2), row(3)], NOW)
    it.settle(head, Delivered(), NOW)
    assert events(it.take(NOW)) == [2]
    assert it.queued == 2


def test_a_read_from_later_on_is_in_vain_when_rows_before_it_went_unheard() -> None:
    it = lanes()
    it.add_backlog(GROUP)
    (request,) = it.needs_rows()
    it.loaded(request, [row(number, f"d{number}") for number in range(1, request.limit + 1)], NOW)
    for head in it.take(NOW):
        it.settle(head, Delivered(), NOW)
    (request,) = it.needs_rows()
    it.add_backlog(GROUP, unheard=True)
    it.loaded(request, [row(40)], NOW)
    assert it.take(NOW) == [], "there may be one of this device before it"
    (request,) = it.needs_rows()
    it.loaded(request, [row(3), row(40)], NOW)
    assert events(it.take(NOW)) == [3]
