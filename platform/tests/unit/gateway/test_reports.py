"""The intake keeps the order, loses nothing that can be written, and never lets one bad item stop the others."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.devices.model import NewRegistration
from firmcast.errors import StoreBrokenError, StoreBusyError, StoreError, StoreFullError, StoreUnreachableError
from firmcast.gateway.batches import Answer, Item, Registering
from firmcast.gateway.reports import BATCH_LIMIT, ReportIntake
from firmcast.ids import DeviceId
from firmcast.journal.model import DeviceNote, Exchange, ExchangeKind, Note
from firmcast.upgrades.model import DeviceReport, ResourcesReported

START = datetime(2026, 1, 1, tzinfo=UTC)
PASSING = (StoreFullError, StoreBusyError, StoreUnreachableError)


def report(number: int) -> DeviceReport:
    told = ResourcesReported(result=number)
    return DeviceReport(device_id=DeviceId(f"d{number % 3}"), input=told, occurred_at=START + timedelta(seconds=number))


def registering(name: str) -> Registering:
    told = NewRegistration(
        endpoint_name=name,
        host="127.0.0.1",
        port=1,
        lifetime_seconds=60,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="",
    )
    return Registering(told=told, occurred_at=START)


class Store:
    """Writes what it is given, or fails as `failures` says, one entry for each write."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.batches: list[list[Item]] = []
        self.poison: set[int] = set()
        self.gate: asyncio.Event | None = None
        self.under_way = 0

    async def write(self, items: Sequence[Item]) -> list[Answer]:
        self.under_way += 1
        assert self.under_way == 1, "one write at a time"
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            failure = self.failures.pop(0) if self.failures else None
            if failure is not None:
                raise failure
            if any(self.number(item) in self.poison for item in items):
                raise ValueError("an item that nobody foresaw")
            self.batches.append(list(items))
            return [DeviceId(f"answer to {self.number(item)}") for item in items]
        finally:
            self.under_way -= 1

    @property
    def numbers(self) -> list[int]:
        return [self.number(item) for batch in self.batches for item in batch]

    @staticmethod
    def number(item: Item) -> int:
        if isinstance(item, DeviceReport) and isinstance(item.input, ResourcesReported):
            return item.input.result or 0
        return -1


def intake_of(store: Store) -> ReportIntake:
    return ReportIntake(store.write, retry_delay=0.0, longest_delay=0.0)


async def test_what_came_during_a_write_shares_the_next_one() -> None:
    store = Store()
    store.gate = asyncio.Event()
    intake = intake_of(store)
    intake.add(report(1))
    intake.add(report(2))
    await asyncio.sleep(0)
    for number in range(3, 8):
        intake.add(report(number))
    store.gate.set()
    assert await intake.drain(5)
    assert [len(batch) for batch in store.batches] == [2, 5]
    assert store.numbers == list(range(1, 8))


async def test_each_item_gets_its_own_answer_when_it_is_written() -> None:
    intake = intake_of(Store())
    assert await asyncio.gather(*(intake.submit(report(number)) for number in range(5))) == [
        f"answer to {number}" for number in range(5)
    ]


async def test_a_batch_has_an_end() -> None:
    store = Store()
    intake = intake_of(store)
    for number in range(BATCH_LIMIT + 1):
        intake.add(report(number))
    assert await intake.drain(5)
    assert [len(batch) for batch in store.batches] == [BATCH_LIMIT, 1]


@pytest.mark.parametrize("kind", PASSING)
async def test_a_store_that_takes_nothing_keeps_reports_and_refuses_registrations(kind: type[StoreError]) -> None:
    store = Store(kind("not now"), kind("not now"))
    intake = intake_of(store)
    intake.add(report(1))
    waiting = intake.submit(registering("device-1"))
    recorded = asyncio.ensure_future(intake.record(report(2)))
    with pytest.raises(kind):
        await waiting
    intake.add(report(3))
    await recorded
    await intake.submit(registering("device-1"))
    assert await intake.drain(5)
    assert store.numbers == [1, 2, 3, -1]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 40),
    poison=st.sets(st.integers(0, 39), max_size=4),
    full=st.lists(st.sampled_from([None, *PASSING]), max_size=12),
)
def test_only_what_cannot_be_written_is_given_up_and_the_order_stays(
    count: int, poison: set[int], full: list[type[StoreError] | None]
) -> None:
    async def scenario() -> None:
        store = Store(*(None if kind is None else kind("not now") for kind in full))
        store.poison = poison
        intake = intake_of(store)
        for number in range(count):
            intake.add(report(number))
        assert await intake.drain(5)
        assert store.numbers == [number for number in range(count) if number not in poison]

    asyncio.run(scenario())


async def test_who_waits_for_an_item_that_cannot_be_written_is_told() -> None:
    store = Store()
    store.poison = {2}
    intake = intake_of(store)
    first, second, third = (intake.submit(report(number)) for number in (1, 2, 3))
    with pytest.raises(ValueError, match="nobody foresaw"):
        await second
    assert (await first, await third) == ("answer to 1", "answer to 3")


@pytest.mark.parametrize("error", [StoreBrokenError("broken"), StoreError("closed")])
async def test_after_the_end_of_the_store_nothing_waits_for_it(error: StoreError) -> None:
    intake = intake_of(Store(error))
    waiting = [intake.submit(report(1)), intake.submit(registering("device-1"))]
    for answer in waiting:
        with pytest.raises(StoreError):
            await answer
    with pytest.raises(StoreError):
        await intake.submit(report(2))
    intake.add(report(3))
    assert await intake.drain(1)


async def test_patience_with_a_full_store_ends() -> None:
    store = Store()
    store.gate = asyncio.Event()
    intake = intake_of(store)
    waiting = intake.submit(report(1))
    assert not await intake.drain(0.01)
    with pytest.raises(StoreError):
        await waiting


def noted(path: str) -> DeviceNote:
    what = Exchange(kind=ExchangeKind.READ, path=path)
    return DeviceNote(device_id=DeviceId("d"), note=Note(occurred_at=START, what=what))


async def test_a_note_goes_with_the_next_report_or_by_itself_a_moment_later() -> None:
    store = Store()
    intake = ReportIntake(store.write, note_delay=3600)
    intake.note(noted("/1"))
    await asyncio.sleep(0)
    assert store.batches == []
    await intake.record(report(1))
    assert [len(batch) for batch in store.batches] == [2]
    intake.note(noted("/2"))
    assert await intake.drain(5)
    assert [len(batch) for batch in store.batches] == [2, 1]
    soon = ReportIntake(store.write, note_delay=0)
    store.gate = asyncio.Event()
    soon.note(noted("/3"))
    while not store.under_way:
        await asyncio.sleep(0)
    store.gate.set()
    assert await soon.drain(5)
    assert store.batches[-1] == [noted("/3")]


async def test_a_full_store_lets_notes_go_and_nothing_else() -> None:
    store = Store(StoreFullError("full"))
    intake = intake_of(store)
    intake.note(noted("/1"))
    intake.add(report(1))
    intake.note(noted("/2"))
    intake.add(report(2))
    assert await intake.drain(5)
    assert store.batches == [[report(1), report(2)]]
