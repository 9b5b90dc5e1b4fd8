"""A registration ends when its lifetime has passed without an update; nothing polls, the next end sets the timer."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Final

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.devices import registrations
from firmcast.devices.model import Registration
from firmcast.errors import StoreError
from firmcast.events.log import EventLog
from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.ids import RegistrationId

_AT_ONCE: Final = 1000
_LONGEST_SLEEP: Final = 3600.0
_SHORTEST_SLEEP: Final = 0.001
_RETRY: Final = 5.0
_log = structlog.get_logger()


class Expiry:
    """Ends registrations in time. Each device has one entry on a heap; an update that moves its end costs nothing."""

    def __init__(
        self,
        *,
        database: Database,
        log: EventLog,
        live: LiveDevices,
        clock: Clock,
        on_expired: Callable[[Registration], None],
    ) -> None:
        self._database = database
        self._log = log
        self._live = live
        self._clock = clock
        self._on_expired = on_expired
        self._heap: list[tuple[datetime, RegistrationId]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: datetime | None = None
        self._expiring: asyncio.Task[None] | None = None
        self._stopped = False

    def watch(self, device: LiveDevice) -> None:
        """Look whether the registration has ended when it is due to, unless somebody looks before that anyway."""
        if device.expiry_watched_at is None or device.expires_at < device.expiry_watched_at:
            device.expiry_watched_at = device.expires_at
            heappush(self._heap, (device.expires_at, device.registration_id))
            self._set_timer()

    def begin(self) -> None:
        """End what ran out while nobody watched: no live device stands for it here, so no timer would."""
        if self._expiring is None:
            self._expiring = asyncio.create_task(self._expire([]), name="registration-expiry")

    async def stop(self) -> None:
        """End no more registrations."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._expiring is not None:
            self._expiring.cancel()
            await asyncio.gather(self._expiring, return_exceptions=True)

    def _set_timer(self, least: float = _SHORTEST_SLEEP) -> None:
        if self._stopped or self._expiring is not None or not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at is not None and self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        delay = (due - self._clock.now()).total_seconds()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(_LONGEST_SLEEP, max(least, delay)), self._due)

    def _due(self) -> None:
        self._timer = self._timer_at = None
        ended = self._take_ended()
        if ended:
            self._expiring = asyncio.create_task(self._expire(ended), name="registration-expiry")
        else:
            self._set_timer()

    def _take_ended(self) -> list[LiveDevice]:
        """Take what is due off the heap, put back what was updated since, and return the rest."""
        now = self._clock.now()
        ended: list[LiveDevice] = []
        while self._heap and self._heap[0][0] <= now:
            due, registration_id = heappop(self._heap)
            device = self._live.by_registration(registration_id)
            if device is None or device.expiry_watched_at != due:
                continue
            if device.expires_at > now:
                device.expiry_watched_at = device.expires_at
                heappush(self._heap, (device.expires_at, registration_id))
            else:
                device.expiry_watched_at = None
                ended.append(device)
        return ended

    async def _expire(self, ended: list[LiveDevice]) -> None:
        least = _SHORTEST_SLEEP
        try:
            count = _AT_ONCE
            while count == _AT_ONCE:
                expired = await self._database.write_behind(
                    registrations.expire, self._clock.now(), _AT_ONCE, log=self._log
                )
                count = len(expired)
                for registration in expired:
                    self._on_expired(registration)
        except StoreError as error:
            # A full store leaves them for later: what is over in it counts as over already.
            least = _RETRY
            _log.error("registrations.not_expired", exc_info=error)
        finally:
            self._expiring = None
            soonest = self._clock.now() + timedelta(seconds=_RETRY)
            for device in ended:
                # Updated in the meantime, or not ended; another gateway may have ended it, and the news be on its way.
                if self._live.of(device.device_id) is device and device.expiry_watched_at is None:
                    is_over = device.expires_at < soonest
                    device.expiry_watched_at = soonest if is_over else device.expires_at
                    heappush(self._heap, (device.expiry_watched_at, device.registration_id))
            self._set_timer(least)
