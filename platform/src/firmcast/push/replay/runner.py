"""Carries replays on, a step at a time, as fast as each may go; everything that counts stands in the store.

Any number of nodes may run one: a step is made once, whoever tries, and the pace is kept by all of them together. A
receiver that does not keep up is not swamped: while many deliveries wait for a subscription, nothing is added.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.errors import StoreBrokenError, StoreError
from firmcast.ids import ReplayId
from firmcast.metrics import Count
from firmcast.push.replay import use_cases

_log = structlog.get_logger()

_AT_ONCE: Final = 32
"""Replays that take a step in one turn; the others are the first in the next."""

_MOST_STEPS: Final = 10
"""Steps of one replay in a turn, while they find nothing that is wanted, or all that one step may make."""

_STEP_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = 2.0
"""How long it may take until a replay is noticed that another node was asked for."""

_RETRY_SECONDS: Final = 1.0


class ReplayRunner:
    """Runs the replays that the store holds, until it is stopped."""

    def __init__(self, *, database: Database, clock: Clock, most_waiting: int, made: Count | None = None) -> None:
        """Bind the parts; with `most_waiting` deliveries waiting for a subscription, none is added to it.

        What is made is counted in `made`.
        """
        self._database = database
        self._clock = clock
        self._most_waiting = most_waiting
        self._made = made or Count()
        self._wake = asyncio.Event()
        self._last = ReplayId(0)  # whose turn was last
        self._task: asyncio.Task[None] | None = None
        self.broken = asyncio.Event()
        """Set when a mistake of ours has ended it; the process must end."""

    async def start(self) -> None:
        """Go on with what earlier processes left."""
        self._database.listen(use_cases.REPLAYS_CHANGED, self._on_changed)
        self._task = asyncio.create_task(self._run(), name="replays")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Stop after the step that is under way; the next process goes on behind it."""
        if self._task is not None:
            self._database.unlisten(use_cases.REPLAYS_CHANGED, self._on_changed)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("push.replays_broken", error=repr(error), exc_info=error)
            self.broken.set()

    def _on_changed(self, _replay_ids: Sequence[ReplayId]) -> None:
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = _STEP_SECONDS if await self._step_all() else _IDLE_SECONDS
            except StoreBrokenError:
                return  # whoever watches the store ends the process
            except StoreError as error:
                _log.warning("push.replays_held_up", reason=str(error))
                pause = _RETRY_SECONDS
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _step_all(self) -> bool:
        """Take each replay further, in turn; return whether there is any."""
        found = await self._database.read(use_cases.running)
        turn = [each for each in found if each > self._last] + [each for each in found if each <= self._last]
        for replay_id in turn[:_AT_ONCE]:
            self._last = replay_id
            for _ in range(_MOST_STEPS):
                if not await self._step(replay_id):
                    break
        return bool(found)

    async def _step(self, replay_id: ReplayId) -> bool:
        """Take a replay a step further; return whether the next one may follow at once."""
        look = partial(use_cases.next_step, replay_id=replay_id, now=self._clock.now())
        step = await self._database.read(look, most_waiting=self._most_waiting)
        if step is None:
            return False
        made = await self._database.write_behind(use_cases.make_step, step, self._clock.now())
        if made is None:
            return False
        self._made.value += made
        return not step.told or len(step.told) >= use_cases.MOST_AT_ONCE
