"""A profile is everything in which one virtual device differs from another; what all devices do alike is code.

The named profiles copy what real clients were seen to do.
"""

from dataclasses import dataclass, replace

from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.firmware_update import DeliveryMethod, FirmwareUpdateState, Protocol
from firmcast.simulator.sleep import SleepHabit


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """How one kind of device behaves."""

    delivery: DeliveryMethod = DeliveryMethod.BOTH
    """What /5/0/9 says, and what is refused with 4.05."""
    protocols: tuple[Protocol, ...] = (Protocol.COAP,)
    """What /5/0/8 lists; empty leaves the resource out."""
    speaks: tuple[Protocol, ...] = (Protocol.COAP,)
    """How packages are fetched in truth; a device with a key speaks CoAPs in the place of CoAP."""
    version: str = "1.0.0"
    """The running firmware (/3/0/3) at the start."""
    installs_version: str = "2.0.0"
    """The running firmware after a successful update."""
    expected_digest: str | None = None
    """SHA-256 of the only package that passes the integrity check, in hexadecimal; None lets any pass that was
    stored as it was received."""
    integrity_fails: bool = False
    """One byte of every package is stored wrongly, so that the integrity check fails (result 5)."""
    shows_state_downloading: bool = True
    """State 1 is shown while a package is written in blocks; a download by address always shows it."""
    failed_install_returns_to: FirmwareUpdateState | None = None
    """Every install fails (result 8) and ends in this state: DOWNLOADED or IDLE. None: installs succeed."""
    hang_in_updating: bool = False
    """The device stays in state 3 after Update and says nothing more."""
    notify_final_idle: bool = False
    """The update ends without a reboot and state 0 is notified; most devices restart and register anew instead."""
    forgets_state_on_reboot: bool = False
    """After a restart state and result are 0; only the version tells of a success."""
    drops_query: bool = False
    """The query of a package address is not sent."""
    reboot_delay: float = 0.5
    """Seconds from Update until the install has ended."""
    block_szx: int = 6
    """The largest block asked for and taken: 2**(4 + szx) bytes."""
    notifies_confirmable: bool = False
    """Notifications are confirmable; most clients send them non-confirmable."""
    lifetime: int = 300
    """Seconds that a registration is asked to live."""
    binding: str = "U"
    lwm2m_version: str = "1.1"
    sleep: SleepHabit | None = None
    """It is in queue mode, and listens so; None always listens."""
    default_content_format: ContentFormat = ContentFormat.TLV
    """How a read without Accept is answered."""
    manufacturer: str = "Firmcast"
    model: str = "virtual device"

    def __post_init__(self) -> None:
        if self.failed_install_returns_to not in (
            None,
            FirmwareUpdateState.IDLE,
            FirmwareUpdateState.DOWNLOADED,
        ):
            raise ValueError("a failed install returns to IDLE or DOWNLOADED")
        if not 0 <= self.block_szx <= 6:
            raise ValueError("block_szx is 0 to 6")
        if self.reboot_delay < 0 or self.lifetime < 1:
            raise ValueError("reboot_delay and lifetime are not negative, and a lifetime is not zero")


_ANJAY = DeviceProfile(
    shows_state_downloading=False,
    lwm2m_version="1.2",
    default_content_format=ContentFormat.SENML_CBOR,
    model="as Anjay",
)
_ZEPHYR = DeviceProfile(forgets_state_on_reboot=True, drops_query=True, block_szx=5, model="as Zephyr")
_WITH_HTTP = (Protocol.COAP, Protocol.HTTP)
_WITH_HTTPS = (Protocol.COAP, Protocol.HTTPS)

PROFILES: dict[str, DeviceProfile] = {
    "plain": DeviceProfile(),
    "pull": DeviceProfile(delivery=DeliveryMethod.PULL),
    "push": DeviceProfile(delivery=DeliveryMethod.PUSH, shows_state_downloading=False),
    "push-shown": DeviceProfile(delivery=DeliveryMethod.PUSH),
    "anjay": _ANJAY,
    "anjay-push": replace(_ANJAY, delivery=DeliveryMethod.PUSH),
    "anjay-failing": replace(_ANJAY, failed_install_returns_to=FirmwareUpdateState.DOWNLOADED),
    "zephyr": _ZEPHYR,
    "zephyr-failing": replace(_ZEPHYR, failed_install_returns_to=FirmwareUpdateState.IDLE),
    "corrupting": DeviceProfile(integrity_fails=True),
    "hanging": DeviceProfile(hang_in_updating=True),
    "no-reboot": DeviceProfile(notify_final_idle=True),
    "small-blocks": DeviceProfile(block_szx=2),
    "http": DeviceProfile(protocols=_WITH_HTTP, speaks=_WITH_HTTP),
    "https": DeviceProfile(protocols=_WITH_HTTPS, speaks=_WITH_HTTPS),
}
"""The profiles that have a name; `dataclasses.replace` makes others of them."""


def profile_named(name: str) -> DeviceProfile:
    """Return the profile of that name; raises ValueError, listing the names, when there is none."""
    profile = PROFILES.get(name)
    if profile is None:
        raise ValueError(f"no profile {name!r}; there are {', '.join(sorted(PROFILES))}")
    return profile
