"""A device's history is read from where each part of it stands: the journal, the log, the upgrades, and push."""

from datetime import datetime, timedelta
from typing import Final

from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.devices import commands, registrations
from firmcast.devices import use_cases as devices
from firmcast.devices.model import Device
from firmcast.events import use_cases as events
from firmcast.ids import DeviceId
from firmcast.journal import use_cases as journal
from firmcast.journal.model import LONGEST_PAGE
from firmcast.push import history as push_history
from firmcast.push import use_cases as push
from firmcast.push.model import DeliveryFilter, PendingDelivery
from firmcast.timeline.merge import Part, cut_part, merged
from firmcast.timeline.model import Entry, Present, Timeline, Wanted
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import DeviceUpgrade, UpgradePhase

_AT_ONCE: Final = 1000
"""Of each source, in one page."""

_SHOWN_DELIVERIES: Final = 10
_INSTANT: Final = timedelta(microseconds=1)


async def timeline(tx: Transaction, called: str, wanted: Wanted, now: datetime) -> Timeline:
    """Return a page of the history of a device, named by its id or its endpoint name.

    Raises:
        NotFoundError: there is no such device.
    """
    device = await devices.find_called(tx, called)
    of_device = await upgrades.of_device(tx, device.device_id)
    begin, end = _stretch(wanted)
    parts = [
        _upgrades(of_device, wanted, begin, end),
        await _journal(tx, device.device_id, wanted, begin, end),
        await _events(tx, device.device_id, wanted, begin, end),
    ]
    if wanted.with_pushes:
        parts += await _pushes(tx, device.device_id, wanted, begin, end)
    page = merged(parts, newest_first=wanted.newest_first, limit=wanted.limit, after=wanted.after)
    present = await _present(tx, device, of_device, wanted, now)
    return Timeline(present=present, entries=page.entries, next=page.next)


def _stretch(wanted: Wanted) -> tuple[datetime, datetime]:
    """Return the time that a page can be of: what came before its cursor is out of it."""
    if wanted.after is None:
        return wanted.begin, wanted.end
    if wanted.newest_first:
        return wanted.begin, min(wanted.end, wanted.after.moment + _INSTANT)
    return max(wanted.begin, wanted.after.moment), wanted.end


def _upgrades(of_device: list[DeviceUpgrade], wanted: Wanted, begin: datetime, end: datetime) -> Part:
    chosen = [upgrade for upgrade in of_device if wanted.device_upgrade_id in (None, upgrade.device_upgrade_id)]
    return Part(
        entries=[
            Entry(at=upgrade.created_at, what=upgrade, device_upgrade_id=upgrade.device_upgrade_id, place=number)
            for number, upgrade in enumerate(chosen)
            if begin <= upgrade.created_at < end
        ]
    )


async def _journal(tx: Transaction, device_id: DeviceId, wanted: Wanted, begin: datetime, end: datetime) -> Part:
    pages = await journal.between(
        tx,
        device_id,
        begin - LONGEST_PAGE,
        end,
        device_upgrade_id=wanted.device_upgrade_id,
        limit=_AT_ONCE,
        newest_first=wanted.newest_first,
    )
    entries = [
        Entry(at=note.occurred_at, what=note.what, device_upgrade_id=note.device_upgrade_id, place=number)
        for page in pages
        for number, note in enumerate(page.notes)
        if begin <= note.occurred_at < end
    ]
    if len(pages) < _AT_ONCE:
        return Part(entries=entries)
    # A page that was not read began beyond the last one, and lasts for a while.
    edge = pages[-1].began_at
    return Part(entries=entries, known_to=edge + LONGEST_PAGE if wanted.newest_first else edge)


async def _events(tx: Transaction, device_id: DeviceId, wanted: Wanted, begin: datetime, end: datetime) -> Part:
    found = await events.between(
        tx,
        device_id,
        begin,
        end,
        device_upgrade_id=wanted.device_upgrade_id,
        limit=_AT_ONCE,
        newest_first=wanted.newest_first,
    )
    entries = [
        Entry(at=event.occurred_at, what=event, device_upgrade_id=event.device_upgrade_id, place=event.sequence)
        for event in found
    ]
    return cut_part(entries, _AT_ONCE)


async def _pushes(tx: Transaction, device_id: DeviceId, wanted: Wanted, begin: datetime, end: datetime) -> list[Part]:
    event_ids = await push_history.events_of(tx, device_id, wanted.device_upgrade_id)
    stretch, newest_first = (begin, end, _AT_ONCE), wanted.newest_first
    attempts = await push_history.attempts_between(tx, event_ids, *stretch, newest_first=newest_first)
    letters = await push_history.dead_letters_between(tx, event_ids, *stretch, newest_first=newest_first)
    sequences = await events.sequences_of(tx, sorted({attempt.event_id for attempt in attempts}))
    upgrade_id = wanted.device_upgrade_id
    return [
        cut_part(
            [
                Entry(
                    at=each.attempted_at,
                    what=each,
                    device_upgrade_id=upgrade_id,
                    sequence=sequences.get(each.event_id, 0),
                    place=each.attempt_id,
                )
                for each in attempts
            ],
            _AT_ONCE,
        ),
        cut_part(
            [Entry(at=each.died_at, what=each, device_upgrade_id=upgrade_id, place=each.event_id) for each in letters],
            _AT_ONCE,
        ),
    ]


async def _present(
    tx: Transaction, device: Device, of_device: list[DeviceUpgrade], wanted: Wanted, now: datetime
) -> Present:
    device_id = device.device_id
    live = await registrations.of_devices(tx, [device_id], now)
    waiting: list[PendingDelivery] = []
    total = 0
    if wanted.with_pushes:
        waiting, total = await push.pending(tx, DeliveryFilter(device_id=device_id), Page(0, _SHOWN_DELIVERIES))
    open_ones = [upgrade for upgrade in of_device if upgrade.ended_at is None]
    open_ones.sort(key=lambda upgrade: (upgrade.phase is UpgradePhase.SCHEDULED, upgrade.created_at))
    return Present(
        device=device,
        registration=live.get(device_id),
        upgrades=tuple(open_ones),
        commands=tuple(await commands.waiting(tx, [device_id])),
        deliveries=tuple(waiting),
        deliveries_waiting=total,
    )
