"""What a virtual device answers to a read follows from its profile and its firmware object; nothing is kept here."""

from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.firmware_update import UpdateResult
from firmcast.lwm2m.paths import (
    CANCEL,
    DELIVERY_METHOD,
    DEVICE,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_UPDATE,
    FIRMWARE_VERSION,
    MANUFACTURER,
    MAXIMUM_DEFER_PERIOD,
    MODEL_NUMBER,
    PACKAGE,
    PACKAGE_NAME,
    PACKAGE_URI,
    PACKAGE_VERSION,
    PROTOCOL_SUPPORT,
    REBOOT,
    SERIAL_NUMBER,
    SERVER,
    SEVERITY,
    UPDATE,
    Path,
)
from firmcast.lwm2m.registration import ObjectLinks
from firmcast.lwm2m.values import ResourceValues
from firmcast.simulator.firmware_steps import FirmwareObject
from firmcast.simulator.profile import IDLE, DeviceProfile

SHORT_SERVER_ID = Path.of(SERVER, 0, 0)
LIFETIME = Path.of(SERVER, 0, 1)
NOTIFICATION_STORING = Path.of(SERVER, 0, 6)
SERVER_BINDING = Path.of(SERVER, 0, 7)
ERROR_CODE = Path.of(DEVICE, 0, 11, 0)
SUPPORTED_BINDING = Path.of(DEVICE, 0, 16)

_WITHOUT_VALUE = frozenset({PACKAGE, UPDATE, REBOOT})
_MANDATORY = 1
"""The severity of an update (/5/0/11) that was told none."""


def without_value(profile: DeviceProfile) -> frozenset[Path]:
    """Return the resources that exist and cannot be read."""
    if profile.is_stub:
        return _WITHOUT_VALUE | {PACKAGE_URI}
    return _WITHOUT_VALUE | {CANCEL} if profile.has_cancel else _WITHOUT_VALUE


def object_links(profile: DeviceProfile) -> ObjectLinks:
    """Return what a device says of its objects when it registers."""
    instances = tuple(Path.of(FIRMWARE_UPDATE, number) for number in range(profile.firmware_instances))
    speaks_senml = ContentFormat.SENML_CBOR in profile.content_formats
    return ObjectLinks(
        paths=(Path.of(SERVER, 0), Path.of(DEVICE, 0), *instances),
        versions=((FIRMWARE_UPDATE, profile.object_version),) if profile.links_object_version else (),
        content_formats=(int(ContentFormat.SENML_CBOR if speaks_senml else ContentFormat.TLV),),
    )


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
    if profile.is_stub:
        del values[PACKAGE_URI]
    if profile.has_cancel:
        values |= {SEVERITY: _MANDATORY, MAXIMUM_DEFER_PERIOD: 0}
    if firmware.state in profile.names_package_in:
        values |= {PACKAGE_NAME: "firmware", PACKAGE_VERSION: profile.installs_version}
    for number in range(1, profile.firmware_instances):
        values |= _idle_instance(Path.of(FIRMWARE_UPDATE, number), profile)
    return values


def values_in(values: ResourceValues, path: Path) -> ResourceValues:
    """Return those of `values` that lie in `path`; none says that the device has nothing there."""
    return {place: value for place, value in values.items() if path.covers(place)}


def _idle_instance(instance: Path, profile: DeviceProfile) -> ResourceValues:
    """Return what can be read of an instance of Object 5 that does nothing."""
    values: ResourceValues = {
        PACKAGE_URI: "",
        FIRMWARE_STATE: int(IDLE),
        FIRMWARE_RESULT: int(UpdateResult.INITIAL),
        DELIVERY_METHOD: int(profile.delivery),
    }
    return {Path((*instance.identifiers, *place.identifiers[2:])): value for place, value in values.items()}
