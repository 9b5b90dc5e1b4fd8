"""Devices as applications register, read, change and delete them. Contract page, section 7."""

import re
from collections.abc import Awaitable
from datetime import datetime
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from firmcast.clock import Clock
from firmcast.db.page import Page
from firmcast.db.port import Database, Transaction
from firmcast.devices import registrations, use_cases
from firmcast.devices.model import Device, DeviceDetails, DeviceFilter, Presence, Registration
from firmcast.errors import ConflictError, NotFoundError
from firmcast.events.log import EventLog
from firmcast.ids import ApplicationId, DeviceId, new_hex
from firmcast.rest.answers import no_content, wire_answer
from firmcast.rest.authentication import Authenticate, require_own
from firmcast.rest.errors import ApiError
from firmcast.rest.paging import RequestedPage, requested_page
from firmcast.rest.requests import DEFAULT_BODY_LIMIT, decode_body, decode_parameters, path_identifier, read_body
from firmcast.sealing import Sealer
from firmcast_sdk.wire import devices as wire_devices
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.devices import DeviceStatus, NodeType, Sort

Found = TypeVar("Found")

_LARGEST_PAGE_SIZE = 1000
_KEY_FORM = re.compile(r"[0-9A-Fa-f]{8,32}")
_KEY_PURPOSE = "device pre-shared key"
"""What is sealed are the hexadecimal digits, as the application gave or got them."""


