"""What others may ask of clients; each takes the caller's transaction, and none of them commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from firmcast.db.port import Transaction
from firmcast.devices import commands, registrations
from firmcast.devices.model import CommandKind, NewCommand
from firmcast.errors import ConflictError
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal import use_cases as journal
from firmcast.profiles import store
from firmcast.profiles.learning import found_out, learned
from firmcast.profiles.model import Check, ClientProfile, Findings, KnownClient, combined, shown_later, taught_by
from firmcast.profiles.recognition import shown_by

_PAGES_READ: Final = 60
"""Of a journal: several upgrades."""

_EVER: Final = timedelta(days=36_500)


async def known(tx: Transaction, device_ids: Sequence[DeviceId], now: datetime) -> Mapping[DeviceId, KnownClient]:
    """Return what is known of the clients of these devices, at the least what their registrations show."""
    found = await store.known(tx, device_ids)
    live = await registrations.of_devices(tx, device_ids, now)
    return {
        device_id: KnownClient(
            device=ClientProfile(
                shown=shown_later(client.device.shown, shown_by(live[device_id])), traits=client.device.traits
            )
            if device_id in live
            else client.device,
            model=client.model,
        )
        for device_id in device_ids
        for client in [found.get(device_id, KnownClient(device=ClientProfile()))]
    }


async def learn(tx: Transaction, device_id: DeviceId, now: datetime) -> KnownClient:
    """Learn about a device's client from its journal, for its model too, and return what is known then.

    Nothing is written where that is no news.
    """
    pages = await journal.between(
        tx, device_id, now - _EVER, now + timedelta(days=1), limit=_PAGES_READ, newest_first=True
    )
    notes = sorted((note for page in pages for note in page.notes), key=lambda note: note.occurred_at)
    return await _add(tx, device_id, learned(notes), now)


async def _add(tx: Transaction, device_id: DeviceId, lesson: ClientProfile, now: datetime) -> KnownClient:
    before = (await known(tx, [device_id], now))[device_id]
    profile = ClientProfile(
        shown=shown_later(before.device.shown, lesson.shown), traits=combined(before.device.traits, lesson.traits)
    )
    stored = (await store.known(tx, [device_id])).get(device_id)
    if stored is None or stored.device != profile:
        await store.keep_client(tx, device_id, profile, now)
    model_key = profile.shown.model_key
    if not model_key:
        return KnownClient(device=profile)
    of_model = await store.model(tx, model_key)
    taught = combined(of_model, taught_by(profile.traits))
    if taught != of_model:
        await store.keep_model(tx, model_key, taught, now)
    return KnownClient(device=profile, model=taught)


async def order_check(tx: Transaction, device_id: DeviceId, now: datetime) -> Check:
    """Have a registered device checked; whichever gateway holds it carries that out.

    Raises:
        ConflictError: the device is not registered.
    """
    if not await registrations.of_devices(tx, [device_id], now):
        message = f"the device {device_id!r} is not registered: it can be checked once it is"
        raise ConflictError(message)
    check = Check(device_id=device_id, requested_at=now, ended_at=None, findings=Findings())
    await store.keep_check(tx, check)
    order = NewCommand(
        device_id=device_id,
        device_upgrade_id=DeviceUpgradeId(f"check-{device_id}"),
        kind=CommandKind.CHECK,
        transfer_token="",
    )
    await commands.replace(tx, [order], now)
    return check


async def end_check(tx: Transaction, device_id: DeviceId, findings: Findings, now: datetime) -> None:
    """Keep what came of a device's check, and learn from it."""
    await store.end_check(tx, device_id, findings, now)
    await _add(tx, device_id, found_out(findings), now)


async def latest_check(tx: Transaction, device_id: DeviceId) -> Check | None:
    """Return the latest check of a device, None for none."""
    return await store.check(tx, device_id)


async def forget_devices(tx: Transaction, device_ids: Sequence[DeviceId]) -> None:
    """Forget what is known of devices; what they taught of their models stays."""
    await store.forget(tx, device_ids)
