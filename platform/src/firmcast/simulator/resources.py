"""What a virtual device answers to a read follows from its profile and its firmware object; nothing is kept here."""

from firmcast.lwm2m.paths import (
    DELIVERY_METHOD,
    DEVICE,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_UPDATE,
    FIRMWARE_VERSION,
    MANUFACTURER,
    MODEL_NUMBER,
    PACKAGE,
    PACKAGE_URI,
    PROTOCOL_SUPPORT,
    REBOOT,
    SERIAL_NUMBER,
    SERVER,
    UPDATE,
    Path,
)
from firmcast.lwm2m.registration import ObjectLinks
from firmcast.lwm2m.values import ResourceValues
from firmcast.simulator.firmware_object import FirmwareObject
from firmcast.simulator.profile import DeviceProfile

SHORT_SERVER_ID = Path.of(SERVER, 0, 0)
LIFETIME = Path.of(SERVER, 0, 1)
NOTIFICATION_STORING = Path.of(SERVER, 0, 6)
SERVER_BINDING = Path.of(SERVER, 0, 7)
ERROR_CODE = Path.of(DEVICE, 0, 11, 0)
SUPPORTED_BINDING = Path.of(DEVICE, 0, 16)

WITHOUT_VALUE = frozenset({PACKAGE, UPDATE, REBOOT})
"""Resources that exist and cannot be read."""

OBJECTS = ObjectLinks(
    paths=(Path.of(SERVER, 0), Path.of(DEVICE, 0), Path.of(FIRMWARE_UPDATE, 0)), content_formats=(112,)
)
"""What a device says of itself when it registers."""


def all_values(endpoint_name: str, profile: DeviceProfile, firmware: FirmwareObject) -> ResourceValues:
    """Return every readable resource of the device."""
    values: ResourceValues = {
        SHORT_SERVER_ID: 1,
        LIFETIME: profile.lifetime,
        NOTIFICATION_STORING: False,
        SERVER_BINDING: profile.binding,
        MANUFACTURER: profile.manufacturer,
        MODEL_NUMBER: profile.model,
        SERIAL_NUMBER: endpoint_name,
        FIRMWARE_VERSION: firmware.version,
        ERROR_CODE: 0,
        SUPPORTED_BINDING: profile.binding,
        PACKAGE_URI: firmware.package_uri,
        FIRMWARE_STATE: int(firmware.state),
        FIRMWARE_RESULT: int(firmware.result),
        DELIVERY_METHOD: int(profile.delivery),
    }
    for number, protocol in enumerate(profile.protocols):
        values[PROTOCOL_SUPPORT.child(number)] = int(protocol)
    return values


def values_in(values: ResourceValues, path: Path) -> ResourceValues:
    """Return those of `values` that lie in `path`; none says that the device has nothing there."""
    return {place: value for place, value in values.items() if path.covers(place)}
