"""What a sleepy device hears, and what it misses."""

from random import Random

import pytest

from firmcast.coap.codes import Code
from firmcast.coap.parameters import TransmissionParameters
from firmcast.simulator.sleep import SleepHabit, SleepyEndpoint

SERVER = ("192.0.2.1", 5683)
PING = b"\x40\x00\x00\x01"


def test_it_listens_for_a_while_after_it_last_sent_anything() -> None:
    now, missed = 0.0, 0

    def miss() -> None:
        nonlocal missed
        missed += 1

    habit = SleepHabit(awake_for=20.0, update_every=60.0)
    endpoint = SleepyEndpoint(
        habit, clock=lambda: now, on_missed=miss, random=Random(1), parameters=TransmissionParameters()
    )

    def hears(at: float) -> bool:
        nonlocal now
        now = at
        endpoint.receive(PING, SERVER, now)
        return bool(endpoint.take_datagrams())

    assert not hears(0.0)
    endpoint.request(SERVER, Code.POST, now=1.0)
    now = 1.0
    assert len(endpoint.take_datagrams()) == 1
    assert hears(20.0)
    assert hears(39.0)
    assert not hears(59.5)
    assert not hears(60.0)
    assert missed == 3


@pytest.mark.parametrize("wrong", [{"awake_for": 0.0}, {"update_every": -1.0}])
def test_a_habit_has_lengths(wrong) -> None:
    with pytest.raises(ValueError, match="more than zero"):
        SleepHabit(**wrong)
