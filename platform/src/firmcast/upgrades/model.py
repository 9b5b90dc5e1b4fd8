"""What a task and the upgrade of one device are, and what a device can tell us about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from firmcast.devices.model import CommandKind
from firmcast.errors import ConflictError, InvalidValueError, NotFoundError
from firmcast.events.model import Outcome
from firmcast.ids import ApplicationId, CommandId, DeviceId, DeviceUpgradeId, GroupId, PackageId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, Protocol, TransferWay


class UpgradePhase(StrEnum):
    """Where we are with a device; more than the device itself knows."""

    SCHEDULED = "scheduled"
    """Its task has not begun."""
    WAITING = "waiting"
    """For the device to come online."""
    INSPECTING = "inspecting"
    """Its state, versions and abilities are being read."""
    TRANSFERRING = "transferring"
    """It was given the package, or the URI of it."""
    EXECUTING = "executing"
    """It has the package and was told to install it."""
    VERIFYING = "verifying"
    """It may be done; the evidence is being read."""
    CLOSED = "closed"


class Tally(StrEnum):
    """How a device counts in its task."""

    WAITING = "waiting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"


class StartMode(StrEnum):
    """When a task begins with a device."""

    NOW = "now"
    ON_REGISTRATION = "on_registration"
    """When the device next comes online."""
    WINDOW = "window"
    """Between two times; what does not install by the second is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradePolicy:
    """When and how hard to try."""

    start_mode: StartMode = StartMode.NOW
    window_start: datetime | None = None
    window_end: datetime | None = None
    retry_limit: int = 0
    """How many rounds follow the first one, each with the devices that failed in the one before; 5 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSelection:
    """Who is chosen: devices by id, or groups by name together with what they are."""

    devices: tuple[DeviceId, ...] = ()
    device_groups: tuple[str, ...] = ()
    """Names, as the creator wrote them."""
    group_ids: tuple[GroupId, ...] = ()
    """The groups that had these names at the task's creation; who is in them is found out when the task starts."""
    device_type: str = ""
    model: str = ""
    manufacturer_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationKey:
    """What a creator calls a request, so that it is carried out once."""

    name: str = ""
    """Unique for the application; empty for none."""
    digest: str = ""
    """SHA-256 of what is asked for."""


