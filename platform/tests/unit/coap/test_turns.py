"""What came in one turn: all of it is taken in, in order, whatever becomes of a part."""

import pytest

from firmcast.coap.turns import take_each

PEER = ("192.0.2.9", 5683)


def test_a_fault_over_one_costs_none_of_the_others() -> None:
    taken: list[bytes] = []

    def take(datagram: bytes, peer: tuple[str, int], now: float) -> None:
        assert (peer, now) == (PEER, 7.0)
        if datagram.startswith(b"bad"):
            raise ValueError(datagram)
        taken.append(datagram)

    turn = iter([(each, PEER) for each in (b"one", b"bad", b"two", b"bad too", b"three")])
    with pytest.raises(ValueError, match="bad"):
        take_each(take, turn, 7.0)
    assert taken == [b"one", b"two", b"three"]
