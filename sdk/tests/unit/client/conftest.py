"""What the unit tests of the client share: a clock that stands, and a hand that plays the sender's part."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from firmcast_sdk import RetryPolicy
from firmcast_sdk.client.call import Reply, Request
from firmcast_sdk.client.session import Failed, Renew, Send, Session, Wait

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self):
        return self.now


@dataclass
class Hand:
    """Runs steps with answers written beforehand; keeps what was sent and waited."""

    session: Session
    sent: list[Request] = field(default_factory=list)
    waited: list[timedelta] = field(default_factory=list)

    def play(self, steps, *answers):
        """Run `steps`; every answer must be used up."""
        left = list(answers)
        result = self._run(steps, left)
        assert left == []
        return result

    def _run(self, steps, left):
        given = None
        while True:
            try:
                step = steps.send(given)
            except StopIteration as end:
                return end.value
            given = None
            match step:
                case Send():
                    self.sent.append(step.request)
                    given = left.pop(0)
                case Wait():
                    self.waited.append(step.duration)
                case Renew():
                    self._run(self.session.renewal(step), left)

    @property
    def names(self):
        """The last words of the paths that were called."""
        return [request.path.rsplit("/", 1)[-1] for request in self.sent]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def policy():
    return RetryPolicy(jitter=lambda: 1.0)


@pytest.fixture
def session(clock, policy):
    keys = iter(f"key-{number}" for number in range(1, 100))
    return Session(app_id="app", secret="word", policy=policy, clock=clock, make_key=lambda: next(keys))


@pytest.fixture
def hand(session):
    return Hand(session)


@pytest.fixture
def token() -> Callable[..., Reply]:
    """The answer to a login or a refresh."""

    def answer(access, *, expires_in=3600, refresh="r"):
        body = {"expiresIn": expires_in, "accessToken": access, "refreshToken": refresh}
        return Reply(status=200, body=msgspec.json.encode(body))

    return answer


@pytest.fixture
def failed() -> Callable[[Exception], Failed]:
    return lambda error: Failed(error=error)
