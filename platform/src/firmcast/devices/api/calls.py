"""What the calls on credentials and on devices share: who asks, which device is meant, which key was given."""

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from starlette.requests import Request

from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.devices import registrations, use_cases
from firmcast.devices.keys import seal_key
from firmcast.devices.model import Device, Registration
from firmcast.errors import NotFoundError
from firmcast.events.log import EventLog
from firmcast.ids import ApplicationId, DeviceId
from firmcast.rest.authentication import Authenticate, require_own
from firmcast.rest.errors import ApiError
from firmcast.rest.requests import decode_parameters, path_identifier
from firmcast.sealing import Sealer
from firmcast_sdk.wire import devices as wire_devices
from firmcast_sdk.wire import errors as wire

Found = TypeVar("Found")

_KEY_FORM: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){4,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceParts:
    """What the calls stand on."""

    database: Database
    clock: Clock
    authenticate: Authenticate
    sealer: Sealer
    log: EventLog
    body_limit: int

    async def caller(self, request: Request) -> ApplicationId:
        """Return the application that makes a call on one device, or raise ApiError."""
        application_id = await self.authenticate(request)
        require_own(application_id, decode_parameters(wire_devices.DeviceAddress, request).app_id)
        return application_id

    def sealed(self, key: str) -> bytes:
        """Return a key as it is stored."""
        return seal_key(self.sealer, key)


async def seen(
    tx: Transaction, application_id: ApplicationId, device_id: DeviceId, now: datetime
) -> tuple[Device, Registration | None]:
    """Return a device and its live registration."""
    device = await use_cases.find(tx, application_id, device_id)
    live = await registrations.of_devices(tx, [device_id], now)
    return device, live.get(device_id)


async def known(asked: Awaitable[Found]) -> Found:
    """Return what was asked for, or raise the ApiError for a device that the application does not have."""
    try:
        return await asked
    except NotFoundError as error:
        raise ApiError(wire.DEVICE_NOT_FOUND, str(error)) from None


def device_id_of(request: Request) -> DeviceId:
    """Return the device that the path names."""
    return DeviceId(path_identifier(request, "device_id"))


def given_key(said: str | None, error: wire.ErrorCode) -> str | None:
    """Return the pre-shared key that was given, None for none.

    Raises:
        ApiError: `error` for one that is not of 8 to 32 hexadecimal digits, two for each byte; an empty one is such.
    """
    if said is None:
        return None
    if _KEY_FORM.fullmatch(said) is None:
        raise ApiError(error, "psk must be 8 to 32 hexadecimal digits, two for each byte")
    return said


def require_mute(said: str | None, error: wire.ErrorCode) -> None:
    """Let `mute` be TRUE or FALSE, in any case, or nothing.

    Raises:
        ApiError: `error` for another word.
    """
    if said is not None and said.upper() not in ("TRUE", "FALSE"):
        raise ApiError(error, "mute must be TRUE or FALSE")
