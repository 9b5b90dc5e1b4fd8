"""A duty is done as long as its share is held, whatever its workers fail with."""

import asyncio
from typing import Any

import pytest

from firmcast.errors import StoreError
from firmcast.nodes import duty as duty_module
from firmcast.nodes.duty import Duty
from firmcast.nodes.model import HOUSEKEEPING

SHARES = [HOUSEKEEPING]


class Holder:
    """Holds the share or not, as a test says."""

    def __init__(self) -> None:
        self.duty: Any = None

    def listen(self, duty: Duty) -> None:
        self.duty = duty

    def epoch_of(self, _share: object) -> None:
        return None


class Worker:
    """Notes what is asked of him, and fails with what a test gives him."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told
        self.failures: list[Exception] = []
        self.may_begin = asyncio.Event()
        self.may_begin.set()
        self.changed = asyncio.Event()

    async def start(self) -> None:
        await self.may_begin.wait()
        if self.failures:
            raise self.failures.pop(0)
        self._tell("begins")

    async def stop(self) -> None:
        self._tell("ends")

    def _tell(self, what: str) -> None:
        self.told.append(f"{self.name} {what}")
        self.changed.set()

    async def until(self, count: int) -> None:
        while len(self.told) < count:
            self.changed.clear()
            await self.changed.wait()


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(duty_module, "_PAUSE_SECONDS", 0.0)
    told: list[str] = []
    holder, workers = Holder(), [Worker("first", told), Worker("second", told)]
    duty = Duty(HOUSEKEEPING, workers, holder)  # type: ignore[arg-type]  # it asks no more of a keeper than this
    await duty.start()
    yield duty, workers, told
    await duty.stop()


@pytest.mark.parametrize("failure", [StoreError("away"), KeyError("a mistake")])
async def test_who_cannot_begin_begins_later_and_nobody_twice(scene, failure: Exception) -> None:
    duty, (_, second), told = scene
    second.failures = [failure, failure]
    duty.gained(SHARES)
    await second.until(8)
    tried = ["first begins", "second ends", "first ends"]
    assert told == [*tried, *tried, "first begins", "second begins"]


async def test_a_share_that_is_lost_while_they_begin_is_not_kept(scene) -> None:
    duty, (first, second), told = scene
    second.may_begin.clear()
    duty.gained(SHARES)
    await first.until(1)
    duty.lost()
    second.may_begin.set()
    await second.until(4)
    assert told == ["first begins", "second begins", "second ends", "first ends"]
