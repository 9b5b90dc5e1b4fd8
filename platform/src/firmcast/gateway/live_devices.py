"""A device is live from its registration to its end, and is known by that first, by observation next, by address last.

Addresses change under a device's feet (NAT), so an address alone names a device only where the protocol has nothing
better to offer.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from firmcast.coap.block import LARGEST_SZX
from firmcast.coap.dtls.peers import identity_of
from firmcast.coap.events import Peer
from firmcast.devices.model import Registration
from firmcast.gateway.addresses import peer_of
from firmcast.ids import REGISTRATION_ID_BITS, DeviceId, RegistrationId, spelt_registration_id
from firmcast.lwm2m.firmware_update import ResetWay
from firmcast.lwm2m.paths import FIRMWARE_RESULT, FIRMWARE_STATE, FIRMWARE_VERSION, Path
from firmcast.lwm2m.registration import lists_no_firmware_object, root_segments
from firmcast.profiles.driving import USUAL

OBSERVED: Final = (FIRMWARE_STATE, FIRMWARE_RESULT, FIRMWARE_VERSION)
"""What observations may be about; a path's position here is the last byte of its tokens, so only add at the end."""

_KEY_SIZE: Final = 7
"""Bytes of a registration's key, which is random, that its tokens begin with."""
_ID_LENGTH: Final = REGISTRATION_ID_BITS // 5


def observation_token(registration_id: RegistrationId, path: Path) -> bytes:
    """Return the token, 8 bytes, under which a registered device notifies of `path`.

    It follows from the registration alone: after a restart the notifications that go on coming are still understood,
    and another gateway finds the registration by its key.
    """
    return _key(registration_id) + bytes((OBSERVED.index(path),))


def _key(registration_id: RegistrationId) -> bytes:
    if len(registration_id) == _ID_LENGTH:
        return int(registration_id, 32).to_bytes(_KEY_SIZE, "big")
    # Registrations made by former versions have 32 hexadecimal digits.
    return bytes.fromhex(registration_id[: 2 * _KEY_SIZE])


def key_of(registration_id: RegistrationId) -> str:
    """Return the key of a registration, hexadecimal digits, that its tokens have in them."""
    return _key(registration_id).hex()


def ids_begin_with(key: str) -> tuple[str, ...]:
    """Return how the id of the registration of that key may begin: as it is spelt now, and as it was formerly."""
    number = int(key, 16)
    return (key,) if number >> REGISTRATION_ID_BITS else (spelt_registration_id(number), key)


def observed_of(token: bytes) -> tuple[str, Path] | None:
    """Return the key of the registration that a token names, in hexadecimal digits, and the path; None for no such."""
    if len(token) != _KEY_SIZE + 1 or token[_KEY_SIZE] >= len(OBSERVED):
        return None
    return token[:_KEY_SIZE].hex(), OBSERVED[token[_KEY_SIZE]]


class LiveDevice:
    """One device with a registration. What may change with an update changes here, so that who holds it sees it."""

    __slots__ = (
        "answered_from",
        "asked_who_it_is",
        "awake_until",
        "awake_window",
        "block_exponent",
        "checks_begun",
        "choices",
        "commanded",
        "device_id",
        "endpoint_name",
        "epoch",
        "expires_at",
        "expiry_watched_at",
        "heard_at",
        "kept_at",
        "key",
        "left_objects_unanswered",
        "lifetime",
        "lists_no_firmware_object",
        "noted",
        "noted_minute",
        "peer",
        "queue_mode",
        "read_format",
        "registration_id",
        "reset_way",
        "root",
        "window_watched_at",
    )

    def __init__(self, registration: Registration) -> None:
        self.device_id = registration.device_id
        self.registration_id = registration.registration_id
        self.endpoint_name = registration.endpoint_name
        self.epoch = registration.epoch
        """Of this gateway's hold of the registration."""
        self.key = _key(registration.registration_id)
        self.peer: Peer = peer_of(registration.host, registration.port, registration.identity)
        self.answered_from: Peer | None = None
        """Where it was when it last did what it was asked to under a random token: nobody else can have said so."""
        self.expires_at: datetime = registration.expires_at
        self.lifetime = timedelta(seconds=registration.lifetime_seconds)
        self.kept_at: datetime | None = None
        """When its registration was last kept alive for it, which takes a package and may do nothing else meanwhile."""
        self.expiry_watched_at: datetime | None = None
        """The earliest time at which somebody looks whether the registration has ended."""
        objects = registration.objects.encode()
        self.lists_no_firmware_object = lists_no_firmware_object(objects)
        self.root = root_segments(objects)
        """The segments of the path that its objects lie under; none for most."""
        self.queue_mode = registration.queue_mode
        """It listens in its awake window only: see `awake_windows`."""
        self.awake_until = 0.0
        """When that window ends, by the monotonic clock."""
        self.awake_window: float | None = None
        """How long that window is, in seconds; None for as long as that of any device."""
        self.heard_at: float | None = None
        """When the device was heard by that clock; None before that, and since it left a request unanswered."""
        self.window_watched_at: float | None = None
        """The time at which somebody looks whether the window has ended; None for nobody."""
        self.commanded = False
        """True once an order was found for it, so that an upgrade may be under way."""
        self.read_format: int | None = None
        """The content format in which this device was found to answer the read of an object."""
        self.left_objects_unanswered = False
        """It let the read of an object go by, and that was not learnt yet."""
        self.reset_way: ResetWay | None = None
        """What was found to bring this device back to Idle."""
        self.block_exponent = LARGEST_SZX
        """SZX of the largest blocks to write to it: see `written_blocks`."""
        self.checks_begun = 0
        """How often the check that is ordered was begun, and not brought to an end: see `checks`."""
        self.choices = USUAL
        """How it is driven, by what is known of its client; USUAL until that was looked up."""
        self.asked_who_it_is = False
        """It was, and what it answered was not learnt yet."""
        self.noted_minute = 0
        """The minute since 1970 in which the journal last had a line of it, and how many it had in that minute."""
        self.noted = 0

    @property
    def is_read_singly(self) -> bool:
        """Whether its resources are read one by one, since it lets the read of an object go by."""
        return self.left_objects_unanswered or self.choices.leaves_objects_unanswered

    def may_speak(self, peer: Peer) -> bool:
        """Tell whether what `peer` says in the name of this device can be the device's word, by its security."""
        return identity_of(peer) == identity_of(self.peer)

    def token(self, path: Path) -> bytes:
        """Return the token of the observation of `path`, one of OBSERVED."""
        return self.key + bytes((OBSERVED.index(path),))


