"""How a device is told on the wire, and what of a request is kept of it. Contract page, sections 7 and 8."""

from firmcast.devices.model import Device, DeviceDetails, Registration
from firmcast_sdk.wire import devices as wire_devices
from firmcast_sdk.wire.devices import DeviceStatus, NodeType, RegisteredDeviceInfo

_NOTHING_SAID = RegisteredDeviceInfo()


def registration_details(said: wire_devices.RegisterDeviceRequest) -> DeviceDetails:
    """Return what a registration says of a device."""
    return _details(
        said.device_info or _NOTHING_SAID,
        name=said.device_name,
        attributes=_attributes(
            end_user=said.end_user_id,
            imsi=said.imsi,
            product_id=said.product_id,
            account=said.account,
            is_secure=said.is_secure,
        ),
    )


def secret_registration_details(said: wire_devices.RegisterSecretDeviceRequest) -> DeviceDetails:
    """Return what a registration in the other form says of a device."""
    return _details(
        said.device_info,
        name=None,
        attributes=_attributes(
            end_user=said.end_user_id,
            imsi=said.imsi,
            product_id=said.product_id,
            organization=said.organization,
            region=said.region,
            timezone=said.timezone,
            is_secure=said.is_secure,
        ),
    )


def modified_details(said: wire_devices.ModifyDeviceRequest) -> DeviceDetails:
    """Return what a change says of a device."""
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
            ip=said.ip,
            data_aging_days=None if data is None else data.data_aging_time,
        ),
    )


def shown(device: Device, registration: Registration | None) -> wire_devices.Device:
    """Return a device as the queries tell it: every device here is connected directly, so it is its own gateway."""
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


def _details(said: RegisteredDeviceInfo, *, name: str | None, attributes: dict[str, str]) -> DeviceDetails:
    told = _attributes(location=said.location, mute=None if said.mute is None else said.mute.upper())
    return DeviceDetails(
        name=said.name if name is None else name,
        manufacturer_id=said.manufacturer_id,
        manufacturer_name=said.manufacturer_name,
        device_type=said.device_type,
        model=said.model,
        protocol_type=said.protocol_type,
        attributes=attributes | told,
    )


def _attributes(**said: str | bool | int | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in said.items()
        if value is not None
    }
