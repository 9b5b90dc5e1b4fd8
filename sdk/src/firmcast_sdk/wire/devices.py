"""Devices as applications register, read, change and delete them. Contract page, section 7.

Registering, refreshing and reading answer 200 with a body, modifying and deleting 204 without one.

Clients send every unset value as null, numbers and booleans as texts, and keys that this platform has no use for, such
as `customFields`, `tags` and the object `location`: all of that is taken, and such keys are passed over. A number
where a text belongs is taken for its digits, since an IMEI looks like one.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from firmcast_sdk.wire.decoding import Hints, Required, Short, WireEnum

DEVICE_CREDENTIALS_PATH: Final = "/iocm/app/reg/v1.1.0/deviceCredentials"
DEVICE_CREDENTIAL_PATH: Final = "/iocm/app/reg/v1.1.0/deviceCredentials/{device_id}"
CREDENTIALS_V2_PATH: Final = "/iocm/app/reg/v2.0.0/deviceCredentials"
DEVICES_PATH: Final = "/iocm/app/dm/v1.4.0/devices"
DEVICE_PATH: Final = "/iocm/app/dm/v1.4.0/devices/{device_id}"
OLDER_REGISTRATION_PATHS: Final = ("/iocm/app/reg/v1.1.0/devices", "/iocm/app/reg/v1.2.0/devices")
OLDER_DEVICES_PATHS: Final = (
    "/iocm/app/dm/v1.3.0/devices",
    "/iocm/app/dm/v1.2.0/devices",
    "/iocm/app/dm/v1.1.0/devices",
)
DEFAULT_TIMEOUT: Final = 180  # seconds in which a new device must come; 0 = no limit
DEFAULT_PAGE_SIZE: Final = 1  # the contract's own, odd as it is

Timeout = Annotated[int, Hints(least=0, most=2**31 - 1)]


class NodeType(WireEnum):
    """What a device is to others; the odd `UNKNOW` is the contract's, the even spelling is accepted."""

    ENDPOINT = "ENDPOINT"
    GATEWAY = "GATEWAY"
    UNKNOW = "UNKNOW"
    UNKNOWN = "UNKNOWN"


class DeviceStatus(WireEnum):
    """Whether a device is reachable."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    ABNORMAL = "ABNORMAL"


class Sort(WireEnum):
    """Order of a device list by creation; DESC is the default."""

    ASC = "ASC"
    DESC = "DESC"


class RegisteredDeviceInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a registration says of a device beside its identity; what else stands there is for the device to tell."""

    node_id: Short | None = None
    name: Short | None = None
    manufacturer_id: Short | None = None
    manufacturer_name: Short | None = None
    location: Annotated[str, Hints(limit=1024)] | None = None
    device_type: Short | None = None
    model: Short | None = None
    protocol_type: Short | None = None
    mute: Short | None = None


class RegisterDeviceRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that registers a device; `psk` is 8 to 32 hexadecimal digits, which the platform checks."""

    verify_code: Short | None = None
    node_id: Required
    end_user_id: Short | None = None
    psk: Short | None = None
    timeout: Timeout | None = None
    is_secure: bool | None = None
    imsi: Short | None = None
    product_id: Short | None = None
    device_name: Short | None = None
    group_id: Short | None = None
    account: Short | None = None
    device_info: RegisteredDeviceInfo | None = None


class RegisterSecretDeviceRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that registers a device of the kind that knows a secret; the node id stands in `device_info`.

    `secret` and `mqtt_connect` are about another protocol than ours: they are taken, and the former is answered.
    """

    device_info: RegisteredDeviceInfo
    end_user_id: Short | None = None
    organization: Short | None = None
    region: Short | None = None
    timezone: Short | None = None
    mqtt_connect: bool | None = None
    product_id: Short | None = None
    secret: Short | None = None
    verify_code: Short | None = None
    psk: Short | None = None
    timeout: Timeout | None = None
    is_secure: bool | None = None
    imsi: Short | None = None


class RegisterDeviceResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The new device's id and what it authenticates with; `timeout` goes out as a number."""

    device_id: Required
    verify_code: str
    timeout: int
    psk: str


class RegisterSecretDeviceResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The same, and the secret that was given; null when none was."""

    device_id: Required
    secret: str | None = None
    verify_code: str
    timeout: int
    psk: str


class RefreshDeviceRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that gives a registered device another verification code or time limit."""

    verify_code: Short | None = None
    node_id: Short | None = None
    timeout: Timeout | None = None


class RefreshDeviceResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What holds from now on."""

    verify_code: str
    timeout: int


class DeviceActivation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether a device ever came; `activated` goes out as a boolean."""

    device_id: Required
    activated: bool
    name: str | None = None


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How long data are kept, in days."""

    data_aging_time: Annotated[int, Hints(least=0, most=90)] | None = None


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Settings of one device."""

    data_config: DataConfig | None = None


class ModifyDeviceRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body that changes a device; None leaves a value as it is. `mute` is the string "TRUE" or "FALSE"."""

    name: Short | None = None
    end_user: Short | None = None
    mute: Short | None = None
    manufacturer_id: Short | None = None
    manufacturer_name: Short | None = None
    device_type: Short | None = None
    model: Short | None = None
    location: Annotated[str, Hints(limit=1024)] | None = None
    protocol_type: Short | None = None
    device_config: DeviceConfig | None = None
    region: Short | None = None
    organization: Short | None = None
    timezone: Short | None = None
    is_secure: bool | None = None
    psk: Short | None = None
    imsi: Short | None = None
    ip: Short | None = None


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The 23 facts of a device, each a string or null; only the first is always there."""

    node_id: str
    name: str | None = None
    description: str | None = None
    manufacturer_id: str | None = None
    manufacturer_name: str | None = None
    mac: str | None = None
    location: str | None = None
    device_type: str | None = None
    model: str | None = None
    sw_version: str | None = None
    fw_version: str | None = None
    hw_version: str | None = None
    protocol_type: str | None = None
    bridge_id: str | None = None
    status: str | None = None
    status_detail: str | None = None
    mute: str | None = None
    supported_security: str | None = None
    is_security: str | None = None
    signal_strength: str | None = None
    sig_version: str | None = None
    serial_number: str | None = None
    battery_level: str | None = None


class ServiceInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Commands that a service does not take, as a list."""

    mute_cmds: tuple[str, ...] | None = None


class DeviceService(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Latest data of one service of a device."""

    service_id: str
    service_type: str | None = None
    service_info: ServiceInfo | None = None
    data: dict[str, object] | None = None
    event_time: str | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One device as the queries give it.

    A device that is connected directly is a gateway: its `gateway_id` is its own id, its `node_type` GATEWAY.
    """

    device_id: Required
    gateway_id: str
    node_type: NodeType
    create_time: datetime
    last_modified_time: datetime
    device_info: DeviceInfo
    services: tuple[DeviceService, ...] = ()


class DeviceList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of devices and the number of all."""

    total_count: Annotated[int, Hints(other_names=("totalSize",))]
    page_no: int = 0
    page_size: int = DEFAULT_PAGE_SIZE
    devices: tuple[Device, ...]


class DeviceQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The filters of the device list; `gateway_id` or `page_no` must be given, which the platform checks.

    `select` is taken and changes nothing: the answer has no place for an IMSI.
    """

    app_id: Short | None = None
    gateway_id: Short | None = None
    node_type: NodeType | None = None
    device_type: Short | None = None
    page_no: int | None = None
    page_size: int | None = None
    status: DeviceStatus | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    sort: Sort | None = None
    select: Short | None = None


class DeviceAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Query parameters of the calls on one device: the owner, `select=imsi`, and whether children are deleted too."""

    app_id: Short | None = None
    select: Short | None = None
    cascade: bool | None = None
