"""An entry is one thing that happened, from whichever side it is known; all of them stand on one line of time."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from firmcast.devices.model import Device, DeviceCommand, Registration
from firmcast.events.model import Event
from firmcast.ids import DeviceUpgradeId
from firmcast.journal.model import Decision, Exchange, Transfer
from firmcast.push.model import Attempt, DeadLetter, PendingDelivery
from firmcast.upgrades.model import DeviceUpgrade


class EntryKind(StrEnum):
    """What an entry is."""

    UPGRADE = "upgrade"
    """The device was taken into an upgrade task."""
    EXCHANGE = "exchange"
    """A request, of the device or of ours, and its answer."""
    TRANSFER = "transfer"
    """A package's way to the device, all blocks as one entry."""
    DECISION = "decision"
    """What the state machine made of something that it heard."""
    EVENT = "event"
    """What applications are told."""
    PUSH = "push"
    """An attempt to deliver an event, and its answer."""
    DEAD_LETTER = "dead_letter"
    """The delivery of an event was given up."""


_ORDER: Final = {kind: number for number, kind in enumerate(EntryKind)}

What = DeviceUpgrade | Exchange | Transfer | Decision | Event | Attempt | DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened."""

    at: datetime
    what: What
    device_upgrade_id: DeviceUpgradeId | None = None
    sequence: int = 0
    """Of the event that a push is about; 0 for none, and of one that is no longer kept."""
    place: int = 0
    """Tells apart what one source has at one moment, in the order in which it happened."""

    @property
    def kind(self) -> EntryKind:
        """What it is."""
        match self.what:
            case DeviceUpgrade():
                return EntryKind.UPGRADE
            case Exchange():
                return EntryKind.EXCHANGE
            case Transfer():
                return EntryKind.TRANSFER
            case Decision():
                return EntryKind.DECISION
            case Event():
                return EntryKind.EVENT
            case Attempt():
                return EntryKind.PUSH
            case DeadLetter():
                return EntryKind.DEAD_LETTER

    @property
    def order(self) -> tuple[datetime, int, int]:
        """Where it stands: at one moment causes come before what follows from them."""
        return self.at, _ORDER[self.kind], self.place


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page ended: behind so many entries of a moment, in the order of the pages."""

    moment: datetime
    passed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which part of a device's history is wanted."""

    begin: datetime
    end: datetime
    """Entries of this moment and later are left out."""
    device_upgrade_id: DeviceUpgradeId | None = None
    newest_first: bool = True
    limit: int = 100
    after: Cursor | None = None
    with_pushes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Where a device is now."""

    device: Device
    registration: Registration | None
    """Its live one."""
    upgrades: tuple[DeviceUpgrade, ...]
    """Those that have not ended, the one under way first."""
    commands: tuple[DeviceCommand, ...]
    """What waits for it."""
    deliveries: tuple[PendingDelivery, ...]
    """The first events of it that wait to be pushed."""
    deliveries_waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A page of a device's history."""

    present: Present
    entries: tuple[Entry, ...]
    next: Cursor | None
    """Where to go on; None at the end."""
