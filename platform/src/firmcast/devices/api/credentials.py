"""How a device is made known and gets what it authenticates with. Contract page, section 7."""

from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import application
from firmcast.db.port import Transaction
from firmcast.devices import use_cases
from firmcast.devices.api.calls import DeviceParts, device_id_of, given_key, known, require_mute, seen
from firmcast.devices.api.records import registration_details, secret_registration_details
from firmcast.devices.model import Device, DeviceDetails
from firmcast.devices.use_cases import JoinGroup
from firmcast.errors import ConflictError, RefusedError
from firmcast.events.log import EventLog
from firmcast.ids import ApplicationId, DeviceId, new_hex
from firmcast.rest.answers import wire_answer
from firmcast.rest.errors import ApiError
from firmcast.rest.requests import decode_body, read_body
from firmcast_sdk.wire import devices as wire_devices
from firmcast_sdk.wire import errors as wire

_INVALID = wire.REGISTRATION_INPUT_INVALID


@dataclass(frozen=True, slots=True, kw_only=True)
class _Newcomer:
    """A device that is to be made known."""

    node_id: str
    verify_code: str | None
    timeout: int | None
    key: str
    group_id: str
    details: DeviceDetails


class CredentialCalls:
    """Registering, refreshing, and whether a device ever came."""

    def __init__(self, parts: DeviceParts, join_group: JoinGroup) -> None:
        self._parts = parts
        self._join_group = join_group

    async def register(self, request: Request) -> Response:
        application_id = await self._parts.caller(request)
        said = decode_body(
            wire_devices.RegisterDeviceRequest, await read_body(request, self._parts.body_limit), invalid=_INVALID
        )
        require_mute(None if said.device_info is None else said.device_info.mute, _INVALID)
        newcomer = _Newcomer(
            node_id=said.node_id,
            verify_code=said.verify_code,
            timeout=said.timeout,
            key=given_key(said.psk, _INVALID) or new_hex(),
            group_id=said.group_id or "",
            details=registration_details(said),
        )
        device = await self._make_known(application_id, newcomer)
        return wire_answer(
            wire_devices.RegisterDeviceResponse(
                device_id=device.device_id,
                verify_code=device.verification_code,
                timeout=device.activation_seconds,
                psk=newcomer.key,
            )
        )

    async def register_with_secret(self, request: Request) -> Response:
        application_id = await self._parts.caller(request)
        said = decode_body(
            wire_devices.RegisterSecretDeviceRequest,
            await read_body(request, self._parts.body_limit),
            invalid=_INVALID,
        )
        require_mute(said.device_info.mute, _INVALID)
        newcomer = _Newcomer(
            node_id=said.device_info.node_id or "",
            verify_code=said.verify_code,
            timeout=said.timeout,
            key=given_key(said.psk, _INVALID) or new_hex(),
            group_id="",
            details=secret_registration_details(said),
        )
        device = await self._make_known(application_id, newcomer)
        return wire_answer(
            wire_devices.RegisterSecretDeviceResponse(
                device_id=device.device_id,
                secret=said.secret,
                verify_code=device.verification_code,
                timeout=device.activation_seconds,
                psk=newcomer.key,
            )
        )

    async def refresh(self, request: Request) -> Response:
        parts = self._parts
        application_id = await parts.caller(request)
        said = decode_body(wire_devices.RefreshDeviceRequest, await read_body(request, parts.body_limit))
        for text in (said.node_id, said.verify_code):
            if text is not None:
                _require_printable(text, wire.INPUT_INVALID)
        device_id, now = device_id_of(request), parts.clock.now()

        async def change(tx: Transaction) -> Device:
            device = await _refresh(tx, application_id, device_id, said, now, log=parts.log)
            await audit.record(tx, application(application_id), "device.refresh", device_id, now)
            return device

        try:
            device = await known(parts.database.write(change))
        except ConflictError as error:
            raise ApiError(wire.NODE_ID_DUPLICATED, str(error)) from None
        return wire_answer(
            wire_devices.RefreshDeviceResponse(verify_code=device.verification_code, timeout=device.activation_seconds)
        )

    async def activation(self, request: Request) -> Response:
        parts = self._parts
        application_id = await parts.caller(request)
        device = await known(parts.database.read(use_cases.find, application_id, device_id_of(request)))
        return wire_answer(
            wire_devices.DeviceActivation(
                device_id=device.device_id, activated=device.activated_at is not None, name=device.name or None
            )
        )

    async def _make_known(self, application_id: ApplicationId, newcomer: _Newcomer) -> Device:
        _require_printable(newcomer.node_id, _INVALID)
        code = newcomer.verify_code
        if code is not None and not (code.strip() and code.isprintable()):
            raise ApiError(wire.VERIFY_CODE_INVALID)
        parts, now = self._parts, self._parts.clock.now()
        sealed = parts.sealed(newcomer.key)

        async def change(tx: Transaction) -> Device:
            device = await use_cases.create(
                tx,
                application_id,
                newcomer.node_id,
                newcomer.node_id if code is None else code,
                now,
                log=parts.log,
                details=newcomer.details,
                activation_seconds=wire_devices.DEFAULT_TIMEOUT if newcomer.timeout is None else newcomer.timeout,
                pre_shared_key=sealed,
            )
            if newcomer.group_id:
                await self._join(tx, application_id, newcomer.group_id, device.device_id)
            details = {"endpoint_name": device.endpoint_name}
            await audit.record(tx, application(application_id), "device.create", device.device_id, now, details)
            return device

        try:
            return await parts.database.write(change)
        except use_cases.AlreadyBoundError as error:
            raise ApiError(wire.DEVICE_ALREADY_BOUND, str(error)) from None
        except ConflictError as error:
            raise ApiError(wire.NODE_ID_DUPLICATED, str(error)) from None

    async def _join(self, tx: Transaction, application_id: ApplicationId, group_id: str, device_id: DeviceId) -> None:
        try:
            await self._join_group(tx, application_id, group_id, device_id)
        except RefusedError as error:
            raise ApiError(_INVALID, f"groupId: {error}") from None


async def _refresh(
    tx: Transaction,
    application_id: ApplicationId,
    device_id: DeviceId,
    said: wire_devices.RefreshDeviceRequest,
    now: datetime,
    *,
    log: EventLog,
) -> Device:
    device, registration = await seen(tx, application_id, device_id, now)
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


def _require_printable(text: str, error: wire.ErrorCode) -> None:
    if not text.strip() or not text.isprintable():
        raise ApiError(error, "an identity on the air is of printable characters")
