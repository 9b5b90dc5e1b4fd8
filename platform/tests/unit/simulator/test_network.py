"""The network of a virtual device on a virtual clock."""

from dataclasses import asdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.simulator.network import PERFECT, Moved, Network, NetworkConditions, NetworkCounters

SERVER = ("192.0.2.1", 5683)
shares = st.floats(0, 1)
conditions = st.builds(
    NetworkConditions,
    loss=shares,
    delay=st.floats(0, 2),
    jitter=st.floats(0, 2),
    duplicate=shares,
    bandwidth=st.none() | st.floats(10, 10_000),
    mtu=st.none() | st.integers(1, 200),
    rebind_after=st.none() | st.floats(0.5, 20),
    rebind_after_datagrams=st.none() | st.integers(1, 10),
)
traffic = st.lists(st.tuples(st.booleans(), st.integers(0, 200), st.floats(0, 3)), max_size=60)


def carry(network: Network, sent: list[tuple[bool, int, float]]) -> list[tuple[float, Moved]]:
    """Send datagrams out and in, each so long after the one before, and return what moved and when."""
    now, moved = 0.0, []

    def collect(until: float) -> None:
        while (due := network.next_due()) is not None and due <= until:
            moved.extend((due, one) for one in network.due(due))

    for number, (outward, size, pause) in enumerate(sent):
        now += pause
        collect(now)
        datagram = bytes([number]) + bytes(size)
        if outward:
            network.send(datagram, SERVER, now)
        else:
            network.arrive(datagram, SERVER, now)
    collect(float("inf"))
    return moved


@given(traffic)
def test_a_perfect_network_passes_everything_at_once_and_in_order(sent: list[tuple[bool, int, float]]) -> None:
    moved = carry(Network(PERFECT, Random(1)), sent)
    assert [(one.outward, one.datagram[0]) for _, one in moved] == [
        (outward, number) for number, (outward, _, _) in enumerate(sent)
    ]


@given(conditions, traffic, st.integers())
def test_every_datagram_is_accounted_for(
    network_conditions: NetworkConditions, sent: list[tuple[bool, int, float]], seed: int
) -> None:
    network = Network(network_conditions, Random(seed))
    moved = carry(network, sent)
    counters = network.counters
    assert len(moved) == len(sent) - counters.lost + counters.duplicated
    assert counters.sent == sum(outward for outward, _, _ in sent)
    assert counters.received == sum(not one.outward for _, one in moved)
    assert counters.bytes_received == sum(len(one.datagram) for _, one in moved if not one.outward)
    assert network.next_due() is None
    for when, one in moved:
        sent_at = sum(pause for _, _, pause in sent[: one.datagram[0] + 1])
        assert when >= sent_at + network_conditions.delay - 1e-6
        assert one.address == SERVER


@given(conditions, traffic, st.integers())
def test_the_same_seed_is_the_same_network(
    network_conditions: NetworkConditions, sent: list[tuple[bool, int, float]], seed: int
) -> None:
    one, other = (Network(network_conditions, Random(seed)) for _ in range(2))
    assert carry(one, sent) == carry(other, sent)
    assert one.counters == other.counters


@given(st.integers(), st.lists(st.integers(0, 100), max_size=20))
def test_what_comes_of_one_way_does_not_hang_on_the_other(seed: int, sizes: list[int]) -> None:
    bad = NetworkConditions(loss=0.5, jitter=1.0)
    outward = [(True, size, 1.0) for size in sizes]
    mixed = [one for pair in ((outward[at], (False, 7, 0.0)) for at in range(len(sizes))) for one in pair]
    alone = [one.datagram[1:] for _, one in carry(Network(bad, Random(seed)), outward)]
    together = [one.datagram[1:] for _, one in carry(Network(bad, Random(seed)), mixed) if one.outward]
    assert alone == together


def test_about_as_many_are_lost_and_doubled_as_is_said() -> None:
    network = Network(NetworkConditions(loss=0.2, duplicate=0.1), Random(3))
    for _ in range(5_000):
        network.send(b"x", SERVER, 0.0)
    assert 0.18 < network.counters.lost / 5_000 < 0.22
    assert 0.07 < network.counters.duplicated / 5_000 < 0.09


def test_later_datagrams_overtake_earlier_ones() -> None:
    moved = carry(Network(NetworkConditions(delay=0.1, jitter=1.0), Random(1)), [(True, 1, 0.01)] * 50)
    order = [one.datagram[0] for _, one in moved]
    assert sorted(order) == list(range(50))
    assert order != sorted(order)


def test_a_slow_line_passes_one_after_another_and_its_buffer_is_bounded() -> None:
    network = Network(NetworkConditions(bandwidth=100.0), Random(1))
    moved = carry(network, [(True, 99, 0.0)] * 40)
    assert [when for when, _ in moved] == [float(second) for second in range(1, 32)]
    assert network.counters.lost == 9
    assert network.counters.sent == 40


def test_datagrams_that_are_too_large_never_pass() -> None:
    moved = carry(
        Network(NetworkConditions(mtu=100), Random(1)), [(True, 99, 0.0), (True, 100, 0.0), (False, 100, 0.0)]
    )
    assert [len(one.datagram) for _, one in moved] == [100]


def test_a_nat_that_forgets_after_a_time() -> None:
    network = Network(NetworkConditions(rebind_after=10.0), Random(1))
    assert not network.send(b"a", SERVER, 0.0)
    assert not network.send(b"b", SERVER, 9.0)
    network.arrive(b"in time", SERVER, 9.9)
    network.arrive(b"too late", SERVER, 10.0)
    assert network.send(b"c", SERVER, 15.0), "from another port"
    assert not network.send(b"d", SERVER, 24.0)
    network.arrive(b"again", SERVER, 24.9)
    assert [one.datagram for one in network.due(25.0)] == [b"a", b"b", b"in time", b"c", b"d", b"again"]
    assert network.counters.lost == 1


def test_a_nat_that_forgets_after_some_datagrams() -> None:
    network = Network(NetworkConditions(rebind_after_datagrams=3), Random(1))
    assert [network.send(b"a", SERVER, 0.0) for _ in range(7)] == [False] * 3 + [True] + [False] * 2 + [True]


def test_another_socket_loses_what_was_on_its_way() -> None:
    network = Network(NetworkConditions(delay=1.0, rebind_after=5.0), Random(1))
    network.send(b"a", SERVER, 0.0)
    network.arrive(b"b", SERVER, 0.5)
    network.bound()
    assert network.next_due() is None
    assert network.counters.lost == 2
    assert not network.send(b"c", SERVER, 100.0), "a NAT has not forgotten what it never knew"


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": -0.1},
        {"loss": 1.1},
        {"duplicate": 2},
        {"delay": -1},
        {"jitter": -1},
        {"delay": float("nan")},
        {"jitter": float("inf")},
        {"loss": float("nan")},
        {"bandwidth": 0},
        {"mtu": 0},
        {"rebind_after": 0},
        {"rebind_after_datagrams": 0},
    ],
)
def test_conditions_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        NetworkConditions(**wrong)  # type: ignore[arg-type]


def test_counters_add_up() -> None:
    total = NetworkCounters(sent=1, lost=2)
    total.add(NetworkCounters(sent=2, duplicated=3))
    assert total.as_dict() == asdict(NetworkCounters(sent=3, lost=2, duplicated=3))
