"""Outcomes are written in order, in batches, and a full disk is waited out, as all that push writes waits for room."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from firmcast.db.patience import patiently
from firmcast.errors import StoreBrokenError, StoreError, StoreFullError, StoreUnreachableError
from firmcast.push.settlement_writer import SettlementWriter


async def test_while_one_batch_is_written_the_next_gathers() -> None:
    batches: list[list[str]] = []
    release = asyncio.Event()

    async def write(batch: Sequence[str]) -> None:
        batches.append(list(batch))
        await release.wait()

    writer = SettlementWriter(write)
    running = asyncio.create_task(writer.run())
    writer.add("a")
    while not batches:
        await asyncio.sleep(0)
    for item in "bcd":
        writer.add(item)
    assert writer.unwritten == 4
    waiting = asyncio.create_task(writer.written())
    release.set()
    await waiting
    assert (batches, writer.unwritten) == ([["a"], ["b", "c", "d"]], 0)
    await writer.written()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_what_gathered_for_long_is_written_in_parts_in_order() -> None:
    batches: list[list[int]] = []

    async def write(batch: Sequence[int]) -> None:
        batches.append(list(batch))

    writer = SettlementWriter(write)
    for number in range(2_500):
        writer.add(number)
    running = asyncio.create_task(writer.run())
    await writer.written()
    assert ([len(batch) for batch in batches], writer.unwritten) == ([1_000, 1_000, 500], 0)
    assert [number for batch in batches for number in batch] == list(range(2_500))
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("failure", [StoreFullError, StoreUnreachableError])
async def test_a_full_disk_is_waited_out_and_nothing_is_lost(failure: type[StoreError]) -> None:
    failures = iter([True, True, False])
    written: list[str] = []

    async def write(batch: Sequence[str]) -> None:
        if next(failures, False):
            raise failure
        written.extend(batch)

    writer = SettlementWriter(lambda batch: patiently(lambda: write(batch)))
    running = asyncio.create_task(writer.run())
    writer.add("a")
    await writer.written()
    assert written == ["a"]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_any_other_failure_of_the_store_ends_it() -> None:
    async def write(_batch: Sequence[str]) -> None:
        raise StoreBrokenError("no sync")

    writer = SettlementWriter(write)
    writer.add("a")
    with pytest.raises(StoreBrokenError):
        await writer.run()
