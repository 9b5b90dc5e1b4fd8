"""A device has a session while orders wait for it and it listens: they are read, carried out one by one, read again.

The store alone says what is to be done. An announcement, a registration or an update only wakes the device, so an order
that was replaced or withdrawn is never begun, and one under way is given up as soon as that is known. The session of a
device that falls asleep ends; its orders stay rows until it is heard again, and so does what is owed to a silent one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from firmcast.db.patience import patiently
from firmcast.db.port import Database
from firmcast.devices import commands as waiting_commands
from firmcast.devices.model import CommandKind, DeviceCommand
from firmcast.errors import StoreError
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.clients import Clients
from firmcast.gateway.command_runner import CommandRunner
from firmcast.gateway.device_link import DeviceLink
from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.gateway.pace import Pace
from firmcast.gateway.reports import ReportIntake
from firmcast.ids import CommandId, DeviceId, GatewayId
from firmcast.upgrades.model import CommandAnswered, CommandFailed, DeviceReport, FellAsleep, SeenAlive

READ_AT_ONCE: Final = 1000
_BEGUN_LIMIT: Final = 200_000
_log = structlog.get_logger()

LinkTo = Callable[[LiveDevice], DeviceLink]


class _Session:
    __slots__ = ("carried_out", "link", "running", "running_command", "task", "waiting", "was_read")

    def __init__(self, link: DeviceLink) -> None:
        self.link = link
        self.waiting: list[DeviceCommand] = []
        self.running: asyncio.Task[CommandAnswered | CommandFailed | None] | None = None
        self.running_command: DeviceCommand | None = None
        self.carried_out: set[CommandId] = set()
        """Orders whose outcome was recorded or is about to be, though they may still be read as waiting."""
        self.was_read = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class DeviceSessions:
    """The sessions of all live devices that have something to do."""

    def __init__(
        self,
        *,
        database: Database,
        live: LiveDevices,
        windows: AwakeWindows,
        intake: ReportIntake,
        runner: CommandRunner,
        pace: Pace,
        link_to: LinkTo,
        now: Callable[[], datetime],
        gateway_id: GatewayId,
        clients: Clients,
    ) -> None:
        self._database = database
        self._live = live
        self._windows = windows
        self._intake = intake
        self._runner = runner
        self._pace = pace
        self._link_to = link_to
        self._now = now
        self._gateway_id = gateway_id
        self._clients = clients
        self._sessions: dict[DeviceId, _Session] = {}
        self._begun: dict[CommandId, None] = {}
        self._owed: set[DeviceId] = set()
        """Devices that did not answer an order which may be owed to them, so that it waits for a sign of life."""
        self._woken: dict[DeviceId, None] = {}
        self._reading: asyncio.Task[None] | None = None
        self._stopped = False

    def __len__(self) -> int:
        """How many devices have something to do."""
        return len(self._sessions)

    def wake(self, device_ids: Iterable[DeviceId]) -> None:
        """Have the orders of these devices read; those that are not live are passed over."""
        if self._stopped:
            return
        self._woken.update((device_id, None) for device_id in device_ids if self._live.of(device_id) is not None)
        if self._woken and self._reading is None:
            self._reading = asyncio.create_task(self._read_orders(), name="device-orders")

    def announced(self, commands: Sequence[DeviceCommand]) -> None:
        """Wake the devices of new orders."""
        self.wake(command.device_id for command in commands)

    def notified(self, device_id: DeviceId) -> None:
        """Note that a device has said something unasked."""
        session = self._sessions.get(device_id)
        if session is not None:
            session.link.notifications += 1
        elif device_id in self._owed:
            self._owed.discard(device_id)
            self.wake((device_id,))

    def moved(self, device_id: DeviceId) -> None:
        """Go on at a device's new address."""
        session = self._sessions.get(device_id)
        if session is not None:
            session.link.moved()

    def awoke(self, device: LiveDevice) -> None:
        """Go on with a device that is heard again; who waits for it is told of that too."""
        self._tell_heard(device)
        self.wake((device.device_id,))

    def awaited(self, device_ids: Iterable[DeviceId]) -> None:
        """Tell upgrades that take these devices to sleep of those that listen: they may have been heard since."""
        for device_id in device_ids:
            device = self._live.of(device_id)
            if device is not None and device.queue_mode and self._windows.is_awake(device):
                self._tell_heard(device)

    def fell_asleep(self, device: LiveDevice) -> None:
        """Give up what is under way with a device that does not listen any more, and tell its upgrade if it has one."""
        if device.commanded:
            self._tell_asleep(device)
        session = self._sessions.get(device.device_id)
        if session is not None:
            session.link.fell_asleep()

    def end(self, device_id: DeviceId) -> None:
        """Give up what is under way with a device whose registration is over; its orders go on waiting."""
        self._owed.discard(device_id)
        session = self._sessions.pop(device_id, None)
        if session is not None and session.task is not None:
            session.task.cancel()

    async def stop(self) -> None:
        """Give up everything that is under way; it is taken up again after the next start."""
        self._stopped = True
        tasks = [session.task for session in self._sessions.values() if session.task is not None]
        if self._reading is not None:
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Reading orders.

    async def _read_orders(self) -> None:
        try:
            while self._woken:
                device_ids = list(self._woken)[:READ_AT_ONCE]
                for device_id in device_ids:
                    del self._woken[device_id]
                # However long the store is away: a device whose orders were not read would wait for its next sign of
                # life, and one that has just been asked something would go on waiting for this.
                found = await patiently(partial(self._orders_of, device_ids))
                for device_id in device_ids:
                    self._take_orders(device_id, found.get(device_id, []))
        except StoreError as error:
            _log.error("commands.unread", exc_info=error)
            self._woken.clear()
        finally:
            self._reading = None

    async def _orders_of(self, device_ids: Sequence[DeviceId]) -> dict[DeviceId, list[DeviceCommand]]:
        found: dict[DeviceId, list[DeviceCommand]] = defaultdict(list)
        for command in await self._database.read(waiting_commands.to_carry_out, device_ids, self._gateway_id):
            found[command.device_id].append(command)
        await self._clients.look_up(list(found))
        return found

    def _take_orders(self, device_id: DeviceId, commands: list[DeviceCommand]) -> None:
        session = self._sessions.get(device_id)
        if session is None:
            device = self._live.of(device_id)
            if device is None or not commands or self._stopped:
                return
            device.commanded = True
            if not self._windows.is_awake(device):
                # Its upgrade may have got here after it fell asleep, and not know of it.
                self._tell_asleep(device)
                return
            session = self._sessions[device_id] = _Session(self._link_to(device))
            session.task = asyncio.create_task(self._serve(device_id, session), name="device-session")
        session.waiting = [command for command in commands if command.command_id not in session.carried_out]
        session.carried_out.intersection_update(command.command_id for command in commands)
        session.was_read.set()
        under_way = session.running_command
        if under_way is not None and session.running is not None and under_way not in session.waiting:
            session.running.cancel()

    # Carrying them out.

    async def _serve(self, device_id: DeviceId, session: _Session) -> None:
        try:
            while session.waiting and self._windows.is_awake(session.link.device):
                command = session.waiting[0]
                outcome = await self._carry_out(session, command)
                if outcome is not None:
                    session.carried_out.add(command.command_id)
                    _tell(command, outcome)
                    if command.kind is CommandKind.RESET and isinstance(outcome, CommandFailed):
                        self._owed.add(device_id)
                    await self._intake.record(DeviceReport(device_id=device_id, input=outcome, occurred_at=self._now()))
                    self._begun.pop(command.command_id, None)
                session.was_read.clear()
                self.wake((device_id,))
                await session.was_read.wait()
        except Exception as error:
            # Its orders wait for the next sign of life.
            _log.error("session.ended", device_id=device_id, exc_info=error)
        finally:
            if self._sessions.get(device_id) is session:
                del self._sessions[device_id]
            self._clients.consider(device_id)

    async def _carry_out(self, session: _Session, command: DeviceCommand) -> CommandAnswered | CommandFailed | None:
        """Return what came of an order, None when it was given up: it is not wanted any more, or the device sleeps."""
        may_be_repeat = command.command_id in self._begun
        self._note_begun(command.command_id)
        session.running_command = command
        session.link.begin(command)
        session.running = asyncio.create_task(self._in_turn(session.link, command, may_be_repeat=may_be_repeat))
        try:
            await asyncio.wait({session.running})
            return None if session.running.cancelled() else session.running.result()
        finally:
            if not session.running.done():
                session.running.cancel()
                with suppress(asyncio.CancelledError):
                    await session.running
            session.running = session.running_command = None

    async def _in_turn(
        self, link: DeviceLink, command: DeviceCommand, *, may_be_repeat: bool
    ) -> CommandAnswered | CommandFailed | None:
        async with self._pace.turn():
            return await self._runner.run(link, command, may_be_repeat=may_be_repeat)

    def _tell_heard(self, device: LiveDevice) -> None:
        told = SeenAlive(updated=False)
        self._intake.add(DeviceReport(device_id=device.device_id, input=told, occurred_at=self._now()))

    def _tell_asleep(self, device: LiveDevice) -> None:
        told = FellAsleep(registered_until=device.expires_at)
        self._intake.add(DeviceReport(device_id=device.device_id, input=told, occurred_at=self._now()))

    def _note_begun(self, command_id: CommandId) -> None:
        self._begun[command_id] = None
        if len(self._begun) > _BEGUN_LIMIT:
            del self._begun[next(iter(self._begun))]


def _tell(command: DeviceCommand, outcome: CommandAnswered | CommandFailed) -> None:
    failed = outcome if isinstance(outcome, CommandFailed) else None
    _log.info(
        "command.carried_out",
        kind=command.kind.value,
        device_id=command.device_id,
        device_upgrade_id=command.device_upgrade_id,
        failure=None if failed is None else failed.failure.value,
        description=None if failed is None else failed.description,
    )
