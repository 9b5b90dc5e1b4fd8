"""What is told of a device is what an application can read of it, and of a change only what differs."""

from dataclasses import fields

from firmcast.devices.model import Device
from firmcast.events.model import DeviceDescription, DeviceInfoChanged, Reachability


def described(device: Device, reachability: Reachability) -> DeviceDescription:
    """Return all that is known of a device; what is not known is an empty text."""
    return DeviceDescription(
        endpoint_name=device.endpoint_name,
        name=device.name,
        manufacturer_id=device.manufacturer_id,
        manufacturer_name=device.manufacturer_name,
        device_type=device.device_type,
        model=device.model,
        protocol_type=device.protocol_type,
        location=device.attributes.get("location", ""),
        mute=device.attributes.get("mute", ""),
        is_secure=device.attributes.get("is_secure", ""),
        firmware_version=device.firmware_version,
        reachability=reachability,
    )


def difference(before: Device, after: Device) -> DeviceInfoChanged | None:
    """Return what an application said anew of a device; None when that is nothing that is told.

    Whether the device can be reached, and what it runs, is not the application's to say: both are as before.
    """
    former = described(before, Reachability.OFFLINE)
    latter = described(after, Reachability.OFFLINE)
    changed = {
        field.name: getattr(latter, field.name)
        for field in fields(DeviceDescription)
        if getattr(latter, field.name) != getattr(former, field.name)
    }
    return DeviceInfoChanged(changed=DeviceDescription(**changed)) if changed else None
