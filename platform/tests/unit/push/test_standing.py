"""Whether a subscription is called, and by which rules its deliveries are retried."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from firmcast.push.retry import RetryPolicy, WhenGivenUp
from firmcast.push.standing import DeliveryPolicy, Standing, SubscriptionState, rules_for

NOW = datetime(2026, 11, 28, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DURATIONS = st.timedeltas(timedelta(seconds=1), timedelta(days=300))


def test_one_that_nothing_is_known_of_is_called() -> None:
    assert (Standing().state(1), Standing().stopped_at(1)) == (SubscriptionState.ACTIVE, None)


@given(st.integers(1, 50), st.integers(1, 50), st.booleans())
def test_a_later_generation_is_called_again_unless_an_operator_paused_it(gone: int, now: int, paused: bool) -> None:
    standing = Standing(paused_at=NOW if paused else None, disabled_at=LATER, disabled_generation=gone)
    if now <= gone:
        assert (standing.state(now), standing.stopped_at(now)) == (SubscriptionState.DISABLED, LATER)
    elif paused:
        assert (standing.state(now), standing.stopped_at(now)) == (SubscriptionState.PAUSED, NOW)
    else:
        assert (standing.state(now), standing.stopped_at(now)) == (SubscriptionState.ACTIVE, None)


@given(
    st.none() | st.lists(DURATIONS, min_size=1).map(tuple),
    st.none() | DURATIONS,
    st.none() | st.sampled_from(WhenGivenUp),
)
def test_what_is_not_set_is_as_usual(
    delays: tuple[timedelta, ...] | None, age_limit: timedelta | None, when_given_up: WhenGivenUp | None
) -> None:
    usual = RetryPolicy(delays=(timedelta(seconds=7),), age_limit=timedelta(days=1), unacceptable_attempts=5)
    rules = DeliveryPolicy(retry_delays=delays, age_limit=age_limit, when_given_up=when_given_up).over(usual)
    assert rules.delays == (usual.delays if delays is None else delays)
    assert rules.age_limit == (usual.age_limit if age_limit is None else age_limit)
    assert rules.when_given_up is (when_given_up or WhenGivenUp.SKIP)
    assert (rules.unacceptable_attempts, rules.jitter_portion) == (5, usual.jitter_portion)


@given(st.sampled_from(WhenGivenUp), st.none() | st.sampled_from(WhenGivenUp), st.booleans())
def test_what_is_told_again_never_blocks(usually: WhenGivenUp, own: WhenGivenUp | None, again: bool) -> None:
    usual = RetryPolicy(when_given_up=usually)
    policy = None if own is None else DeliveryPolicy(when_given_up=own)
    expected = WhenGivenUp.SKIP if again else own or usually
    assert rules_for(policy, usual, again=again).when_given_up is expected
