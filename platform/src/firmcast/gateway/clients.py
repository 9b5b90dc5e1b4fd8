"""How each device is driven is looked up when there is something to do with it, and learnt anew when that is done.

Learning is nobody's wait: it takes place a moment later, a few devices at a time, and a device that is passed over
teaches the same the next time.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from firmcast.db.port import Database, Transaction
from firmcast.errors import StoreError
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.ids import DeviceId
from firmcast.profiles import use_cases as profiles
from firmcast.profiles.driving import USUAL, DriverChoices, choices_of
from firmcast.profiles.model import AwakeWindow, KnownClient

_LEARNS_AFTER_SECONDS: Final = 2.0
"""What is noted last has reached the journal by then."""

_AT_ONCE: Final = 20
_MOST_WAITING: Final = 10_000
_log = structlog.get_logger()


class Clients:
    """What is known of the clients of live devices."""

    def __init__(
        self,
        database: Database,
        live: LiveDevices,
        windows: AwakeWindows,
        now: Callable[[], datetime],
        *,
        remembered: timedelta,
    ) -> None:
        """Have what came of ways for packages count for a time."""
        self._remembered = remembered
        self._windows = windows
        self._database = database
        self._live = live
        self._now = now
        self._waiting: dict[DeviceId, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._learning: asyncio.Task[None] | None = None
        self._stopped = False

    async def look_up(self, device_ids: Sequence[DeviceId]) -> None:
        """Have the choices of these devices known, where they are not. Raises StoreError."""
        unknown = [device_id for device_id in device_ids if self._is_unknown(device_id)]
        if not unknown:
            return
        known, windows = await self._database.read(self._read, unknown)
        for device_id, client in known.items():
            device = self._live.of(device_id)
            if device is not None:
                self._drive(device, self._choices_of(client))
                self._set_window(device, windows)

    async def _read(
        self, tx: Transaction, device_ids: Sequence[DeviceId]
    ) -> tuple[Mapping[DeviceId, KnownClient], Mapping[DeviceId, AwakeWindow]]:
        sleepy = [device_id for device_id in device_ids if self._sleeps_between(device_id)]
        windows = await profiles.awake_windows(tx, sleepy) if sleepy else {}
        return await profiles.known(tx, device_ids, self._now()), windows

    def _sleeps_between(self, device_id: DeviceId) -> bool:
        device = self._live.of(device_id)
        return device is not None and device.queue_mode

    def _set_window(self, device: LiveDevice, windows: Mapping[DeviceId, AwakeWindow]) -> None:
        if device.queue_mode:
            own = windows.get(device.device_id)
            self._windows.set_length(device, None if own is None else own.length.total_seconds())

    def windows_changed(self, device_ids: Sequence[DeviceId]) -> None:
        """Have the windows of these devices looked up anew, or of all."""
        for device in list(self._live):
            if device.queue_mode and (profiles.EVERY_DEVICE in device_ids or device.device_id in device_ids):
                device.choices = USUAL

    def forgotten(self, device_ids: Sequence[DeviceId]) -> None:
        """Have the choices of these devices looked up anew: what was known of their clients was forgotten."""
        for device_id in device_ids:
            device = self._live.of(device_id)
            if device is not None:
                device.choices, device.read_format, device.reset_way = USUAL, None, None
                device.asked_who_it_is = device.left_objects_unanswered = False

    def consider(self, device_id: DeviceId) -> None:
        """Learn from what was noted of a device, soon."""
        if self._stopped or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting[device_id] = None
        if self._timer is None and self._learning is None:
            self._learn_later()

    async def stop(self) -> None:
        """Learn no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)

    def _is_unknown(self, device_id: DeviceId) -> bool:
        device = self._live.of(device_id)
        if device is None or device.choices is USUAL:
            return device is not None
        holds_until = device.choices.holds_until
        return holds_until is not None and holds_until <= self._now()

    def _choices_of(self, client: KnownClient) -> DriverChoices:
        return choices_of(client, self._now(), self._remembered)

    def _drive(self, device: LiveDevice, choices: DriverChoices) -> None:
        device.choices = choices
        if choices.leaves_objects_unanswered:
            # It is known from now on, and for a time.
            device.left_objects_unanswered = False

    def _learn_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LEARNS_AFTER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._learning = asyncio.create_task(self._learn(), name="client-learning")

    async def _learn(self) -> None:
        try:
            for device_id in list(self._waiting)[:_AT_ONCE]:
                del self._waiting[device_id]
                known = await self._database.write(profiles.learn, device_id, self._now())
                device = self._live.of(device_id)
                if device is not None:
                    # What is known of its model may be news, and with it how long it listens.
                    self._drive(device, USUAL if device.queue_mode else self._choices_of(known))
                    device.asked_who_it_is = False
        except StoreError as error:
            _log.warning("clients.not_learnt", reason=str(error))
        except Exception as error:
            # Nothing depends on it, and the next one may teach.
            _log.error("clients.not_learnt", exc_info=error)
        finally:
            self._learning = None
            if self._waiting and not self._stopped:
                self._learn_later()
