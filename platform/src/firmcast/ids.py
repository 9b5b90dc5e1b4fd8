"""Every identifier has its own type, and every new one is drawn here from the operating system's randomness."""

import hashlib
import secrets
import uuid
from functools import lru_cache
from typing import Final, NewType

ApplicationId = NewType("ApplicationId", str)
"""Names an application; of the characters A-Z a-z 0-9 _ - only, since some clients do not URL-encode it."""

AdministratorTokenId = NewType("AdministratorTokenId", str)
"""Names a token of an administrator; it is not the token."""

DeviceId = NewType("DeviceId", str)
"""Names a device for its whole life with us; a UUID in its usual spelling."""

GroupId = NewType("GroupId", str)
"""Names a device group; a UUID in its usual spelling."""

RegistrationId = NewType("RegistrationId", str)
"""Names one LwM2M registration; it is the last segment of the location that the device was given."""

PackageId = NewType("PackageId", str)

UploadId = NewType("UploadId", str)
"""Names a package that comes in pieces, until it is one."""

TaskId = NewType("TaskId", str)
DeviceUpgradeId = NewType("DeviceUpgradeId", str)
SubscriptionId = NewType("SubscriptionId", str)

EventId = NewType("EventId", int)
"""Position of an event in the log of one store; grows, but is not gapless. Gapless is the sequence of a device."""

MessageId = NewType("MessageId", str)
"""Names an event to the outside (`webhook-id`); unlike EventId it stays unique when a store is restored."""

CommandId = NewType("CommandId", int)

ReplayId = NewType("ReplayId", int)
"""Names a replay; above 0."""

NodeId = NewType("NodeId", str)
"""Names one life of one process of the platform: a new one is drawn at each start, so that nobody inherits a lease."""

GatewayId = NewType("GatewayId", str)
"""Names one life of one gateway: its site, a slash, and random digits. Gateways of a site are one to the devices."""

Partition = NewType("Partition", int)
"""A share of the devices, 0 to PARTITIONS - 1: what is delivered of them is one node's at a time."""

PARTITIONS: Final = 64

REGISTRATION_ID_BITS: Final = 55
_DIGITS_OF_FIVE_BITS: Final = "0123456789abcdefghijklmnopqrstuv"


@lru_cache(maxsize=100_000)
def partition_of(device_id: DeviceId) -> Partition:
    """Return the partition of a device, which never changes; migrations compute the same in SQL."""
    return Partition(hashlib.sha256(device_id.encode()).digest()[0] % PARTITIONS)


def new_uuid() -> str:
    """Return a random UUID in its usual 36-character spelling."""
    return str(uuid.uuid4())


def new_hex() -> str:
    """Return 32 random hexadecimal digits."""
    return uuid.uuid4().hex


def new_registration_id() -> RegistrationId:
    """Return a new, random id: 11 characters, 0-9 and a-v.

    Constrained clients keep the path that it is the end of in a few bytes, and refuse to register where it is longer:
    Contiki-NG has 14 for `rd/` and the id, Zephyr 12 for the id unless it is configured for more.
    """
    return spelt_registration_id(secrets.randbits(REGISTRATION_ID_BITS))


def spelt_registration_id(number: int) -> RegistrationId:
    """Return the id that stands for a number below 2 to the power of REGISTRATION_ID_BITS."""
    shifts = range(REGISTRATION_ID_BITS - 5, -1, -5)
    return RegistrationId("".join(_DIGITS_OF_FIVE_BITS[number >> shift & 31] for shift in shifts))


def new_secret(length_bytes: int = 24) -> str:
    """Return a random secret of `length_bytes` bytes, spelt with A-Z a-z 0-9 _ - only."""
    return secrets.token_urlsafe(length_bytes)


def new_number() -> int:
    """Return a random number above 0 that no other is like, and that every store can hold."""
    return secrets.randbits(62) + 1


def new_node_id() -> NodeId:
    """Return a new, random name for this life of this process."""
    return NodeId(uuid.uuid4().hex)


def new_gateway_id(site: str) -> GatewayId:
    """Return a new, random name for the life of a gateway at `site`, which has no slash in it."""
    return GatewayId(f"{site}/{uuid.uuid4().hex[:16]}")


def site_of(gateway: GatewayId) -> str:
    """Return the site of a gateway; that of none is empty."""
    return gateway.rpartition("/")[0]


def new_message_id() -> MessageId:
    """Return a new, random `webhook-id`."""
    return MessageId(f"evt_{uuid.uuid4().hex}")
