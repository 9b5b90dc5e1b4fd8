"""Which failures are followed by another try, and how long the waits can be."""

import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast_sdk import (
    ClientClosedError,
    NotReachedError,
    RetryPolicy,
    TransportError,
    UnexpectedAnswerError,
)
from firmcast_sdk.client.call import Repeat
from firmcast_sdk.errors import make_northbound_error

ZERO = timedelta()


def refused(code="1", status=400, retry_after=None):
    return make_northbound_error(code=code, description="", status=status, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "unless_sent", "otherwise"),
    [
        (NotReachedError("x"), True, True),
        (refused("1010009", 403), True, True),
        (refused("1010004", 403), True, True),
        (TransportError("x"), False, True),
        (refused("100001", 503), False, True),
        (UnexpectedAnswerError("x", status=502), False, True),
        (UnexpectedAnswerError("x", status=504), False, True),
        (refused("100001", 500), False, False),
        (refused("100022", 400), False, False),
        (refused("1010005", 403), False, False),
        (UnexpectedAnswerError("x", status=200), False, False),
        (ClientClosedError("x"), False, False),
    ],
)
def test_what_is_tried_again(error, unless_sent, otherwise):
    expected = {Repeat.UNLESS_SENT: unless_sent, Repeat.ALWAYS: otherwise, Repeat.WITH_KEY: otherwise}
    for repeat, tried_again in expected.items():
        wait = RetryPolicy().wait(error, repeat, tried=1, waited=ZERO)
        assert (wait is not None) is tried_again


def test_one_try_means_one():
    assert RetryPolicy(tries=1).wait(NotReachedError("x"), Repeat.ALWAYS, tried=1, waited=ZERO) is None


@settings(max_examples=200)
@given(
    tries=st.integers(2, 10**6),
    tried=st.integers(1, 10**6),
    first=st.integers(0, 10**4),
    longest=st.integers(0, 10**5),
    total=st.integers(0, 10**6),
    waited=st.integers(0, 10**6),
    asked=st.none() | st.integers(0, 10**9),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_no_wait_breaks_its_bounds(tries, tried, first, longest, total, waited, asked, jitter):
    policy = RetryPolicy(
        tries=tries,
        first_wait=timedelta(milliseconds=first),
        longest_wait=timedelta(milliseconds=longest),
        longest_total_wait=timedelta(milliseconds=total),
        jitter=lambda: jitter,
    )
    asked_for = None if asked is None else timedelta(milliseconds=asked)
    error = refused("100001", 503, asked_for)
    wait = policy.wait(error, Repeat.ALWAYS, tried=tried, waited=timedelta(milliseconds=waited))
    if wait is None:
        assert tried >= tries or (asked or 0) > longest or waited + longest > total
    else:
        assert tried < tries
        assert ZERO <= wait <= policy.longest_wait
        assert timedelta(milliseconds=waited) + wait <= policy.longest_total_wait
        assert asked_for is None or wait >= asked_for


def test_a_throttled_call_waits_longer_when_it_is_not_told_for_how_long():
    policy = RetryPolicy(jitter=lambda: 0.0)
    waits = [policy.wait(refused("1010009", 403), Repeat.ALWAYS, tried=tried, waited=ZERO) for tried in (1, 2, 3)]
    assert waits == [timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20)]


def test_many_clients_do_not_come_back_together():
    policy = RetryPolicy(jitter=random.Random(1).random)
    waits = {policy.wait(NotReachedError("x"), Repeat.ALWAYS, tried=1, waited=ZERO) for _ in range(50)}
    assert len(waits) > 40
    assert all(timedelta(milliseconds=250) <= wait <= timedelta(milliseconds=500) for wait in waits)


@pytest.mark.parametrize(
    "wrong",
    [{"tries": 0}, {"first_wait": -timedelta.resolution}, {"longest_wait": timedelta(days=-1)}],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
