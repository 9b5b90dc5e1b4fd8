"""What others may ask of clients; each takes the caller's transaction, and none of them commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from firmcast.db.port import Channel, Transaction
from firmcast.devices import commands, registrations
from firmcast.devices.model import CommandKind, NewCommand, Registration
from firmcast.errors import ConflictError
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal import use_cases as journal
from firmcast.profiles import store
from firmcast.profiles.learning import found_out, learned
from firmcast.profiles.model import (
    NO_PROFILE,
    AwakeWindow,
    Check,
    ClientProfile,
    Findings,
    KnownClient,
    WindowOf,
    combined,
    is_another_client,
    shown_later,
    taught_by,
    without_ways_before,
)
from firmcast.profiles.recognition import shown_by

_PAGES_READ: Final = 60
"""Of a journal: several upgrades."""

_EVER: Final = timedelta(days=36_500)

EVERY_DEVICE: Final = ""
AWAKE_WINDOWS_CHANGED: Final = Channel("awake_windows_changed")
"""Announced with the ids of devices, or EVERY_DEVICE, for which another awake window was set."""

CLIENTS_FORGOTTEN: Final = Channel("clients_forgotten")
"""Announced with the ids of devices of whose clients nothing is known any more."""


async def known(tx: Transaction, device_ids: Sequence[DeviceId], now: datetime) -> Mapping[DeviceId, KnownClient]:
    """Return what is known of the clients of these devices, at the least what their registrations show."""
    found = await store.known(tx, device_ids)
    live = await registrations.of_devices(tx, device_ids, now)
    return {
        device_id: KnownClient(
            device=_as_registered(client.device, live[device_id]) if device_id in live else client.device,
            model=client.model,
        )
        for device_id in device_ids
        for client in [found.get(device_id, KnownClient(device=NO_PROFILE))]
    }


def _as_registered(profile: ClientProfile, registration: Registration) -> ClientProfile:
    shown = shown_later(profile.shown, shown_by(registration))
    is_another = is_another_client(profile.shown, shown)
    return replace(profile, shown=shown, ways_since=registration.updated_at if is_another else profile.ways_since)


async def learn(tx: Transaction, device_id: DeviceId, now: datetime) -> KnownClient:
    """Learn about a device's client from its journal, for its model too, and return what is known then.

    Nothing is written where that is no news.
    """
    before = (await known(tx, [device_id], now))[device_id].device
    since = before.forgotten_at or now - _EVER
    pages = await journal.between(tx, device_id, since, now + timedelta(days=1), limit=_PAGES_READ, newest_first=True)
    notes = sorted(
        (note for page in pages for note in page.notes if note.occurred_at >= since),
        key=lambda note: note.occurred_at,
    )
    return await _add(tx, device_id, before, learned(notes, before), now)


async def _add(
    tx: Transaction, device_id: DeviceId, before: ClientProfile, lesson: ClientProfile, now: datetime
) -> KnownClient:
    shown = shown_later(before.shown, lesson.shown)
    profile = replace(
        before,
        shown=shown,
        traits=without_ways_before(combined(before.traits, lesson.traits), lesson.ways_since),
        ways_since=lesson.ways_since,
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
    before = (await known(tx, [device_id], now))[device_id].device
    found = found_out(findings, now)
    is_another = is_another_client(before.shown, shown_later(before.shown, found.shown))
    await _add(tx, device_id, before, replace(found, ways_since=now if is_another else before.ways_since), now)


async def forget_client(tx: Transaction, device_id: DeviceId, now: datetime) -> None:
    """Forget how a device's client behaved, and what its latest check found; it is learnt anew from now on.

    What it taught of its model stays, but what came of ways for packages counts for this device no more.
    """
    await store.forget(tx, [device_id])
    await store.keep_client(tx, device_id, ClientProfile(ways_since=now, forgotten_at=now), now)
    tx.announce(CLIENTS_FORGOTTEN, [device_id])


async def latest_check(tx: Transaction, device_id: DeviceId) -> Check | None:
    """Return the latest check of a device, None for none."""
    return await store.check(tx, device_id)


async def forget_devices(tx: Transaction, device_ids: Sequence[DeviceId]) -> None:
    """Forget what is known of devices; what they taught of their models stays."""
    await store.forget(tx, device_ids)
    await store.drop_windows(tx, WindowOf.DEVICE, device_ids)


async def set_awake_window(tx: Transaction, about: WindowOf, name: str, length: timedelta | None) -> None:
    """Have a device, or those of a model (`maker_key`), listen for so long after they were heard; None for as usual."""
    if length is None:
        await store.drop_windows(tx, about, [name])
    else:
        await store.keep_window(tx, AwakeWindow(about=about, name=name, length=length))
    tx.announce(AWAKE_WINDOWS_CHANGED, [name if about is WindowOf.DEVICE else EVERY_DEVICE])


async def awake_windows(tx: Transaction, device_ids: Sequence[DeviceId]) -> Mapping[DeviceId, AwakeWindow]:
    """Return how long those of these devices listen for which, or for whose model, that was set."""
    own = {DeviceId(found.name): found for found in await store.windows(tx, WindowOf.DEVICE, device_ids)}
    others = [device_id for device_id in device_ids if device_id not in own]
    keys = {device_id: client.device.shown.maker_key for device_id, client in (await store.known(tx, others)).items()}
    names = sorted({key for key in keys.values() if key})
    of_models = {found.name: found for found in await store.windows(tx, WindowOf.MODEL, names)} if names else {}
    return own | {device_id: of_models[key] for device_id, key in keys.items() if key in of_models}


async def windows_of_models(tx: Transaction, limit: int) -> Sequence[AwakeWindow]:
    """Return the first `limit` windows that were set for models."""
    return await store.windows_about(tx, WindowOf.MODEL, limit)