class OtherRequestError(ConflictError):
    """A request of the same name asked for something else."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another request was called {name!r}")


class UnknownGroupError(NotFoundError):
    """A group is named that the application does not have."""

    def __init__(self, name: str) -> None:
        super().__init__("device group", name)


class MismatchError(InvalidValueError):
    """The package is for other devices than those that are chosen."""

    def __init__(self, reason: str) -> None:
        super().__init__("package", reason)


class TaskStatus(StrEnum):
    """The one word for a whole task."""

    WAITING = "waiting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


class TaskWork(StrEnum):
    """What the engine is doing to the devices of a task, a batch of them in each transaction."""

    RESOLVING = "resolving"
    """The members of its groups are taken into it."""
    RETRYING = "retrying"
    """The devices that failed in the round that has ended are begun with again."""
    STOPPING = "stopping"
    """What can still be stopped of its devices is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCourse:
    """How far a task is as a whole. Only `course` makes a new one out of an old one."""

    status: TaskStatus = TaskStatus.WAITING
    round: int = 1
    """1 for the first attempt with its devices, 2 for the first retry."""
    work: TaskWork | None = None
    work_at: datetime | None = None
    """When the next batch of that work is due; None without work."""
    cursor: str = ""
    """The last that the work has dealt with: a device's id, or a device's position in the task."""
    stop_requested_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    description: str = ""
    """Why it ended as it did, where its devices do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeTask:
    """The whole campaign: one package, many devices."""

    task_id: TaskId
    application_id: ApplicationId
    package_id: PackageId
    target_version: str
    device_type: str
    """What its devices are, as the targets or else the package say; so with the next two."""
    model: str
    manufacturer_name: str
    targets: TargetSelection
    policy: UpgradePolicy
    created_at: datetime
    course: TaskCourse
    tallies: dict[Tally, int]
    """How many devices count as what; sums to the devices that were taken into it so far."""
    idempotency_key: str = ""
    """What its creator called the request; empty for nothing."""
    request_digest: str = ""
    """SHA-256 of that request, to tell it from another of the same name; empty without a key."""

    @property
    def status(self) -> TaskStatus:
        """The one word for it."""
        return self.course.status

    @property
    def started_at(self) -> datetime | None:
        """When it began with its first device."""
        return self.course.started_at

    @property
    def ended_at(self) -> datetime | None:
        """When the last round ended for the last device."""
        return self.course.ended_at


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are wanted; what is None or empty matches all."""

    status: TaskStatus | None = None
    device_type: str = ""
    model: str = ""
    manufacturer_name: str = ""
    device_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedWay:
    """A way for the package that did not work with a device, and is not tried again in this attempt."""

    way: TransferWay
    answer: str
    """What the device answered to it, for a person."""
    was_left: bool = False
    """True when the device took the address, and asked for nothing of the package."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was seen of the device since its last inspection before a transfer, as far as a verdict stands on it."""

    baseline_result: int = 0
    """/5/0/5 before the transfer; a device may go on telling it for a while."""
    result_changed: bool = False
    """True when /5/0/5 was seen to leave the baseline, or a download was seen: from then on a result is news."""
    last_result: int = 0
    """/5/0/5 as last told since the transfer was ordered."""
    transfer_kind: CommandKind | None = None
    """How the package was last sent."""
    transfer_protocol: Protocol | None = None
    """By what its address was last to be fetched; None for that by which the device is reached."""
    refused_ways: tuple[RefusedWay, ...] = ()
    """The ways in which the device did not take the package in this attempt, in the order in which they were tried."""
    another_way: bool = False
    """True when the device could have been sent the package in yet another way, when it was last sent."""
    has_asked: bool = False
    """The device has asked for bytes of the package since it was last sent the address."""
    asks_by: datetime | None = None
    """By when a device that took the address asks for the first byte if it ever does; later by what it has slept since.
    None where it has asked, has no address, or was away meanwhile."""
    awaits_turn: bool = False
    """The time was up while the order to transfer the package had not been begun with: others had their turn."""
    turn_came: bool = False
    """The package, which went in its turn, has begun to flow in this attempt: since then its time runs."""
    transfer_finished: bool = False
    """The last byte reached the device."""
    lost_transfers: int = 0
    """How often the device lost a transfer that had begun, and neither its power nor we were the reason."""
    lost_packages: int = 0
    """How often the device, told to install, turned out to have lost the package before it began."""
    spoilt: bool = False
    """The package was sent again since it had failed its integrity check."""
    interrupted: bool = False
    """Since the package was last sent we were started anew, or got no answer while we wrote it."""
    left_alone: int = 0
    """How often the gateway of the device was dead for a time."""
    reset_ordered: bool = False
    """The device was told to go back to Idle and has not been seen there yet."""
    installs_other_since: datetime | None = None
    """When the device was first seen, before anything was sent to it, to install what is not of this upgrade."""
    executed_at: datetime | None = None
    """When the device was first told to install what it now has; later by what it has slept since."""
    refused_to_install: bool = False
    """It answered the order to install with an error, and was Idle: it has no package, or has installed it already."""
    execute_confirmed: bool = False
    """The device is known to have begun to install."""
    repeated_executions: int = 0
    """How often it was told again after it had registered anew with the package still waiting."""
    refused_executions: int = 0
    """How often it refused the order to install while it showed the package."""
    deferred_since: datetime | None = None
    """When the device first put the installation off."""
    deferred_until: datetime | None = None
    """When it is to be told again; None while nothing is put off."""
    stop_requested: bool = False
    """Somebody wanted to stop it while it installed: if it puts that off, it is stopped."""
    registered_anew: bool = False
    """It registered since the last order to transfer or to install: it may run other firmware now."""
    installed_version: str | None = None
    """/3/0/3 as last told since the first order to install; None while it was not told."""
    asleep_since: datetime | None = None
    """Since when the device, in queue mode, has not listened; None while it listens."""
    slept: timedelta = timedelta(0)
    """How long it has slept in this phase, before `asleep_since`; an installation and its verification are one."""
    download_began_at: datetime | None = None
    """When the first byte went to the device, or it was first seen downloading."""
    downloaded_at: datetime | None = None
    """When the last byte went to it, or it was first seen to have the whole package."""


