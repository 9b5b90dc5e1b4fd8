"""Whatever a platform answers, in whatever order: a call ends, and never does what it must not."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast_sdk import ClientError, NotFoundError, NotReachedError, RetryPolicy, TransportError
from firmcast_sdk.client.call import Reply
from firmcast_sdk.client.calls import devices, subscriptions, upgrades
from firmcast_sdk.client.session import TOKENS_TRIED, Failed, Renew, Send, Session, Wait
from firmcast_sdk.wire import errors
from firmcast_sdk.wire.authentication import LOGIN_PATH, REFRESH_PATH
from firmcast_sdk.wire.errors import encode_error
from firmcast_sdk.wire.notify_types import NotifyType

TRIES = 4
CALLS = {
    "subscribe": subscriptions.subscribe(NotifyType.FW_UPGRADE_RESULT, "https://app.example:9443/pushes"),
    "create": upgrades.create_firmware_upgrade("f", devices=["d"]),
    "delete": devices.delete_device("d"),
}


def refusal(error, **headers):
    return Reply(status=error.status, body=encode_error(error), headers=headers)


ANSWERS = {
    "done": Reply(status=200, body=b'{"operationId":"o"}'),
    "bad token": refusal(errors.BAD_TOKEN),
    "throttled": refusal(errors.THROTTLED, **{"retry-after": "1"}),
    "gone": refusal(errors.DEVICE_NOT_FOUND),
    "failed": refusal(errors.INTERNAL_ERROR),
    "gateway": Reply(status=503, body=b"<html>", headers={"retry-after": "1"}),
    "nonsense": Reply(status=200, body=b"<html>error_code"),
    "lost": Failed(error=TransportError("lost")),
    "unreached": Failed(error=NotReachedError("unreached")),
}
DOUBTFUL = {"lost", "gateway"}


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


class Play:
    """Runs one call, whose answers are drawn; notes what was sent and answered."""

    def __init__(self, data, clock, session):
        self.data = data
        self.clock = clock
        self.session = session
        self.logins = 0
        self.renewals = 0
        self.answered = []
        self.tokens = []
        self.keys = set()

    def run(self, steps):
        given_answer = None
        while True:
            try:
                step = steps.send(given_answer)
            except StopIteration as end:
                return end.value
            given_answer = None
            match step:
                case Send():
                    given_answer = self.answer(step.request)
                case Wait():
                    assert timedelta() <= step.duration <= timedelta(seconds=65)
                    self.clock.now += step.duration
                case Renew():
                    self.renewals += 1
                    self.run(self.session.renewal(step))
            self.clock.now += timedelta(seconds=self.data.draw(st.sampled_from([0, 1, 4000])))

    def answer(self, request):
        if request.path in {LOGIN_PATH, REFRESH_PATH}:
            assert "authorization" not in request.headers
            word = self.data.draw(st.sampled_from(["given", "given", "given", "failed", "lost", "unreached"]))
            if word != "given":
                return ANSWERS[word]
            self.logins += 1
            body = {"expiresIn": 3600, "accessToken": f"t{self.logins}", "refreshToken": "r"}
            return Reply(status=200, body=msgspec.json.encode(body))
        self.tokens.append(request.headers["authorization"])
        self.keys.add(request.headers.get("idempotency-key"))
        self.answered.append(self.data.draw(st.sampled_from(sorted(ANSWERS))))
        return ANSWERS[self.answered[-1]]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(CALLS)))
def test_a_call_ends_and_is_repeated_only_where_it_may_be(data, name):
    clock = Clock()
    session = Session(app_id="app", secret="word", policy=RetryPolicy(tries=TRIES, jitter=lambda: 0.5), clock=clock)
    play = Play(data, clock, session)
    try:
        result = play.run(session.call(CALLS[name]))
    except ClientError as error:
        raised: ClientError | None = error
    else:
        raised = None
        assert result == ("o" if name == "create" else None)
    was_deleted_before = name == "delete" and "lost" in play.answered
    if raised is None:
        assert play.answered[-1] in ({"done", "gone"} if was_deleted_before else {"done"})
    else:
        assert not (was_deleted_before and isinstance(raised, NotFoundError))
    assert len(play.answered) <= TRIES * TOKENS_TRIED
    if name == "subscribe":
        assert not DOUBTFUL & set(play.answered[:-1])
    assert play.keys <= {None} if name != "create" else len(play.keys) <= 1
    for before, after, answered in zip(play.tokens, play.tokens[1:], play.answered, strict=False):
        assert answered != "bad token" or before != after
