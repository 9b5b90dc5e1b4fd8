"""What is known of a device, of its registration, and of an order that waits for it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from firmcast.ids import ApplicationId, CommandId, DeviceId, DeviceUpgradeId, GatewayId, RegistrationId

NOBODY: Final = GatewayId("")
"""In the place of a gateway where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device that an application made known to us."""

    device_id: DeviceId
    application_id: ApplicationId
    endpoint_name: str
    """LwM2M Endpoint Client Name, unique over all applications."""
    verification_code: str
    name: str
    manufacturer_id: str
    manufacturer_name: str
    device_type: str
    model: str
    protocol_type: str
    activation_seconds: int
    """How long after its creation the device may register for the first time; 0 for ever."""
    firmware_version: str
    """/3/0/3 as last read; empty while unknown."""
    created_at: datetime
    changed_at: datetime
    activated_at: datetime | None
    """When it registered for the first time."""
    attributes: dict[str, str]
    """What the application said of it beside the above, kept as said."""

    @property
    def activation_ends_at(self) -> datetime | None:
        """The last moment for the first registration; None for a device that may come when it likes."""
        if self.activation_seconds == 0:
            return None
        return self.created_at + timedelta(seconds=self.activation_seconds)


class Registration(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device's current LwM2M registration (OMA LwM2M 1.1 Core 6.2)."""

    registration_id: RegistrationId
    device_id: DeviceId
    endpoint_name: str
    host: str
    port: int
    lifetime_seconds: int
    binding: str
    queue_mode: bool
    lwm2m_version: str
    objects: str
    """The registration payload, link format."""
    registered_at: datetime
    updated_at: datetime
    expires_at: datetime
    is_secure: bool = False
    """The device registered through a secure session, and is reached through one only."""
    gateway: GatewayId = NOBODY
    """Who holds the registration: this gateway alone carries out orders of the device."""
    epoch: int = 0
    """Through how many hands it went; grows as long as the device has a registration."""
    came_from: GatewayId | None = None
    """Who held it until this very transaction; None where it stays with its gateway. Not stored."""

    @property
    def identity(self) -> str | None:
        """Who alone may speak for the device: the identity of its secure sessions; None when it speaks in clear."""
        return self.endpoint_name if self.is_secure else None


class Presence(StrEnum):
    """Whether a device has a live registration."""

    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDetails:
    """What an application says of a device beside its identity; None leaves a word unsaid, or as it was."""

    name: str | None = None
    manufacturer_id: str | None = None
    manufacturer_name: str | None = None
    device_type: str | None = None
    model: str | None = None
    protocol_type: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    """Laid over what was said before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFilter:
    """Which devices of an application are wanted; what is empty or None matches all."""

    device_id: str = ""
    device_type: str = ""
    presence: Presence | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None
    oldest_first: bool = False


class NewRegistration(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a device said when it registered."""

    endpoint_name: str
    host: str
    port: int
    lifetime_seconds: int
    binding: str
    queue_mode: bool
    lwm2m_version: str
    objects: str
    """The registration payload, link format."""
    is_secure: bool = False
    """It came through a secure session whose identity is the endpoint name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationMoved:
    """A registration is held by another gateway than before, or has ended."""

    device_id: DeviceId
    registration_id: RegistrationId
    gateway: GatewayId
    """NOBODY when it has ended."""
    epoch: int


class RegistrationUpdate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a device said when it updated its registration; None leaves a word as it was."""

    registration_id: RegistrationId
    host: str
    port: int
    identity: str | None = None
    """Of the secure session that it came through; None when it came in clear."""
    lifetime_seconds: int | None = None
    binding: str | None = None
    queue_mode: bool | None = None
    objects: str | None = None


class CommandKind(StrEnum):
    """An order to a device."""

    INSPECT = "inspect"
    """Observe /5/0/3 and /5/0/5, then read /5/0 and /3/0/3."""
    PROBE = "probe"
    """Read /5/0/3, /5/0/5 and /3/0/3."""
    TRANSFER_BY_URI = "transfer_by_uri"
    """Write /5/0/1, so that the device fetches the package."""
    TRANSFER_BY_WRITE = "transfer_by_write"
    """Write the package to /5/0/0 block by block."""
    EXECUTE = "execute"
    """Execute /5/0/2."""
    RESET = "reset"
    """Bring the Firmware Update object back to Idle."""
    CHECK = "check"
    """Find out how the client behaves, and leave everything as it is; of no upgrade."""


class DeviceCommand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order that waits for a device; carried out at least once, so each kind may be repeated."""

    command_id: CommandId
    device_id: DeviceId
    device_upgrade_id: DeviceUpgradeId
    kind: CommandKind
    transfer_token: str
    """Names the transfer in the path of its URI; unguessable."""


class NewCommand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order that is to wait for a device, in the place of the one before it of the same device upgrade."""

    device_id: DeviceId
    device_upgrade_id: DeviceUpgradeId
    kind: CommandKind
    transfer_token: str