def routes(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    sealer: Sealer,
    log: EventLog,
    release_device: use_cases.ReleaseDevice,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> list[BaseRoute]:
    """Return the routes of device credentials and devices."""
    calls = _DeviceCalls(database, clock, authenticate, sealer, log, release_device, body_limit)
    return [
        Route(wire_devices.DEVICE_CREDENTIALS_PATH, calls.register, methods=["POST"]),
        Route(wire_devices.DEVICE_CREDENTIAL_PATH, calls.refresh, methods=["PUT"]),
        Route(wire_devices.DEVICE_CREDENTIAL_PATH, calls.activation, methods=["GET"]),
        Route(wire_devices.DEVICES_PATH, calls.listed, methods=["GET"]),
        Route(wire_devices.DEVICE_PATH, calls.find, methods=["GET"]),
        Route(wire_devices.DEVICE_PATH, calls.modify, methods=["PUT"]),
        Route(wire_devices.DEVICE_PATH, calls.delete, methods=["DELETE"]),
    ]


class _DeviceCalls:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        authenticate: Authenticate,
        sealer: Sealer,
        log: EventLog,
        release_device: use_cases.ReleaseDevice,
        body_limit: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authenticate = authenticate
        self._sealer = sealer
        self._log = log
        self._release_device = release_device
        self._body_limit = body_limit

    async def register(self, request: Request) -> Response:
        application_id = await self._caller(request)
        said = decode_body(
            wire_devices.RegisterDeviceRequest,
            await read_body(request, self._body_limit),
            invalid=wire.REGISTRATION_INPUT_INVALID,
        )
        _require_printable(said.node_id, wire.REGISTRATION_INPUT_INVALID)
        if said.verify_code is not None and not (said.verify_code.strip() and said.verify_code.isprintable()):
            raise ApiError(wire.VERIFY_CODE_INVALID)
        key = _key(said.psk, wire.REGISTRATION_INPUT_INVALID) or new_hex()
        try:
            device = await self._database.write(
                use_cases.create,
                application_id,
                said.node_id,
                said.node_id if said.verify_code is None else said.verify_code,
                self._clock.now(),
                log=self._log,
                details=_registration_details(said),
                activation_seconds=wire_devices.DEFAULT_TIMEOUT if said.timeout is None else said.timeout,
                pre_shared_key=self._sealer.seal(key.encode(), _KEY_PURPOSE),
            )
        except use_cases.AlreadyBoundError as error:
            raise ApiError(wire.DEVICE_ALREADY_BOUND, str(error)) from None
        except ConflictError as error:
            raise ApiError(wire.NODE_ID_DUPLICATED, str(error)) from None
        return wire_answer(
            wire_devices.RegisterDeviceResponse(
                device_id=device.device_id,
                verify_code=device.verification_code,
                timeout=device.activation_seconds,
                psk=key,
            )
        )

    async def refresh(self, request: Request) -> Response:
        application_id = await self._caller(request)
        said = decode_body(wire_devices.RefreshDeviceRequest, await read_body(request, self._body_limit))
        for text in (said.node_id, said.verify_code):
            if text is not None:
                _require_printable(text, wire.INPUT_INVALID)
        try:
            device = await self._database.write(
                _refresh, application_id, _device_id(request), said, now=self._clock.now(), log=self._log
            )
        except NotFoundError as error:
            raise ApiError(wire.DEVICE_NOT_FOUND, str(error)) from None
        except ConflictError as error:
            raise ApiError(wire.NODE_ID_DUPLICATED, str(error)) from None
        return wire_answer(
            wire_devices.RefreshDeviceResponse(verify_code=device.verification_code, timeout=device.activation_seconds)
        )

    async def activation(self, request: Request) -> Response:
        application_id = await self._caller(request)
        device, _ = await _known(self._database.read(_seen, application_id, _device_id(request), self._clock.now()))
        return wire_answer(
            wire_devices.DeviceActivation(
                device_id=device.device_id, activated=device.activated_at is not None, name=device.name or None
            )
        )

    async def find(self, request: Request) -> Response:
        application_id = await self._caller(request)
        device, registration = await _known(
            self._database.read(_seen, application_id, _device_id(request), self._clock.now())
        )
        return wire_answer(_shown(device, registration))

    async def listed(self, request: Request) -> Response:
        application_id = await self._authenticate(request)
        said = decode_parameters(wire_devices.DeviceQuery, request, invalid=wire.APPLICATION_INPUT_INVALID)
        require_own(application_id, said.app_id)
        if said.page_no is None and said.gateway_id is None:
            raise ApiError(wire.GATEWAY_AND_PAGE_MISSING)
        page = requested_page(
            said.page_no,
            said.page_size,
            default_size=wire_devices.DEFAULT_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.APPLICATION_INPUT_INVALID,
        )
        devices, total = await self._page_of(application_id, said, page)
        return wire_answer(
            wire_devices.DeviceList(total_count=total, page_no=page.number, page_size=page.size, devices=tuple(devices))
        )

    async def modify(self, request: Request) -> Response:
        application_id = await self._caller(request)
        said = decode_body(wire_devices.ModifyDeviceRequest, await read_body(request, self._body_limit))
        if said.mute is not None and said.mute.upper() not in ("TRUE", "FALSE"):
            raise ApiError(wire.INPUT_INVALID, "mute must be TRUE or FALSE")
        key = _key(said.psk, wire.INPUT_INVALID)
        await _known(
            self._database.write(
                use_cases.modify,
                application_id,
                _device_id(request),
                _modified_details(said),
                self._clock.now(),
                log=self._log,
                pre_shared_key=None if key is None else self._sealer.seal(key.encode(), _KEY_PURPOSE),
            )
        )
        return no_content()

    async def delete(self, request: Request) -> Response:
        application_id = await self._caller(request)
        try:
            await self._database.write(
                use_cases.delete,
                application_id,
                _device_id(request),
                self._clock.now(),
                log=self._log,
                release=self._release_device,
            )
        except NotFoundError as error:
            raise ApiError(wire.DEVICE_NOT_FOUND, str(error)) from None
        except ConflictError as error:
            raise ApiError(wire.INPUT_INVALID, str(error)) from None
        return no_content()

    async def _caller(self, request: Request) -> ApplicationId:
        application_id = await self._authenticate(request)
        require_own(application_id, decode_parameters(wire_devices.DeviceAddress, request).app_id)
        return application_id

    async def _page_of(
        self, application_id: ApplicationId, said: wire_devices.DeviceQuery, page: RequestedPage
    ) -> tuple[list[wire_devices.Device], int]:
        # Every device here is connected directly, so it is a gateway of itself, and none is ever abnormal.
        if said.status is DeviceStatus.ABNORMAL or said.node_type not in (None, NodeType.GATEWAY):
            return [], 0
        presence = {DeviceStatus.ONLINE: Presence.ONLINE, DeviceStatus.OFFLINE: Presence.OFFLINE}
        wanted = DeviceFilter(
            device_id=said.gateway_id or "",
            device_type=said.device_type or "",
            presence=None if said.status is None else presence[said.status],
            created_from=said.start_time,
            created_until=said.end_time,
            oldest_first=said.sort is Sort.ASC,
        )
        return await self._database.read(
            _listed, application_id, wanted, Page(page.offset, page.size), now=self._clock.now()
        )


async def _refresh(
    tx: Transaction,
    application_id: ApplicationId,
    device_id: DeviceId,
    said: wire_devices.RefreshDeviceRequest,
    *,
    now: datetime,
    log: EventLog,
) -> Device:
    device, registration = await _seen(tx, application_id, device_id, now)
    if device.activated_at is None:
        raise ApiError(wire.DEVICE_NOT_ACTIVE)
    if registration is not None:
        raise ApiError(wire.DEVICE_ONLINE)
    return await use_cases.refresh_credentials(
        tx,
        application_id,
        device_id,
        now,
        log=log,
        endpoint_name=said.node_id,
        verification_code=said.verify_code or said.node_id or device.verification_code,
        activation_seconds=wire_devices.DEFAULT_TIMEOUT if said.timeout is None else said.timeout,
    )


async def _seen(
    tx: Transaction, application_id: ApplicationId, device_id: DeviceId, now: datetime
) -> tuple[Device, Registration | None]:
    device = await use_cases.find(tx, application_id, device_id)
    live = await registrations.of_devices(tx, [device_id], now)
    return device, live.get(device_id)


async def _listed(
    tx: Transaction, application_id: ApplicationId, wanted: DeviceFilter, page: Page, *, now: datetime
) -> tuple[list[wire_devices.Device], int]:
    devices, total = await use_cases.listed(tx, application_id, wanted, page, now=now)
    live = await registrations.of_devices(tx, [device.device_id for device in devices], now)
    return [_shown(device, live.get(device.device_id)) for device in devices], total


async def _known(looking: Awaitable[Found]) -> Found:
    try:
        return await looking
    except NotFoundError as error:
        raise ApiError(wire.DEVICE_NOT_FOUND, str(error)) from None


def _device_id(request: Request) -> DeviceId:
    return DeviceId(path_identifier(request, "device_id"))


def _require_printable(text: str, error: wire.ErrorCode) -> None:
    if not text.strip() or not text.isprintable():
        raise ApiError(error, "an identity on the air is of printable characters")


def _key(given: str | None, error: wire.ErrorCode) -> str | None:
    if not given:
        return None
    if _KEY_FORM.fullmatch(given) is None:
        raise ApiError(error, "psk must be 8 to 32 hexadecimal digits")
    return given


def _attributes(**said: str | bool | int | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in said.items()
        if value is not None
    }


def _registration_details(said: wire_devices.RegisterDeviceRequest) -> DeviceDetails:
    return DeviceDetails(
        name=said.device_name,
        attributes=_attributes(
            end_user=said.end_user_id,
            imsi=said.imsi,
            product_id=said.product_id,
            group_id=said.group_id,
            is_secure=said.is_secure,
        ),
    )


def _modified_details(said: wire_devices.ModifyDeviceRequest) -> DeviceDetails:
    data = None if said.device_config is None else said.device_config.data_config
    return DeviceDetails(
        name=said.name,
        manufacturer_id=said.manufacturer_id,
        manufacturer_name=said.manufacturer_name,
        device_type=said.device_type,
        model=said.model,
        protocol_type=said.protocol_type,
        attributes=_attributes(
            end_user=said.end_user,
            mute=None if said.mute is None else said.mute.upper(),
            location=said.location,
            region=said.region,
            organization=said.organization,
            timezone=said.timezone,
            is_secure=said.is_secure,
            imsi=said.imsi,
            data_aging_days=None if data is None else data.data_aging_time,
        ),
    )


def _shown(device: Device, registration: Registration | None) -> wire_devices.Device:
    return wire_devices.Device(
        device_id=device.device_id,
        gateway_id=device.device_id,
        node_type=NodeType.GATEWAY,
        create_time=device.created_at,
        last_modified_time=device.changed_at,
        device_info=wire_devices.DeviceInfo(
            node_id=device.endpoint_name,
            name=device.name or None,
            manufacturer_id=device.manufacturer_id or None,
            manufacturer_name=device.manufacturer_name or None,
            location=device.attributes.get("location"),
            device_type=device.device_type or None,
            model=device.model or None,
            fw_version=device.firmware_version or None,
            protocol_type=device.protocol_type or None,
            status=DeviceStatus.OFFLINE if registration is None else DeviceStatus.ONLINE,
            status_detail="NOT_ACTIVE" if device.activated_at is None else "NONE",
            mute=device.attributes.get("mute"),
            is_security=device.attributes.get("is_secure"),
        ),
    )
