"""Whoever follows a transfer is told of its first block, its last and of a new beginning, and looks at the rest."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from firmcast.coap.static_bodies import StaticBody
from firmcast.gateway.transfers import Transfer, Transfers
from firmcast.ids import DeviceId, DeviceUpgradeId, PackageId
from firmcast.upgrades.model import DeviceReport, TransferTarget

START = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK = 1024
BLOCKS = 6
SIZE = BLOCKS * BLOCK - 100


class Follower:
    """Follows a transfer, or, as one who never begins to, is told of every block."""

    def __init__(self, *, follows: bool) -> None:
        self.now = START
        self.reports: list[DeviceReport] = []
        self.told: list[tuple[int, bool]] = []
        self.transfers = Transfers(
            None,  # type: ignore[arg-type]  # nothing is looked up
            None,  # type: ignore[arg-type]
            report=self.reports.append,
            heard=lambda _: None,
            now=lambda: self.now,
            tell_block=self._tell,
        )
        target = TransferTarget(
            device_upgrade_id=DeviceUpgradeId("u"),
            device_id=DeviceId("d"),
            endpoint_name="endpoint",
            package_id=PackageId("p"),
            digest="0" * 64,
            size=SIZE,
        )
        self.transfer = Transfer(target, StaticBody(bytes(SIZE), etag=b"etag"))
        self._follows = follows

    def _tell(self, transfer: Transfer, completes: bool) -> None:
        self.told.append((transfer.reached, completes))
        transfer.is_followed = self._follows and not completes

    def fetch(self, number: int) -> None:
        self.now += timedelta(seconds=1)
        offset = number * BLOCK
        self.transfers.advance(self.transfer, offset, min(BLOCK, SIZE - offset))


def test_the_first_block_the_last_and_a_new_beginning_are_told() -> None:
    follower = Follower(follows=True)
    for number in (0, 1, 2, 0, *range(1, BLOCKS)):
        follower.fetch(number)
    assert follower.told == [(BLOCK, False), (BLOCK, False), (SIZE, True)]


def test_who_has_stopped_to_follow_is_told_of_the_next_block() -> None:
    follower = Follower(follows=True)
    follower.fetch(0)
    follower.fetch(1)
    follower.transfer.is_followed = False
    follower.fetch(2)
    follower.fetch(3)
    assert follower.told == [(BLOCK, False), (3 * BLOCK, False)]


def test_an_order_to_begin_anew_is_told_of_again() -> None:
    follower = Follower(follows=True)
    follower.fetch(0)
    follower.transfers.begin_anew(follower.transfer)
    follower.fetch(1)
    assert follower.told == [(BLOCK, False), (2 * BLOCK, False)]
    assert len(follower.reports) == 2, "the first block since each order is reported"


@given(st.lists(st.integers(0, BLOCKS - 1), max_size=30))
def test_in_whatever_order_blocks_go_it_comes_as_far_as_one_that_nobody_follows(numbers: list[int]) -> None:
    followed, plain = Follower(follows=True), Follower(follows=False)
    for number in numbers:
        followed.fetch(number)
        plain.fetch(number)
        assert followed.transfer.reached == plain.transfer.reached
        assert followed.transfer.summary() == plain.transfer.summary()
        assert followed.reports == plain.reports
    assert [told for told in followed.told if told[1]] == [told for told in plain.told if told[1]]
