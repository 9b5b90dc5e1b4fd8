"""When a window opens and ends, whatever a device does; time passes by hand."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.devices.model import Registration
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.live_devices import LiveDevices
from firmcast.ids import DeviceId, RegistrationId

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = 20.0


class Bench:
    """One device and its windows, on a clock that a test moves."""

    def __init__(self, *, queue_mode: bool = True) -> None:
        self.now = 1000.0
        self.told: list[str] = []
        self.live = LiveDevices()
        self.live.add(
            Registration(
                registration_id=RegistrationId("0123456789abcdef" * 2),
                device_id=DeviceId("d1"),
                endpoint_name="ep1",
                host="192.0.2.1",
                port=1,
                lifetime_seconds=60,
                binding="U",
                queue_mode=queue_mode,
                lwm2m_version="1.1",
                objects="",
                registered_at=START,
                updated_at=START,
                expires_at=START + timedelta(seconds=60),
            )
        )
        self.device = self.live.of(DeviceId("d1"))
        self.windows = AwakeWindows(
            self.live,
            window=WINDOW,
            clock=lambda: self.now,
            on_awake=lambda _: self.told.append("awake"),
            on_asleep=lambda _: self.told.append("asleep"),
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and every timer come that is due on the way."""
        end = self.now + seconds
        while self.windows._heap and self.windows._heap[0][0] <= end:
            self.now = max(self.now, self.windows._heap[0][0])
            self.windows._due()
        self.now = end


@pytest.fixture
async def bench():
    made = Bench()
    yield made
    made.windows.stop()


async def test_a_window_ends_once_and_is_opened_by_the_next_sign(bench):
    bench.windows.open(bench.device)
    assert bench.windows.is_awake(bench.device)
    bench.pass_time(19)
    bench.windows.heard(bench.device)
    bench.pass_time(19)
    assert bench.told == []
    bench.pass_time(1)
    assert bench.told == ["asleep"]
    bench.pass_time(1000)
    assert not bench.windows.is_awake(bench.device)
    bench.windows.heard(bench.device)
    assert bench.windows.is_awake(bench.device)
    assert bench.told == ["asleep", "awake"]


async def test_a_device_that_does_not_answer_sleeps_already(bench):
    bench.windows.open(bench.device)
    bench.pass_time(5)
    bench.windows.unanswered(bench.device)
    bench.windows.unanswered(bench.device)
    assert not bench.windows.is_awake(bench.device)
    bench.pass_time(100)
    assert bench.told == ["asleep"]


async def test_the_window_of_the_store_counts_from_when_the_device_was_heard(bench):
    bench.windows.open(bench.device, heard_before=15)
    bench.pass_time(5)
    assert bench.told == ["asleep"]
    bench.windows.open(bench.device, heard_before=1000)
    bench.pass_time(0)
    assert bench.told == ["asleep", "asleep"]


async def test_whoever_is_not_in_queue_mode_always_listens():
    bench = Bench(queue_mode=False)
    bench.windows.open(bench.device)
    bench.windows.heard(bench.device)
    bench.windows.unanswered(bench.device)
    bench.pass_time(1000)
    assert bench.windows.is_awake(bench.device)
    assert bench.told == []


async def test_nothing_is_told_of_a_registration_that_is_over(bench):
    bench.windows.open(bench.device)
    bench.live.remove(bench.device.device_id)
    bench.pass_time(100)
    assert bench.told == []


async def test_a_device_may_have_a_window_of_its_own_of_which_what_is_over_counts(bench):
    bench.windows.open(bench.device)
    bench.pass_time(5)
    bench.windows.set_length(bench.device, 8.0)
    assert bench.windows.length(bench.device) == 8.0
    bench.pass_time(3)
    assert bench.told == ["asleep"]
    bench.windows.set_length(bench.device, 60.0)
    assert bench.told == ["asleep", "awake"]
    bench.pass_time(51)
    bench.windows.set_length(bench.device, None)
    bench.pass_time(0)
    assert bench.told == ["asleep", "awake", "asleep"]
    bench.pass_time(100)
    assert bench.told == ["asleep", "awake", "asleep"]


async def test_no_window_is_opened_again_for_a_device_that_did_not_answer_in_it(bench):
    bench.windows.open(bench.device)
    bench.windows.unanswered(bench.device)
    bench.windows.set_length(bench.device, 1000.0)
    assert not bench.windows.is_awake(bench.device)
    assert bench.told == ["asleep"]


LENGTHS = st.sampled_from([None, 1.0, 10.0, 40.0, 200.0])
STEPS_WITH_LENGTHS = st.lists(
    st.sampled_from(["open", "heard", "unanswered"]) | st.integers(1, 50) | st.tuples(LENGTHS), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS_WITH_LENGTHS)
def test_whatever_its_length_is_set_to_a_window_is_told_in_turns_and_as_it_is(steps):
    async def play() -> None:
        bench = Bench()
        bench.windows.open(bench.device)
        heard_at: float | None = bench.now
        length, changes = WINDOW, 0
        for step in steps:
            is_open = heard_at is not None and bench.now - heard_at < length
            match step:
                case "open":
                    if not is_open:
                        bench.told.append("awake")
                    bench.windows.open(bench.device)
                    heard_at = bench.now
                case "heard":
                    bench.windows.heard(bench.device)
                    heard_at = bench.now
                case "unanswered":
                    bench.windows.unanswered(bench.device)
                    heard_at = heard_at if not is_open else None
                case (seconds,):
                    bench.windows.set_length(bench.device, seconds)
                    length = WINDOW if seconds is None else seconds
                    changes += 1
                case seconds:
                    bench.pass_time(seconds)
            awake = heard_at is not None and bench.now - heard_at < length
            assert bench.windows.is_awake(bench.device) == awake
            assert len(bench.windows._heap) <= 1 + 2 * changes
            assert (bench.told[-1:] == ["asleep"]) == (not awake)
        assert bench.told == (["asleep", "awake"] * len(bench.told))[: len(bench.told)]
        bench.pass_time(10_000)
        assert bench.windows._heap == []
        bench.windows.stop()

    asyncio.run(play())


STEPS = st.lists(st.sampled_from(["open", "heard", "unanswered"]) | st.integers(1, 50), max_size=40)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_it_is_told_asleep_and_awake_in_turns_and_as_it_is(steps):
    async def play() -> None:
        bench = Bench()
        bench.windows.open(bench.device)
        heard_at: float | None = bench.now
        for step in steps:
            match step:
                case "open":
                    # Who registers or updates says so itself.
                    if heard_at is None:
                        bench.told.append("awake")
                    bench.windows.open(bench.device)
                    heard_at = bench.now
                case "heard":
                    bench.windows.heard(bench.device)
                    heard_at = bench.now
                case "unanswered":
                    bench.windows.unanswered(bench.device)
                    heard_at = None
                case seconds:
                    bench.pass_time(seconds)
                    if heard_at is not None and bench.now - heard_at >= WINDOW:
                        heard_at = None
            assert bench.windows.is_awake(bench.device) == (heard_at is not None)
            assert len(bench.windows._heap) <= 1
        expected = ["asleep", "awake"] * len(bench.told)
        assert bench.told == expected[: len(bench.told)]
        assert (bench.told[-1:] == ["asleep"]) == (heard_at is None)
        bench.windows.stop()

    asyncio.run(play())
