"""A profile is everything in which one virtual device differs from another; what all devices do alike is code."""

from dataclasses import dataclass

from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.firmware_update import (
    DeliveryMethod,
    FirmwareUpdateState,
    Protocol,
    UpdateResult,
    is_failure,
)
from firmcast.simulator.sleep import SleepHabit

IDLE = FirmwareUpdateState.IDLE
DOWNLOADING = FirmwareUpdateState.DOWNLOADING
DOWNLOADED = FirmwareUpdateState.DOWNLOADED
UPDATING = FirmwareUpdateState.UPDATING


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """How one kind of device behaves."""

    # What it says of itself.

    delivery: DeliveryMethod = DeliveryMethod.BOTH
    """What /5/0/9 says, and what is refused with 4.05."""
    protocols: tuple[Protocol, ...] = (Protocol.COAP,)
    """What /5/0/8 lists; empty leaves the resource out."""
    speaks: tuple[Protocol, ...] = (Protocol.COAP,)
    """How packages are fetched in truth; a device with a key speaks CoAPs in the place of CoAP."""
    lists_as_in_clear: bool = False
    """With a key too /5/0/8 lists CoAP, where CoAPs is meant; else CoAPs."""
    version: str = "1.0.0"
    """The running firmware (/3/0/3) at the start."""
    installs_version: str = "2.0.0"
    """The running firmware after a successful update."""
    lifetime: int = 300
    """Seconds that a registration is asked to live."""
    binding: str = "U"
    """How it is reached, as it says when it registers."""
    lwm2m_version: str = "1.1"
    """The version of LwM2M that it says it speaks."""
    sleep: SleepHabit | None = None
    """It is in queue mode, and listens so; None always listens."""
    object_version: str = "1.0"
    """The version of its Object 5; from 1.1 on there are Cancel (10), severity (11) and the deferral period (13)."""
    links_object_version: bool = False
    """The version of Object 5 is told when it registers; most clients leave it out, whatever they have."""
    firmware_instances: int = 1
    """Instances of Object 5; only the first does anything."""
    content_formats: tuple[ContentFormat, ...] = (
        ContentFormat.TEXT,
        ContentFormat.OPAQUE,
        ContentFormat.SENML_CBOR,
        ContentFormat.TLV,
    )
    """In which a read can be answered; any other is refused with 4.06."""
    default_content_format: ContentFormat = ContentFormat.TLV
    """How a read without Accept is answered."""
    names_package_in: frozenset[FirmwareUpdateState] = frozenset()
    """The states in which PkgName and PkgVersion (6 and 7) can be read; in the others they are 4.04."""
    manufacturer: str = "Firmcast"
    """What /3/0/0 says."""
    model: str = "virtual device"
    """What /3/0/1 says."""

    # How it receives a package.

    block_szx: int = 6
    """The largest block asked for and taken: 2**(4 + szx) bytes."""
    drops_query: bool = False
    """The query of a package address is not sent."""
    resumes: bool = True
    """A broken download goes on where it stopped, while the entity tag is the same; else it begins at block 0."""
    keeps_download_over_reboot: bool = False
    """A download that a power cut interrupted is taken up again after it, in state 1; else it is lost (result 4)."""
    power_cuts: int = 0
    """The power is cut at a random block of each of the first so many transfers."""
    power_cuts_at_update: int = 0
    """The power is cut so many times when Update is ordered, before it has begun and without an answer."""
    loses_package_with_power: bool = False
    """A package that came whole is held in RAM: after a restart it is gone, and state and result are 0."""
    expected_digest: str | None = None
    """SHA-256 of the only package that passes the integrity check, in hexadecimal; None lets any pass that was
    stored as it was received."""
    integrity_fails: bool = False
    """One byte of every package is stored wrongly, so that the integrity check fails (result 5)."""
    rejects_package_with: UpdateResult | None = None
    """Every package that arrived whole is thrown away with this result: 2, 3, 5, 6."""
    missing_package_is: UpdateResult = UpdateResult.INVALID_URI
    """The result when nothing is at the address of a package: 7, or 4 of clients that tell no more."""
    judges_uri_at_once: bool = True
    """A bad address or scheme is refused with 4.00, and a result without a change of state; else the write is
    accepted and the download then fails."""
    ignores_uri_while_busy: bool = False
    """A second address is answered 2.04 and ignored; else it is refused with 4.00."""
    leaves_addresses: FirmwareUpdateState | None = None
    """An address that it cannot use is answered 2.04 and left alone, in IDLE, or in DOWNLOADING as if it were fetched;
    None: judged."""
    refuses_addresses: bool = False
    """Every package address is refused with 4.05, whatever /5/0/8 and /5/0/9 say."""
    refuses_packages: bool = False
    """Every package that is written is refused with 4.05, whatever /5/0/9 says."""
    refuses_large_blocks: bool = False
    """A written package whose first block is larger than those taken is refused with 4.13, which does not say what is
    too large; else the block is taken, and smaller ones are asked for."""
    loses_packages: bool = False
    """Every package that is written is answered with 4.08 at its first block, as if it had got lost."""
    restarts_push: bool = True
    """A package that is written anew from block 0 is taken anew; else its blocks are taken for repeats of those that
    came already."""
    serves_while_written: bool = True
    """Other requests are answered while a package is being written; else they wait, without an acknowledgement."""
    refuses_while_written: bool = False
    """Other requests, and the first block of another package, are refused with 5.03 while a package is being written,
    until it is given up."""

    # How it can be stopped.

    honours_reset_in: frozenset[FirmwareUpdateState] = frozenset({IDLE, DOWNLOADING, DOWNLOADED})
    """The states in which an empty address, or a NUL as package, brings it back to state 0."""
    denies_reset: bool = True
    """A reset in another state is refused with 4.05; else it is answered 2.04 and nothing happens."""
    unanswered_resets: int = 0
    """So many requests that would bring it back to state 0 it neither obeys nor answers."""
    takes_nul_for_package: bool = False
    """A NUL written to the package in states 0 and 1 is taken for a byte of an image."""

    # How it installs.

    reboot_delay: float = 0.5
    """Seconds from Update until the install has ended."""
    boot_time: float = 0.0
    """Seconds that it is off when it reboots."""
    failed_install_returns_to: FirmwareUpdateState | None = None
    """Every install fails (result 8) and ends in this state: DOWNLOADED or IDLE. None: installs succeed."""
    hang_in_updating: bool = False
    """The device stays in state 3 after Update and says nothing more."""
    defers: int = 0
    """So many times an Update is put off with result 11."""
    defers_from: FirmwareUpdateState = UPDATING
    """UPDATING: the state goes 2, 3, 2 when it puts an update off. DOWNLOADED: it stays 2."""
    defers_for: float | None = None
    """Seconds after which an update that was put off is done unasked; None waits to be told again."""
    answers_update: bool = True
    """Update is answered; else the device reboots before its answer, and without a word."""
    notify_final_idle: bool = False
    """The update ends without a reboot and state 0 is notified; most devices restart and register anew instead."""

    # What it remembers.

    forgets_state_on_reboot: bool = False
    """After a restart state and result are 0; only the version tells of a success."""
    keeps_package_uri: bool = False
    """The address of the last package can still be read after the update has ended."""
    first_result: UpdateResult = UpdateResult.INITIAL
    """The result of something long ago, which it has when it starts."""
    first_package_uri: str = ""
    """The address of something long ago, which it has when it starts."""

    # What it tells.

    shows_state_downloading: bool = True
    """State 1 is shown while a package is written in blocks; a download by address always shows it."""
    unnotified: frozenset[FirmwareUpdateState] = frozenset()
    """States that can be read but are never notified."""
    result_first: bool = False
    """When state and result change together the result is told first, and seen first; else the state is."""
    report_gap: float = 0.0
    """Seconds between the two; a read in between sees the one without the other."""
    notifies_confirmable: bool = False
    """Notifications are confirmable; most clients send them non-confirmable."""
    answer_delay: float = 0.0
    """Seconds from an empty acknowledgement to the answer of its own; 0 answers in the acknowledgement."""
    sends_after_reboot: bool = False
    """State, result and version are sent unasked (LwM2M Send) after each restart."""
    registers_anew_in: FirmwareUpdateState | None = None
    """In this state it registers anew without a reboot, as clients do that lost an Update of their registration."""
    changes_port_in: FirmwareUpdateState | None = None
    """When it enters this state its address changes, of which it says nothing, as behind a NAT."""
    is_stub: bool = False
    """There is nothing behind Object 5: it boots in state 1, takes everything and never changes."""

    def __post_init__(self) -> None:
        wrong = self._what_is_wrong()
        if wrong is not None:
            raise ValueError(wrong)

    @property
    def has_cancel(self) -> bool:
        """Whether Object 5 is of a version with the resources 10 and above."""
        return self.object_version != "1.0"

    def _what_is_wrong(self) -> str | None:
        rejected = self.rejects_package_with
        checks = {
            "a failed install returns to IDLE or DOWNLOADED": self.failed_install_returns_to
            in (None, IDLE, DOWNLOADED),
            "an update is put off from DOWNLOADED or UPDATING": self.defers_from in (DOWNLOADED, UPDATING),
            "block_szx is 0 to 6": 0 <= self.block_szx <= 6,
            "reboot_delay and lifetime are not negative, and a lifetime is not zero": self.reboot_delay >= 0
            and self.lifetime >= 1,
            "boot_time, report_gap, answer_delay and defers_for are not negative": min(
                self.boot_time, self.report_gap, self.answer_delay, self.defers_for or 0
            )
            >= 0,
            "power cuts, defers and unanswered_resets are not negative, and there is an instance of Object 5": min(
                self.power_cuts,
                self.power_cuts_at_update,
                self.defers,
                self.unanswered_resets,
                self.firmware_instances - 1,
            )
            >= 0,
            "a package is rejected with a failure of its transfer": rejected is None
            or (is_failure(rejected) and rejected not in (UpdateResult.UPDATE_FAILED, UpdateResult.CANCELLED)),
            "the default format is one of the formats": self.default_content_format in self.content_formats,
        }
        return next((what for what, holds in checks.items() if not holds), None)