class LiveDevices:
    """Every device whose registration this gateway holds."""

    def __init__(self) -> None:
        self._by_device: dict[DeviceId, LiveDevice] = {}
        self.of: Callable[[DeviceId], LiveDevice | None] = self._by_device.get
        """Returns the device of an id while it is live; is asked for each block of a package."""
        self._by_registration: dict[RegistrationId, LiveDevice] = {}
        self._by_key: dict[bytes, LiveDevice] = {}
        self._by_peer: dict[Peer, LiveDevice] = {}
        self._by_identity: dict[str, LiveDevice] = {}

    def __len__(self) -> int:
        return len(self._by_device)

    def __iter__(self) -> Iterator[LiveDevice]:
        return iter(self._by_device.values())

    def add(self, registration: Registration) -> LiveDevice | None:
        """Take in a new registration; return what the device was under its former one, if it had one."""
        former = self.remove(registration.device_id)
        device = LiveDevice(registration)
        if former is not None:
            device.answered_from = former.answered_from
            device.asked_who_it_is = former.asked_who_it_is
            device.awake_window = former.awake_window
            device.left_objects_unanswered = former.left_objects_unanswered
            device.block_exponent = former.block_exponent
            device.checks_begun = former.checks_begun
        self._by_device[device.device_id] = device
        self._by_registration[device.registration_id] = device
        self._by_key[device.key] = device
        self._by_peer[device.peer] = device
        if identity_of(device.peer) is not None:
            self._by_identity[device.endpoint_name] = device
        return former

    def update(self, registration: Registration) -> tuple[LiveDevice, Peer | None]:
        """Take in an update of a registration; return the device, and its former address where that has changed.

        A registration that another gateway took is added: its device has come over to this one.
        """
        device = self._by_registration.get(registration.registration_id)
        if device is None:
            self.add(registration)
            return self._by_registration[registration.registration_id], None
        device.expires_at = registration.expires_at
        device.lifetime = timedelta(seconds=registration.lifetime_seconds)
        objects = registration.objects.encode()
        device.lists_no_firmware_object = lists_no_firmware_object(objects)
        device.root = root_segments(objects)
        device.queue_mode = registration.queue_mode
        device.epoch = registration.epoch
        return device, self.move(device, peer_of(registration.host, registration.port, registration.identity))

    def move(self, device: LiveDevice, peer: Peer) -> Peer | None:
        """Find a device at `peer` from now on; return its former address where that is another."""
        if peer == device.peer:
            return None
        former = device.peer
        self._leave_address(device)
        device.peer = peer
        self._by_peer[peer] = device
        return former

    def remove(self, device_id: DeviceId) -> LiveDevice | None:
        """Forget a device; return what it was, None where it was not live."""
        device = self._by_device.pop(device_id, None)
        if device is not None:
            del self._by_registration[device.registration_id]
            self._by_key.pop(device.key, None)
            self._by_identity.pop(device.endpoint_name, None)
            self._leave_address(device)
        return device

    def by_registration(self, registration_id: RegistrationId) -> LiveDevice | None:
        """Return the device of a registration."""
        return self._by_registration.get(registration_id)

    def by_token(self, token: bytes) -> tuple[LiveDevice, Path] | None:
        """Return whose observation a token names, and of what, whatever address it came from."""
        observed = observed_of(token)
        device = None if observed is None else self._by_key.get(token[:_KEY_SIZE])
        return None if device is None or observed is None else (device, observed[1])

    def by_peer(self, peer: Peer) -> LiveDevice | None:
        """Return the device last registered at an address."""
        return self._by_peer.get(peer)

    def speaker(self, peer: Peer) -> LiveDevice | None:
        """Return who a peer is: by what it proved to be, from whatever address, and in clear by its address."""
        identity = identity_of(peer)
        return self._by_peer.get(peer) if identity is None else self._by_identity.get(identity)

    def _leave_address(self, device: LiveDevice) -> None:
        # Somebody else may have been given the address since.
        if self._by_peer.get(device.peer) is device:
            del self._by_peer[device.peer]
