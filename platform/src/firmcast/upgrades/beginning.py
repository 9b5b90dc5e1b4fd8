"""An upgrade begins with its device when its task's turn has come, unless the device is in another upgrade.

A device in queue mode is taken to sleep when its registration was updated too long ago. It may have been heard since
then in another way, which its gateway alone knows; so gateways are told for whom an upgrade waits.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from firmcast.db.port import Channel, Transaction
from firmcast.devices import registrations
from firmcast.devices.model import Registration
from firmcast.ids import DeviceId, TaskId
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceUpgrade, StartMode, TaskBegan, UpgradePhase
from firmcast.upgrades.state_machine import Decision, advance, refuse
from firmcast.upgrades.store import device_upgrades

SLEEPERS_AWAITED: Final = Channel("sleepers_awaited")
"""Announced with the DeviceIds of those that are taken to sleep while an upgrade begins with them."""


class Beginning:
    """What is known of some devices that upgrades are to begin with; each of them is taken by the first."""

    def __init__(
        self,
        *,
        awake: set[DeviceId],
        asleep: set[DeviceId],
        busy: set[DeviceId],
        modes: Mapping[TaskId, StartMode],
        limits: Limits,
        now: datetime,
        tell_awaited: Callable[[DeviceId], None],
    ) -> None:
        self._awake = awake
        self._asleep = asleep
        self._tell_awaited = tell_awaited
        self._busy = busy
        self._modes = modes
        self._limits = limits
        self._now = now

    def decide(self, upgrade: DeviceUpgrade) -> Decision:
        """Begin an upgrade that is scheduled, or close it since its device is in another one."""
        if upgrade.device_id in self._busy:
            return refuse(upgrade, self._now, self._limits)
        waits = self._modes[upgrade.task_id] is StartMode.ON_REGISTRATION
        began = TaskBegan(upgrade.device_id in self._awake and not waits)
        decision = advance(upgrade, began, self._now, self._limits)
        if decision.upgrade.phase is not UpgradePhase.CLOSED:
            self._busy.add(upgrade.device_id)
            if upgrade.device_id in self._asleep and not waits:
                self._tell_awaited(upgrade.device_id)
        return decision


async def beginning(
    tx: Transaction,
    device_ids: Sequence[DeviceId],
    modes: Mapping[TaskId, StartMode],
    *,
    limits: Limits,
    now: datetime,
) -> Beginning:
    """Find out about the devices that upgrades of tasks with these modes are to begin with."""
    live = await registrations.of_devices(tx, device_ids, now)
    awake = {device_id for device_id, registration in live.items() if _is_awake(registration, limits, now)}
    return Beginning(
        awake=awake,
        asleep=live.keys() - awake,
        busy=await device_upgrades.busy(tx, device_ids),
        modes=modes,
        limits=limits,
        now=now,
        tell_awaited=lambda device_id: tx.announce(SLEEPERS_AWAITED, [device_id]),
    )


def _is_awake(registration: Registration, limits: Limits, now: datetime) -> bool:
    """Tell whether a registered device can be talked to; one that sleeps is waited for until it shows itself."""
    return not registration.queue_mode or now - registration.updated_at < limits.awake
