"""What becomes of a delivery, for every kind of answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.push.answer import Answer, FailureKind
from firmcast.push.retry import (
    Blocked,
    Dead,
    DeadReason,
    Delivered,
    FailureReason,
    RetryAt,
    RetryPolicy,
    Verdict,
    WhenGivenUp,
    concerns_callback,
    decide,
    failure_reason,
    parse_retry_after,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
POLICY = RetryPolicy()


def answered(status: int, retry_after: str | None = None) -> Answer:
    return Answer(status=status, failure=None, retry_after=retry_after, duration=0.1)


def failed(kind: FailureKind) -> Answer:
    return Answer(status=None, failure=kind, duration=0.1)


def judge(
    answer: Answer, *, attempt: int = 1, age: timedelta = timedelta(0), jitter: float = 0.0, date: datetime = NOW
) -> Verdict:
    return decide(
        attempt=attempt,
        first_attempted_at=NOW - age,
        answer=answer,
        policy=POLICY,
        now=NOW,
        date=date,
        jitter=jitter,
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_any_2xx_delivers(status: int) -> None:
    assert judge(answered(status)) == Delivered()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (301, FailureReason.REDIRECTED),
        (307, FailureReason.REDIRECTED),
        (304, FailureReason.REDIRECTED),
        (400, FailureReason.REFUSED),
        (401, FailureReason.REFUSED),
        (404, FailureReason.REFUSED),
        (413, FailureReason.UNACCEPTABLE),
        (429, FailureReason.THROTTLED),
        (500, FailureReason.SERVER_ERROR),
        (502, FailureReason.UNAVAILABLE),
        (503, FailureReason.UNAVAILABLE),
        (599, FailureReason.SERVER_ERROR),
        (700, FailureReason.SERVER_ERROR),
    ],
)
def test_other_statuses_are_tried_again_on_the_schedule(status: int, reason: FailureReason) -> None:
    assert judge(answered(status)) == RetryAt(at=NOW + timedelta(seconds=1), reason=reason)


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind not in {FailureKind.LOCAL, FailureKind.PROXY}])
def test_failures_without_a_status_are_tried_again(kind: FailureKind) -> None:
    verdict = judge(failed(kind), attempt=3)
    assert isinstance(verdict, RetryAt)
    assert verdict.at == NOW + timedelta(seconds=5)
    assert verdict.spends_attempt


def test_our_own_fault_spends_no_attempt_whatever_the_age() -> None:
    verdict = judge(failed(FailureKind.LOCAL), attempt=40, age=timedelta(days=30))
    assert verdict == RetryAt(at=NOW + timedelta(seconds=1), reason=FailureReason.LOCAL, spends_attempt=False)


def test_the_proxys_fault_spends_no_attempt_and_ages() -> None:
    verdict = judge(failed(FailureKind.PROXY), attempt=40, age=POLICY.age_limit - timedelta(minutes=1))
    assert verdict == RetryAt(at=NOW + timedelta(seconds=1), reason=FailureReason.PROXY, spends_attempt=False)
    verdict = judge(failed(FailureKind.PROXY), attempt=1, age=POLICY.age_limit)
    assert verdict == Dead(reason=DeadReason.EXPIRED, failure=FailureReason.PROXY)


@pytest.mark.parametrize(
    ("status", "reason", "failure"),
    [
        (410, DeadReason.GONE, FailureReason.GONE),
        (413, DeadReason.UNACCEPTABLE, FailureReason.UNACCEPTABLE),
        (415, DeadReason.UNACCEPTABLE, FailureReason.UNACCEPTABLE),
        (422, DeadReason.UNACCEPTABLE, FailureReason.UNACCEPTABLE),
    ],
)
def test_an_event_the_receiver_cannot_take_has_a_budget(
    status: int, reason: DeadReason, failure: FailureReason
) -> None:
    first = judge(answered(status), attempt=POLICY.unacceptable_attempts - 1)
    assert isinstance(first, RetryAt)
    assert (first.reason, first.spends_attempt) == (failure, True)
    verdict = judge(answered(status), attempt=POLICY.unacceptable_attempts)
    assert verdict == Dead(reason=reason, failure=failure)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("spelling", ["7", format_datetime(NOW + timedelta(seconds=7), usegmt=True)])
def test_retry_after_holds_the_whole_subscription_and_spends_nothing(status: int, spelling: str) -> None:
    assert judge(answered(status, spelling), attempt=5) == RetryAt(
        at=NOW + timedelta(seconds=7),
        reason=FailureReason.THROTTLED,
        spends_attempt=False,
        holds_callback=True,
    )


@pytest.mark.parametrize("spelling", ["0", "-5", "soon", "", "1.5", format_datetime(NOW, usegmt=True), "٧"])
def test_a_useless_retry_after_falls_back_to_the_schedule(spelling: str) -> None:
    verdict = judge(answered(503, spelling))
    assert verdict == RetryAt(at=NOW + timedelta(seconds=1), reason=FailureReason.UNAVAILABLE)


def test_retry_after_on_other_statuses_means_nothing() -> None:
    assert judge(answered(500, "70")) == RetryAt(at=NOW + timedelta(seconds=1), reason=FailureReason.SERVER_ERROR)


def test_a_receiver_cannot_send_us_away_for_days() -> None:
    verdict = judge(answered(429, str(10**30)))
    assert isinstance(verdict, RetryAt)
    assert verdict.at == NOW + POLICY.longest_throttle


def test_the_schedule_outlives_a_long_outage_and_ends_at_the_age_limit() -> None:
    now = NOW
    attempts = 0
    while True:
        attempts += 1
        verdict = decide(
            attempt=attempts,
            first_attempted_at=NOW,
            answer=failed(FailureKind.CONNECT),
            policy=POLICY,
            now=now,
            date=now,
            jitter=0.5,
        )
        if isinstance(verdict, Dead):
            break
        assert isinstance(verdict, RetryAt)
        assert verdict.at > now
        now = verdict.at
    assert verdict.reason is DeadReason.EXPIRED
    assert now == NOW + POLICY.age_limit
    assert attempts > 300


def test_an_answer_with_neither_status_nor_failure_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="a status or a failure"):
        failure_reason(Answer(status=None, failure=None, duration=0.0))


def test_what_says_nothing_of_the_callback_as_a_whole() -> None:
    lane_only = {reason for reason in FailureReason if not concerns_callback(reason)}
    assert FailureReason.SERVER_ERROR in lane_only
    assert FailureReason.TIMEOUT in lane_only
    assert FailureReason.CONNECT not in lane_only


@given(
    status=st.integers(100, 999),
    retry_after=st.none() | st.text(max_size=40) | st.integers().map(str),
    attempt=st.integers(1, 10_000),
    age=st.timedeltas(timedelta(0), timedelta(days=20)),
    jitter=st.floats(0, 1),
)
@settings(max_examples=200)
def test_every_answer_has_a_verdict_and_no_retry_lies_in_the_past(
    status: int, retry_after: str | None, attempt: int, age: timedelta, jitter: float
) -> None:
    verdict = judge(answered(status, retry_after), attempt=attempt, age=age, jitter=jitter)
    if isinstance(verdict, RetryAt):
        assert NOW < verdict.at <= NOW + timedelta(hours=1)
    assert isinstance(verdict, Delivered) == (200 <= status < 300)


@given(
    status=st.sampled_from([200, 302, 400, 404, 410, 413, 415, 422, 429, 500, 503]),
    retry_after=st.none() | st.integers(0, 10**6).map(str),
    attempt=st.integers(1, 30),
    age=st.timedeltas(timedelta(0), timedelta(days=20)),
    jitter=st.floats(0, 1),
    delays=st.lists(st.timedeltas(timedelta(milliseconds=1), timedelta(days=1)), min_size=1, max_size=5).map(tuple),
    age_limit=st.timedeltas(timedelta(0), timedelta(days=10)),
)
@settings(max_examples=300)
def test_any_policy_is_kept_and_what_is_skipped_by_one_is_blocked_by_the_other(
    status: int,
    retry_after: str | None,
    attempt: int,
    age: timedelta,
    jitter: float,
    delays: tuple[timedelta, ...],
    age_limit: timedelta,
) -> None:
    skipping = RetryPolicy(delays=delays, age_limit=age_limit)
    skipped, blocked = (
        decide(
            attempt=attempt,
            first_attempted_at=NOW - age,
            answer=answered(status, retry_after),
            policy=policy,
            now=NOW,
            date=NOW,
            jitter=jitter,
        )
        for policy in (skipping, replace(skipping, when_given_up=WhenGivenUp.BLOCK))
    )
    if isinstance(skipped, Dead):
        assert blocked == Blocked(reason=skipped.reason, failure=skipped.failure)
        assert age >= age_limit or attempt >= skipping.unacceptable_attempts
        return
    assert blocked == skipped
    if isinstance(skipped, RetryAt):
        assert age < age_limit
        assert skipped.at > NOW
        assert skipped.holds_callback == (not skipped.spends_attempt)
        if skipped.spends_attempt:
            full = delays[min(attempt, len(delays)) - 1]
            assert skipped.at <= min(NOW + full, NOW - age + age_limit)
            assert skipped.at >= min(NOW + full / 2, NOW - age + age_limit)


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_retry_after_never_raises(value: str) -> None:
    assert isinstance(parse_retry_after(value, NOW), timedelta | None)


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_retry_after_has_the_three_forms_of_a_date(value: str) -> None:
    """RFC 9110, section 5.6.7: whoever reads a date must take all of them."""
    assert parse_retry_after(value, datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC)) == timedelta(seconds=7)


def test_retry_after_in_another_zone_is_the_same_moment() -> None:
    assert parse_retry_after("Tue, 24 Nov 2026 20:00:00 +0800", NOW) == timedelta(0)


@pytest.mark.parametrize("ahead", [timedelta(hours=1), -timedelta(hours=1), timedelta(0)])
def test_a_date_is_judged_by_the_clock_on_the_wall_though_it_was_set_since_the_start(ahead: timedelta) -> None:
    date = NOW + ahead
    verdict = judge(answered(503, format_datetime(date + timedelta(seconds=7), usegmt=True)), date=date)
    assert isinstance(verdict, RetryAt)
    assert verdict.holds_callback
    assert verdict.at == NOW + timedelta(seconds=7)


@pytest.mark.parametrize("value", ["Fri, 31 Dec 9999 23:59:59 -2359", "Sat, 01 Jan 0100 00:00:00 +2359"])
def test_dates_at_the_ends_of_time_are_dates(value: str) -> None:
    assert parse_retry_after(value, NOW) is not None
