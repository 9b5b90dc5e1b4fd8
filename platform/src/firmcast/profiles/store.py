"""The tables of clients: what is known of each device's, of each model, and the latest check of a device."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from firmcast.db.columns import from_column, from_optional_column, to_column, to_optional_column
from firmcast.db.port import Transaction
from firmcast.db.statement import differing, portable
from firmcast.ids import DeviceId
from firmcast.profiles.model import AwakeWindow, Check, ClientProfile, Findings, KnownClient, Traits, WindowOf

# What is known of the clients of these devices, and of their models.
SELECT_KNOWN: Final = differing(
    sqlite="SELECT c.device_id, c.profile, m.traits FROM device_client c"
    " LEFT JOIN client_model m ON m.model_key = c.model_key"
    " WHERE c.device_id IN (SELECT value FROM json_each(?1))",
    postgres="SELECT c.device_id, c.profile, m.traits FROM device_client c"
    " LEFT JOIN client_model m ON m.model_key = c.model_key WHERE c.device_id = ANY(?1)",
)

SELECT_MODEL: Final = portable("SELECT traits FROM client_model WHERE model_key = ?1")

UPSERT_CLIENT: Final = portable(
    "INSERT INTO device_client (device_id, model_key, profile, changed_at) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (device_id) DO UPDATE SET model_key = excluded.model_key, profile = excluded.profile,"
    " changed_at = excluded.changed_at"
)
UPSERT_MODEL: Final = portable(
    "INSERT INTO client_model (model_key, traits, changed_at) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (model_key) DO UPDATE SET traits = excluded.traits, changed_at = excluded.changed_at"
)

# A check that waits takes the place of the one before.
UPSERT_CHECK: Final = portable(
    "INSERT INTO device_check (device_id, requested_at, ended_at, findings) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (device_id) DO UPDATE SET requested_at = excluded.requested_at, ended_at = excluded.ended_at,"
    " findings = excluded.findings"
)
END_CHECK: Final = portable("UPDATE device_check SET ended_at = ?2, findings = ?3 WHERE device_id = ?1")
SELECT_CHECK: Final = portable(
    "SELECT device_id, requested_at, ended_at, findings FROM device_check WHERE device_id = ?1"
)

# What is known of devices that are forgotten.
DELETE_CLIENTS: Final = differing(
    sqlite="DELETE FROM device_client WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM device_client WHERE device_id = ANY(?1)",
)
DELETE_CHECKS: Final = differing(
    sqlite="DELETE FROM device_check WHERE device_id IN (SELECT value FROM json_each(?1))",
    postgres="DELETE FROM device_check WHERE device_id = ANY(?1)",
)

# How long these devices, or those of these models, listen.
SELECT_WINDOWS: Final = differing(
    sqlite="SELECT about, name, seconds FROM awake_window"
    " WHERE about = ?1 AND name IN (SELECT value FROM json_each(?2))",
    postgres="SELECT about, name, seconds FROM awake_window WHERE about = ?1 AND name = ANY(?2)",
)
SELECT_WINDOWS_ABOUT: Final = portable(
    "SELECT about, name, seconds FROM awake_window WHERE about = ?1 ORDER BY name LIMIT ?2"
)
UPSERT_WINDOW: Final = portable(
    "INSERT INTO awake_window (about, name, seconds) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (about, name) DO UPDATE SET seconds = excluded.seconds"
)
DELETE_WINDOWS: Final = differing(
    sqlite="DELETE FROM awake_window WHERE about = ?1 AND name IN (SELECT value FROM json_each(?2))",
    postgres="DELETE FROM awake_window WHERE about = ?1 AND name = ANY(?2)",
)
_SECOND: Final = timedelta(seconds=1)

_profile = msgspec.json.Decoder(ClientProfile)
_traits = msgspec.json.Decoder(Traits)
_findings = msgspec.json.Decoder(Findings)


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()


async def known(tx: Transaction, device_ids: Sequence[DeviceId]) -> Mapping[DeviceId, KnownClient]:
    """Return what is known of the clients of these devices; of whom nothing is known is absent."""
    return {
        DeviceId(row[0]): KnownClient(
            device=_profile.decode(row[1]), model=Traits() if row[2] is None else _traits.decode(row[2])
        )
        for row in await tx.fetch(SELECT_KNOWN, list(device_ids))
    }


async def model(tx: Transaction, model_key: str) -> Traits:
    """Return what is known of a model."""
    row = await tx.fetch_row(SELECT_MODEL, model_key)
    return Traits() if row is None else _traits.decode(row[0])


async def keep_client(tx: Transaction, device_id: DeviceId, profile: ClientProfile, now: datetime) -> None:
    """Write what is known of a device's client."""
    await tx.execute(UPSERT_CLIENT, device_id, profile.shown.model_key, _json(profile), to_column(now))


async def keep_model(tx: Transaction, model_key: str, traits: Traits, now: datetime) -> None:
    """Write what is known of a model."""
    await tx.execute(UPSERT_MODEL, model_key, _json(traits), to_column(now))


async def keep_check(tx: Transaction, check: Check) -> None:
    """Write a check in the place of the device's former one."""
    await tx.execute(
        UPSERT_CHECK,
        check.device_id,
        to_column(check.requested_at),
        to_optional_column(check.ended_at),
        _json(check.findings),
    )


async def end_check(tx: Transaction, device_id: DeviceId, findings: Findings, now: datetime) -> None:
    """Write what came of a device's check, if it still has one."""
    await tx.execute(END_CHECK, device_id, to_column(now), _json(findings))


async def check(tx: Transaction, device_id: DeviceId) -> Check | None:
    """Return the latest check of a device, None for none."""
    row = await tx.fetch_row(SELECT_CHECK, device_id)
    if row is None:
        return None
    return Check(
        device_id=DeviceId(row[0]),
        requested_at=from_column(row[1]),
        ended_at=from_optional_column(row[2]),
        findings=_findings.decode(row[3]),
    )


async def windows(tx: Transaction, about: WindowOf, names: Sequence[str]) -> list[AwakeWindow]:
    """Return how long those of these devices, or models, listen for which that was set."""
    return [_window(row) for row in await tx.fetch(SELECT_WINDOWS, about.value, list(names))]


async def windows_about(tx: Transaction, about: WindowOf, limit: int) -> list[AwakeWindow]:
    """Return the first `limit` of all that were set for devices, or for models."""
    return [_window(row) for row in await tx.fetch(SELECT_WINDOWS_ABOUT, about.value, limit)]


async def keep_window(tx: Transaction, window: AwakeWindow) -> None:
    """Write how long a device, or those of a model, listen."""
    await tx.execute(UPSERT_WINDOW, window.about.value, window.name, window.length // _SECOND)


async def drop_windows(tx: Transaction, about: WindowOf, names: Sequence[str]) -> None:
    """Remove what was set for these."""
    await tx.execute(DELETE_WINDOWS, about.value, list(names))


def _window(row: Sequence[Any]) -> AwakeWindow:
    return AwakeWindow(about=WindowOf(row[0]), name=row[1], length=row[2] * _SECOND)


async def forget(tx: Transaction, device_ids: Sequence[DeviceId]) -> None:
    """Remove what is known of devices."""
    await tx.execute(DELETE_CLIENTS, list(device_ids))
    await tx.execute(DELETE_CHECKS, list(device_ids))
