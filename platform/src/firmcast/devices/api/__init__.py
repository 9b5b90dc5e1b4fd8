"""Devices as applications register, read, change and delete them: what is called, and what it may be refused with.

Contract page, section 7. Never sent are the refusals for what this platform has not: products (600002), licences
(103026, 103028), limits for the number of devices (100412, 100441); nor 100418, since a device without data is known.
"""

from typing import Final

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.devices.api.calls import DeviceParts
from firmcast.devices.api.credentials import CredentialCalls
from firmcast.devices.api.devices import DeviceCalls
from firmcast.devices.use_cases import JoinGroup, ReleaseDevice
from firmcast.events.log import EventLog
from firmcast.rest.authentication import Authenticate
from firmcast.rest.endpoints import Answer, Endpoint
from firmcast.rest.requests import DEFAULT_BODY_LIMIT
from firmcast.sealing import Sealer
from firmcast_sdk.wire import devices as wire_devices
from firmcast_sdk.wire import errors as wire

_TAG: Final = "devices"
_OWNER: Final = (wire.INPUT_INVALID, wire.APPLICATION_NOT_AUTHORISED)
_KNOWN: Final = (*_OWNER, wire.DEVICE_NOT_FOUND)
_REGISTERING: Final = (
    *_OWNER,
    wire.BAD_REQUEST_MESSAGE,
    wire.REGISTRATION_INPUT_INVALID,
    wire.VERIFY_CODE_INVALID,
    wire.NODE_ID_DUPLICATED,
    wire.DEVICE_ALREADY_BOUND,
)


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    sealer: Sealer,
    log: EventLog,
    release_device: ReleaseDevice,
    join_group: JoinGroup,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> list[Endpoint]:
    """Return the calls on device credentials and on devices."""
    parts = DeviceParts(
        database=database,
        clock=clock,
        authenticate=authenticate,
        sealer=sealer,
        log=log,
        body_limit=body_limit,
    )
    return [
        *_registration_endpoints(CredentialCalls(parts, join_group)),
        *_credential_endpoints(CredentialCalls(parts, join_group)),
        *_device_endpoints(DeviceCalls(parts, release_device)),
    ]


def _of_one(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{path}/{{device_id}}" for path in paths)


def _registration_endpoints(calls: CredentialCalls) -> list[Endpoint]:
    return [
        Endpoint(
            method="POST",
            path=wire_devices.DEVICE_CREDENTIALS_PATH,
            handler=calls.register,
            summary="Register a device, so that it may come",
            takes_room=True,
            tag=_TAG,
            query=wire_devices.DeviceAddress,
            body=wire_devices.RegisterDeviceRequest,
            answers=(Answer(body=wire_devices.RegisterDeviceResponse),),
            errors=_REGISTERING,
            aliases=wire_devices.OLDER_REGISTRATION_PATHS,
        ),
        Endpoint(
            method="POST",
            path=wire_devices.CREDENTIALS_V2_PATH,
            handler=calls.register_with_secret,
            summary="Register a device whose node id stands in deviceInfo",
            tag=_TAG,
            description="For clients that know this way only: the device comes over LwM2M, with the psk, as any other.",
            query=wire_devices.DeviceAddress,
            body=wire_devices.RegisterSecretDeviceRequest,
            answers=(Answer(body=wire_devices.RegisterSecretDeviceResponse),),
            errors=_REGISTERING,
        ),
    ]


def _credential_endpoints(calls: CredentialCalls) -> list[Endpoint]:
    return [
        Endpoint(
            method="PUT",
            path=wire_devices.DEVICE_CREDENTIAL_PATH,
            handler=calls.refresh,
            summary="Give a device that is away another verification code, or another node id",
            tag=_TAG,
            query=wire_devices.DeviceAddress,
            body=wire_devices.RefreshDeviceRequest,
            answers=(Answer(body=wire_devices.RefreshDeviceResponse),),
            errors=(
                *_KNOWN,
                wire.BAD_REQUEST_MESSAGE,
                wire.NODE_ID_DUPLICATED,
                wire.DEVICE_NOT_ACTIVE,
                wire.DEVICE_ONLINE,
            ),
            aliases=_of_one(wire_devices.OLDER_REGISTRATION_PATHS),
        ),
        Endpoint(
            method="GET",
            path=wire_devices.DEVICE_CREDENTIAL_PATH,
            handler=calls.activation,
            summary="Ask whether a device ever came",
            tag=_TAG,
            query=wire_devices.DeviceAddress,
            answers=(Answer(body=wire_devices.DeviceActivation),),
            errors=_KNOWN,
            aliases=_of_one(wire_devices.OLDER_REGISTRATION_PATHS),
        ),
    ]


def _device_endpoints(calls: DeviceCalls) -> list[Endpoint]:
    older = _of_one(wire_devices.OLDER_DEVICES_PATHS)
    return [
        Endpoint(
            method="GET",
            path=wire_devices.DEVICES_PATH,
            handler=calls.listed,
            summary="List the application's devices",
            tag=_TAG,
            description="Either gatewayId or pageNo is needed. A device is a gateway of itself.",
            query=wire_devices.DeviceQuery,
            answers=(Answer(body=wire_devices.DeviceList),),
            errors=(
                wire.APPLICATION_INPUT_INVALID,
                wire.GATEWAY_AND_PAGE_MISSING,
                wire.APPLICATION_NOT_AUTHORISED,
            ),
            aliases=wire_devices.OLDER_DEVICES_PATHS,
        ),
        Endpoint(
            method="GET",
            path=wire_devices.DEVICE_PATH,
            handler=calls.find,
            summary="Read a device",
            tag=_TAG,
            query=wire_devices.DeviceAddress,
            answers=(Answer(body=wire_devices.Device),),
            errors=_KNOWN,
            aliases=older,
        ),
        Endpoint(
            method="PUT",
            path=wire_devices.DEVICE_PATH,
            handler=calls.modify,
            summary="Change what is said of a device; what is left out stays",
            tag=_TAG,
            query=wire_devices.DeviceAddress,
            body=wire_devices.ModifyDeviceRequest,
            answers=(Answer(status=204),),
            errors=(*_KNOWN, wire.BAD_REQUEST_MESSAGE),
            aliases=older,
        ),
        Endpoint(
            method="DELETE",
            path=wire_devices.DEVICE_PATH,
            handler=calls.delete,
            summary="Delete a device, end its upgrades and take it out of its groups",
            tag=_TAG,
            query=wire_devices.DeviceAddress,
            answers=(Answer(status=204),),
            errors=_KNOWN,
            aliases=older,
        ),
    ]
