"""When a token is got, renewed and got again, and which tries follow: played by hand against the pure steps."""

from datetime import timedelta

import pytest

from firmcast_sdk import (
    AuthenticationError,
    NorthboundError,
    NotFoundError,
    NotReachedError,
    PlatformFailedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from firmcast_sdk.client.call import Reply
from firmcast_sdk.client.calls import devices, subscriptions, upgrades
from firmcast_sdk.client.session import Renew, Send, Session
from firmcast_sdk.wire import errors
from firmcast_sdk.wire.errors import encode_error
from firmcast_sdk.wire.notify_types import NotifyType

CREATE = upgrades.create_firmware_upgrade("f", devices=["d"])
REGISTER = subscriptions.subscribe(NotifyType.FW_UPGRADE_RESULT, "https://app.example:9443/pushes")
DONE = Reply(status=200, body=b'{"operationId":"o"}')
EMPTY = Reply(status=200, body=b"")


def refusal(error, status=None, **headers):
    return Reply(status=status or error.status, body=encode_error(error), headers=headers)


BAD_TOKEN = refusal(errors.BAD_TOKEN)
LOST = TransportError("no answer")
UNREACHED = NotReachedError("refused")


@pytest.fixture
def logged_in(hand, session, token):
    hand.play(session.login(), token("t1"))
    hand.sent.clear()


def test_the_first_call_logs_in_and_later_ones_use_the_token(hand, session, token):
    assert hand.play(session.call(CREATE), token("t1"), DONE) == "o"
    assert hand.names == ["login", "firmwareUpgrade"]
    assert hand.sent[1].headers["app_key"] == "app"
    assert hand.sent[1].headers["authorization"] == "Bearer t1"
    hand.sent.clear()
    hand.play(session.call(CREATE), DONE)
    assert hand.names == ["firmwareUpgrade"]


@pytest.mark.parametrize(("age", "renewed"), [(3539, False), (3540, True), (4000, True)])
def test_a_token_is_refreshed_before_it_ends(hand, session, clock, token, logged_in, age, renewed):
    clock.now += timedelta(seconds=age)
    hand.play(session.call(CREATE), *([token("t2")] if renewed else []), DONE)
    assert hand.names == (["refreshToken"] if renewed else []) + ["firmwareUpgrade"]


def test_a_short_token_is_refreshed_a_tenth_before_its_end(hand, session, clock, token):
    hand.play(session.login(), token("t1", expires_in=10))
    clock.now += timedelta(seconds=9)
    hand.play(session.call(CREATE), token("t2"), DONE)
    assert hand.names == ["login", "refreshToken", "firmwareUpgrade"]


def test_a_token_without_any_life_is_used_once(hand, session, token):
    hand.play(session.call(CREATE), token("t1", expires_in=0), DONE)
    hand.play(session.call(CREATE), token("t2", expires_in=0), DONE)
    assert [request.headers.get("authorization") for request in hand.sent] == [None, "Bearer t1", None, "Bearer t2"]


@pytest.mark.parametrize(
    "answer",
    [
        refusal(errors.REFRESH_FAILED),
        refusal(errors.INTERNAL_ERROR),
        Reply(status=200, body=b"nonsense"),
    ],
)
def test_a_refresh_that_fails_becomes_a_login(hand, session, clock, token, logged_in, answer):
    clock.now += timedelta(hours=2)
    hand.play(session.call(CREATE), answer, token("t2"), DONE)
    assert hand.names == ["refreshToken", "login", "firmwareUpgrade"]


def test_a_refresh_whose_answer_is_lost_becomes_a_login(hand, session, clock, token, failed, logged_in):
    clock.now += timedelta(hours=2)
    hand.play(session.call(CREATE), failed(LOST), token("t2"), DONE)
    assert hand.names == ["refreshToken", "login", "firmwareUpgrade"]


def test_a_refresh_without_a_refresh_token_is_a_login(hand, session, token):
    hand.play(session.login(), token("t1", refresh=""))
    hand.play(session.refresh(), token("t2"))
    assert hand.names == ["login", "login"]


def test_a_token_that_the_platform_calls_bad_is_replaced_once(hand, session, token, logged_in):
    assert hand.play(session.call(CREATE), BAD_TOKEN, token("t2"), DONE) == "o"
    assert hand.names == ["firmwareUpgrade", "login", "firmwareUpgrade"]
    assert hand.sent[2].headers["authorization"] == "Bearer t2"
    with pytest.raises(AuthenticationError) as caught:
        hand.play(session.call(CREATE), BAD_TOKEN, token("t3"), BAD_TOKEN)
    assert caught.value.code == "1010005"


def test_a_call_that_may_not_be_repeated_is_repeated_for_a_bad_token(hand, session, token, logged_in):
    hand.play(session.call(REGISTER), BAD_TOKEN, token("t2"), EMPTY)
    assert hand.names == ["subscribe", "login", "subscribe"]


def test_who_comes_second_uses_the_first_ones_token(hand, session, token, logged_in):
    first, second = session.call(CREATE), session.call(CREATE)
    next(first)
    next(second)
    asked_first = first.send(BAD_TOKEN)
    asked_second = second.send(BAD_TOKEN)
    assert isinstance(asked_first, Renew)
    hand.play(session.renewal(asked_first), token("t2"))
    hand.play(session.renewal(asked_second))
    assert hand.names == ["login"]
    again = second.send(None)
    assert isinstance(again, Send)
    assert again.request.headers["authorization"] == "Bearer t2"


def test_who_waited_for_a_renewal_that_failed_is_told_its_error(hand, session, failed, token):
    first, second = (next(session.call(CREATE)) for _ in range(2))
    wrong = refusal(errors.APP_ID_OR_SECRET_WRONG)
    with pytest.raises(AuthenticationError) as told_first:
        hand.play(session.renewal(first), wrong)
    with pytest.raises(AuthenticationError) as told_second:
        hand.play(session.renewal(second))
    assert hand.names == ["login"]
    assert told_first.value is not told_second.value
    assert (str(told_first.value), told_first.value.code) == (str(told_second.value), told_second.value.code)
    assert hand.play(session.call(CREATE), token("t1"), DONE) == "o"


def test_one_login_of_another_program_after_the_other(hand, session, token, logged_in):
    """Each token is taken away before it is used, until one holds: a token that others replaced is no failure."""
    steps = session.call(CREATE)
    next(steps)
    hand.play(session.renewal(steps.send(BAD_TOKEN)), token("t2"))
    assert steps.send(None).request.headers["authorization"] == "Bearer t2"
    hand.play(session.login(), token("t3"))
    assert steps.send(BAD_TOKEN).request.headers["authorization"] == "Bearer t3"
    with pytest.raises(StopIteration) as end:
        steps.send(DONE)
    assert end.value.value == "o"


def test_a_wrong_secret_is_told(hand, session):
    with pytest.raises(AuthenticationError) as caught:
        hand.play(session.call(CREATE), refusal(errors.APP_ID_OR_SECRET_WRONG))
    assert caught.value.code == "100208"


def test_logout_forgets_the_token(hand, session, token, logged_in):
    assert session.has_token
    hand.play(session.logout(), EMPTY)
    assert not session.has_token
    hand.play(session.logout())
    hand.play(session.call(CREATE), token("t2"), DONE)
    assert hand.names == ["logout", "login", "firmwareUpgrade"]


def test_logout_with_a_token_that_has_ended_is_done(hand, session, token, logged_in):
    hand.play(session.logout(), BAD_TOKEN)
    hand.play(session.login(), token("t2"))
    with pytest.raises(NorthboundError):
        hand.play(session.logout(), refusal(errors.INTERNAL_ERROR))
    assert not session.has_token


@pytest.mark.parametrize(
    ("name", "value"), [("app_id", ""), ("secret", "two words"), ("app_id", "ä"), ("secret", "a\r\nb")]
)
def test_credentials_that_cannot_travel_are_refused(clock, policy, name, value):
    with pytest.raises(ValueError, match=name):
        Session(**{"app_id": "a", "secret": "s", "policy": policy, "clock": clock, name: value})


def test_every_try_of_a_creation_carries_one_key(hand, session, failed, logged_in):
    assert hand.play(session.call(CREATE), failed(LOST), failed(UNREACHED), DONE) == "o"
    assert [request.headers["idempotency-key"] for request in hand.sent] == ["key-1"] * 3
    hand.play(session.call(CREATE), DONE)
    assert hand.sent[-1].headers["idempotency-key"] == "key-2"
    mine = upgrades.create_firmware_upgrade("f", devices=["d"], idempotency_key="mine")
    hand.play(session.call(mine), DONE)
    assert hand.sent[-1].headers["idempotency-key"] == "mine"


def test_a_call_that_may_have_reached_the_platform_is_not_repeated_unless_it_is_safe(hand, session, failed, logged_in):
    with pytest.raises(TransportError) as caught:
        hand.play(session.call(REGISTER), failed(LOST))
    assert caught.value is LOST
    with pytest.raises(PlatformFailedError):
        hand.play(session.call(REGISTER), refusal(errors.INTERNAL_ERROR, 503, **{"retry-after": "1"}))
    with pytest.raises(UnexpectedAnswerError):
        hand.play(session.call(REGISTER), Reply(status=504, body=b""))
    assert hand.play(session.call(REGISTER), failed(UNREACHED), EMPTY) is None
    assert hand.play(session.call(REGISTER), refusal(errors.THROTTLED, **{"retry-after": "2"}), EMPTY) is None


def test_waits_are_those_asked_for_or_double(hand, session, failed, logged_in):
    hand.play(
        session.call(CREATE),
        failed(LOST),
        Reply(status=503, body=b"", headers={"retry-after": "3"}),
        failed(LOST),
        DONE,
    )
    assert [wait.total_seconds() for wait in hand.waited] == [0.5, 3.5, 2.0]


def test_four_tries_and_no_more(hand, session, failed, logged_in):
    with pytest.raises(NotReachedError):
        hand.play(session.call(CREATE), *[failed(UNREACHED)] * 4)
    assert len(hand.sent) == 4


def test_a_wait_that_is_too_long_is_the_callers_to_decide(hand, session, logged_in):
    with pytest.raises(ThrottledError) as caught:
        hand.play(session.call(CREATE), refusal(errors.THROTTLED, **{"retry-after": "3600"}))
    assert caught.value.retry_after == timedelta(hours=1)
    assert hand.waited == []


def test_a_deletion_whose_answer_was_lost_is_done_when_nothing_is_left(hand, session, failed, logged_in):
    gone = refusal(errors.DEVICE_NOT_FOUND)
    assert hand.play(session.call(devices.delete_device("d")), failed(LOST), gone) is None
    with pytest.raises(NotFoundError):
        hand.play(session.call(devices.delete_device("d")), failed(UNREACHED), gone)
    with pytest.raises(NotFoundError):
        hand.play(session.call(devices.delete_device("d")), gone)


def test_a_token_that_ends_during_a_wait_is_renewed_for_the_next_try(hand, session, clock, token, failed, logged_in):
    steps = session.call(CREATE)
    next(steps)
    steps.send(failed(LOST))
    clock.now += timedelta(hours=2)
    renew = next(steps)
    assert isinstance(renew, Renew)
    hand.play(session.renewal(renew), token("t2"))
    assert steps.send(None).request.headers["authorization"] == "Bearer t2"
