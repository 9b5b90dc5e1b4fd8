"""When a token is got, renewed and got again, played by hand against the pure steps."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from firmcast_sdk import AccessDeniedError
from firmcast_sdk.client import calls
from firmcast_sdk.client.calls import Reply
from firmcast_sdk.client.session import Renew, Send, Session
from firmcast_sdk.wire import errors
from firmcast_sdk.wire.errors import encode_error

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def session(clock):
    return Session(app_id="app", secret="word", clock=clock)


def token(access, *, expires_in=3600, refresh="r"):
    body = {"expiresIn": expires_in, "accessToken": access, "refreshToken": refresh}
    return Reply(status=200, body=msgspec.json.encode(body))


def play(session, replies):
    """Run one call; gives the requests that were sent and the result."""
    sent = []

    def answer(request):
        sent.append(request)
        return replies.pop(0)

    def run(steps):
        answer_given = None
        while True:
            try:
                step = steps.send(answer_given)
            except StopIteration as end:
                return end.value
            match step:
                case Send():
                    answer_given = answer(step.request)
                case Renew():
                    answer_given = run(session.renewal(step.refused))

    result = run(session.course(calls.create_firmware_upgrade(REQUEST)))
    return sent, result


REQUEST = calls.operations.CreateUpgradeRequest(file_id="f", targets=calls.operations.Targets(devices=("d",)))
DONE = Reply(status=200, body=b'{"operationId":"o"}')
BAD_TOKEN = Reply(status=403, body=encode_error(errors.BAD_TOKEN))


def last(request):
    return request.path.rsplit("/", 1)[-1]


def test_the_first_call_logs_in_and_later_ones_use_the_token(session):
    sent, result = play(session, [token("t1"), DONE])
    assert ([last(request) for request in sent], result) == (["login", "firmwareUpgrade"], "o")
    assert sent[1].headers["app_key"] == "app"
    assert sent[1].headers["authorization"] == "Bearer t1"
    sent, _ = play(session, [DONE])
    assert [last(request) for request in sent] == ["firmwareUpgrade"]


@pytest.mark.parametrize(("age", "renewed"), [(3539, False), (3540, True), (4000, True)])
def test_a_token_is_refreshed_before_it_ends(session, clock, age, renewed):
    play(session, [token("t1"), DONE])
    clock.now = START + timedelta(seconds=age)
    sent, _ = play(session, [token("t2"), DONE] if renewed else [DONE])
    assert [last(request) for request in sent] == (["refreshToken"] if renewed else []) + ["firmwareUpgrade"]


def test_a_short_token_is_refreshed_a_tenth_before_its_end(session, clock):
    play(session, [token("t1", expires_in=10), DONE])
    clock.now = START + timedelta(seconds=9)
    sent, _ = play(session, [token("t2"), DONE])
    assert last(sent[0]) == "refreshToken"


def test_a_refresh_that_is_refused_becomes_a_login(session, clock):
    play(session, [token("t1"), DONE])
    clock.now = START + timedelta(hours=2)
    refused = Reply(status=401, body=encode_error(errors.REFRESH_FAILED))
    sent, _ = play(session, [refused, token("t2"), DONE])
    assert [last(request) for request in sent] == ["refreshToken", "login", "firmwareUpgrade"]


def test_a_token_that_the_platform_calls_bad_is_replaced_once(session):
    play(session, [token("t1"), DONE])
    sent, result = play(session, [BAD_TOKEN, token("t2"), DONE])
    assert ([last(request) for request in sent], result) == (
        ["firmwareUpgrade", "login", "firmwareUpgrade"],
        "o",
    )
    assert sent[2].headers["authorization"] == "Bearer t2"
    with pytest.raises(AccessDeniedError):
        play(session, [BAD_TOKEN, token("t3"), BAD_TOKEN])


def test_who_comes_second_uses_the_first_ones_token(session):
    play(session, [token("t1"), DONE])
    first, second = (session.course(calls.create_firmware_upgrade(REQUEST)) for _ in range(2))
    next(first)
    next(second)
    assert isinstance(first.send(BAD_TOKEN), Renew)
    renew = second.send(BAD_TOKEN)
    renewal = session.renewal(renew.refused)
    assert last(next(renewal).request) == "login"
    with pytest.raises(StopIteration):
        renewal.send(token("t2"))
    with pytest.raises(StopIteration) as end:
        next(session.renewal(renew.refused))
    assert end.value.value.access_token == "t2"


def test_a_wrong_secret_is_told(session):
    with pytest.raises(AccessDeniedError) as caught:
        play(session, [Reply(status=401, body=encode_error(errors.APP_ID_OR_SECRET_WRONG))])
    assert caught.value.code == "100208"