class DeviceUpgrade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One device within a task. Only `state_machine` makes a new one out of an old one."""

    device_upgrade_id: DeviceUpgradeId
    task_id: TaskId
    application_id: ApplicationId
    device_id: DeviceId
    package_id: PackageId
    position: int
    """Its place among the devices of the task, from 0 without a gap."""
    attempt: int
    """The round of the task that this is about: 1, and one more for each retry."""
    phase: UpgradePhase
    tally: Tally
    retryable: bool
    """True when this attempt ended badly and another one may end better."""
    published_state: FirmwareUpdateState
    """The state that applications were last told; Idle at first."""
    command_id: CommandId | None
    """The one order that waits for the device; an answer to any other is old. None also before it has its number."""
    command_kind: CommandKind | None
    probed: bool
    """True when the time of this phase is over and the device was asked once more before the verdict."""
    evidence: Evidence
    transfer_token: str
    source_version: str
    target_version: str
    current_version: str
    bytes_total: int
    created_at: datetime
    started_at: datetime | None
    """When the first order was given."""
    window_end: datetime | None
    """What has not begun by then is stopped; None without a window."""
    waiting_ends_at: datetime | None
    """Until when the device may come online, however often it goes away again."""
    phase_ends_at: datetime | None
    """When the time of this phase is over."""
    deadline_at: datetime | None
    """The next time to look, at the latest when the phase ends; None when closed."""
    ended_at: datetime | None
    outcome: Outcome | None
    description: str
    """Why it ended as it did, for a person."""

    @property
    def is_fetching(self) -> bool:
        """True while the device has the address of its package, or has begun to fetch it, and not all of it yet."""
        evidence = self.evidence
        is_sent = evidence.transfer_kind is CommandKind.TRANSFER_BY_URI
        has_begun = evidence.has_asked or evidence.download_began_at is not None
        has_address = has_begun or self.command_kind is not CommandKind.TRANSFER_BY_URI
        return self.phase is UpgradePhase.TRANSFERRING and is_sent and has_address and evidence.downloaded_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTarget:
    """What the bearer of a transfer token may fetch."""

    device_upgrade_id: DeviceUpgradeId
    device_id: DeviceId
    endpoint_name: str
    """Of the device: one that has proved to be another may not fetch it."""
    package_id: PackageId
    digest: str
    """SHA-256 of the bytes, 64 lower-case hexadecimal digits."""
    size: int
    """Bytes."""
    protocol: Protocol | None = None
    """By which the device is to fetch it; None for that by which it is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a package had come when that was noted."""

    device_upgrade_id: DeviceUpgradeId
    bytes_done: int
    """Bytes that the device has acknowledged, or that were served to it."""
    bytes_per_second: int
    """Over the seconds before; 0 when it stood still."""
    noted_at: datetime


# --- what can be told of a device -------------------------------------------------------------------------------


class SessionRenewed(msgspec.Struct, frozen=True, gc=False):
    """The device registered anew, or has another gateway: observations may be gone, its state is unknown."""

    newly_registered: bool
    """False when only the gateway was started anew, or another one holds the device now."""
    was_unattended: bool = False
    """True when the gateway of the device was dead: for a time nobody could have asked it anything."""
    was_heard: bool = False
    """True when it was the device itself that came to another gateway; who registers is heard in any case."""


class SeenAlive(msgspec.Struct, frozen=True, gc=False):
    """The device updated its registration, or was heard in another way while it was taken to sleep: it listens."""

    updated: bool = True
    """False when it was only heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FellAsleep:
    """The device, in queue mode, does not listen until it is heard again; it may be told more than once."""

    registered_until: datetime
    """By then it shows itself, or is away."""


class ResourcesReported(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The device told some of its resources, by notification or in answer to a read; None is not told."""

    state: int | None = None
    """/5/0/3"""
    result: int | None = None
    """/5/0/5"""
    firmware_version: str | None = None
    """/3/0/3"""
    package_uri: str | None = None
    """/5/0/1"""
    protocols: tuple[int, ...] | None = None
    """/5/0/8; None when absent, which means CoAP."""
    delivery_method: int | None = None
    """/5/0/9"""
    is_secure: bool | None = None
    """True when the device is reached through a secure session; None means in clear."""
    avoided_ways: tuple[TransferWay, ...] = ()
    """The ways for packages that it, or others of its model, did not take before: they are tried last."""


class TransferProgressed(msgspec.Struct, frozen=True, gc=False):
    """The first block of the package reached the device (`finished` False), or its last one (True)."""

    finished: bool


class CommandAnswered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The device carried out a command; `resources` is what it told with it."""

    command_id: CommandId
    resources: ResourcesReported = ResourcesReported()


class CommandFailure(StrEnum):
    """Why a command came to nothing."""

    UNREACHABLE = "unreachable"
    """No answer in the time that CoAP gives it; whether the device acted is unknown."""
    REJECTED = "rejected"
    """The device answered with an error."""
    BROKEN_OFF = "broken_off"
    """The device answered to a block that it lacks those before it, however often it was sent them."""
    NO_BYTES = "no_bytes"
    """Our own bytes of the package cannot be read."""


class CommandFailed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A command came to nothing."""

    command_id: CommandId
    failure: CommandFailure
    description: str
    """For a person, such as the CoAP code of the answer."""
    resources: ResourcesReported = ResourcesReported()
    """What was read after the failure, if anything."""
    is_busy: bool = False
    """True of an unreachable device that is there: it answered that it cannot answer now."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The deadline of the phase has come."""


@dataclass(frozen=True, slots=True)
class TaskBegan:
    """The task begins with this device; `online` tells whether it has a live registration."""

    online: bool


@dataclass(frozen=True, slots=True)
class StopRequested:
    """An operator, or the end of the window, stops it."""


Input = (
    SessionRenewed
    | SeenAlive
    | FellAsleep
    | ResourcesReported
    | TransferProgressed
    | CommandAnswered
    | CommandFailed
    | DeadlinePassed
    | TaskBegan
    | StopRequested
)


class DeviceReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One input about one device, on its way to the state machine."""

    device_id: DeviceId
    input: Input
    occurred_at: datetime
