"""A device upgrade driven by hand: inputs in, and everything that the rules said about them on record."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from device_upgrades import scheduled_upgrade
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.events.model import FirmwareStateChanged, FirmwareUpgradeEnded
from firmcast.ids import CommandId
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import (
    CommandAnswered,
    CommandFailed,
    CommandFailure,
    DeadlinePassed,
    DeviceUpgrade,
    FellAsleep,
    ResourcesReported,
    SeenAlive,
    SessionRenewed,
    TaskBegan,
)
from firmcast.upgrades.rules.turn import PublishedFact
from firmcast.upgrades.state_machine import advance

START = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = "1.0", "2.0"
LIMITS = Limits(
    waiting=timedelta(hours=24),
    inspecting=timedelta(minutes=3),
    transferring=timedelta(minutes=60),
    executing=timedelta(minutes=30),
    verifying=timedelta(minutes=10),
    probe=timedelta(minutes=2),
    deferral_pause=timedelta(minutes=15),
    deferral=timedelta(hours=24),
    awake=timedelta(seconds=93),
    sleeping=timedelta(days=7),
    prefer_write=False,
)


def scheduled() -> DeviceUpgrade:
    return scheduled_upgrade(START, source_version=OLD, target_version=NEW, current_version=OLD)


class Driver:
    """Does what the store and the gateway do around the state machine: numbers orders, passes inputs, keeps time."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.upgrade = scheduled()
        self.now = START
        self.orders: list[CommandKind] = []
        self.facts: list[PublishedFact] = []
        self._numbers = 0

    def tell(self, told) -> "Driver":
        """Pass one input."""
        decision = advance(self.upgrade, told, self.now, self.limits)
        self.upgrade = decision.upgrade
        self.facts += decision.facts
        if decision.command is not None:
            self.orders.append(decision.command)
            self._numbers += 1
            if self.upgrade.command_kind is not None:
                self.upgrade = structs.replace(self.upgrade, command_id=CommandId(self._numbers))
        return self

    def answer(self, **resources) -> "Driver":
        """Let the device carry out the order that waits."""
        assert self.upgrade.command_id is not None, "no order waits"
        return self.tell(CommandAnswered(command_id=self.upgrade.command_id, resources=ResourcesReported(**resources)))

    def fail(self, failure=CommandFailure.REJECTED, description="4.00 Bad Request", **resources) -> "Driver":
        """Let the order that waits come to nothing."""
        assert self.upgrade.command_id is not None, "no order waits"
        return self.tell(
            CommandFailed(
                command_id=self.upgrade.command_id,
                failure=failure,
                description=description,
                resources=ResourcesReported(**resources),
            )
        )

    def notify(self, **resources) -> "Driver":
        return self.tell(ResourcesReported(**resources))

    def register(self) -> "Driver":
        return self.tell(SessionRenewed(newly_registered=True))

    def restart_gateway(self) -> "Driver":
        return self.tell(SessionRenewed(newly_registered=False))

    def fall_asleep(self, *, lifetime: timedelta = timedelta(days=1)) -> "Driver":
        """Let the device sleep; its registration lasts for `lifetime` from now on."""
        return self.tell(FellAsleep(registered_until=self.now + lifetime))

    def sleep(self, duration: timedelta, *, lifetime: timedelta = timedelta(days=1)) -> "Driver":
        """Let the device sleep for a time, and then be heard."""
        self.fall_asleep(lifetime=lifetime)
        self.now += duration
        return self.tell(SeenAlive())

    def pass_deadline(self) -> "Driver":
        """Wait until the next deadline."""
        assert self.upgrade.deadline_at is not None
        self.now = max(self.now, self.upgrade.deadline_at)
        return self.tell(DeadlinePassed())

    def begin(self, *, online: bool = True) -> "Driver":
        return self.tell(TaskBegan(online))

    def transferring(self, *, delivery_method: int = 0, result: int = 0) -> "Driver":
        """Bring it to where the package has been offered."""
        return self.begin().answer(
            state=0, result=result, firmware_version=OLD, protocols=(0,), delivery_method=delivery_method
        )

    def executing(self, **given) -> "Driver":
        """Bring it to where the device has the package and was told to install it."""
        return self.transferring(**given).answer().notify(state=1, result=0).notify(state=2)

    @property
    def order(self) -> CommandKind | None:
        """The order that waits."""
        return self.upgrade.command_kind

    @property
    def steps(self) -> list[int]:
        """The states that applications were told."""
        return [int(each.fact.state) for each in self.facts if isinstance(each.fact, FirmwareStateChanged)]

    @property
    def synthesised(self) -> list[int]:
        """Those of them that nobody observed."""
        told = [each for each in self.facts if isinstance(each.fact, FirmwareStateChanged)]
        return [int(each.fact.state) for each in told if each.synthesised]

    @property
    def ends(self) -> list[FirmwareUpgradeEnded]:
        return [each.fact for each in self.facts if isinstance(each.fact, FirmwareUpgradeEnded)]


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture(scope="session")
def make_driver() -> Callable[[], Driver]:
    return Driver
