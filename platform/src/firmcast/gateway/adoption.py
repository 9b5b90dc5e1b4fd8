"""What a dead gateway of this site held is taken up at once, at the start and whenever one dies or leaves.

Devices of another site are left to their next sign of life: from here nobody reaches them before. Who is dead is so for
two looks: a node that did not reach the database for a while begins another life at once when it does.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.devices import holding
from firmcast.devices.holding import LivingGateways
from firmcast.devices.model import Registration
from firmcast.errors import StoreError
from firmcast.events.log import EventLog
from firmcast.gateway import batches
from firmcast.gateway.membership import Membership
from firmcast.ids import DeviceUpgradeId, GatewayId
from firmcast.upgrades.limits import Limits

_PAGE: Final = 500
_log = structlog.get_logger()


class Adopter(Protocol):
    """Takes in registrations that are this gateway's from now on."""

    def adopted(self, registrations: Sequence[Registration]) -> None:
        """Go on with these devices."""
        ...


class Adoption:
    """Looks for devices of dead gateways."""

    def __init__(
        self,
        *,
        database: Database,
        log: EventLog,
        limits: Limits,
        clock: Clock,
        member: Membership,
        adopter: Adopter,
        look_for_ended: Callable[[], None],
        expect_fetching: Callable[[Sequence[DeviceUpgradeId]], None],
    ) -> None:
        """Bind the parts; `look_for_ended` is called while there are devices whose end nobody else watches.

        `expect_fetching` is told the upgrades in which devices were fetching their packages when they were taken up.
        """
        self._database = database
        self._log = log
        self._limits = limits
        self._clock = clock
        self._member = member
        self._adopter = adopter
        self._look_for_ended = look_for_ended
        self._expect_fetching = expect_fetching
        self._left: set[GatewayId] = set()
        self._seen_dead: set[GatewayId] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what is free, and go on looking where other gateways may die."""
        complete = await self._try_to_look(at_once=True)
        if not (complete and self._member.is_alone):
            self._task = asyncio.create_task(self._run(), name="adoption")

    async def stop(self) -> None:
        """Take up nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def left(self, gateways: Sequence[GatewayId]) -> None:
        """Take up what these gateways held: they said that they end."""
        self._left.update(gateways)
        self._wake.set()

    async def _run(self) -> None:
        complete = False
        while not (complete and self._member.is_alone):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._member.pause):
                    await self._wake.wait()
            self._wake.clear()
            complete = await self._try_to_look(at_once=self._member.is_alone)

    async def _try_to_look(self, *, at_once: bool) -> bool:
        try:
            holders, alive = await self._database.read(_standing, self._member.living)
            self._left.intersection_update(holders)
            dead = {former for former in holders if former not in alive or former in self._left}
            certain = dead if at_once else dead & (self._seen_dead | self._left)
            self._seen_dead = dead
            for former in filter(self._member.may_adopt, certain):
                await self._adopt(former)
            if not all(map(self._member.may_adopt, certain)):
                self._look_for_ended()
        except StoreError as error:
            _log.warning("devices.not_adopted", reason=str(error))
            return False
        return True

    async def _adopt(self, former: GatewayId) -> None:
        total, count = 0, _PAGE
        while count == _PAGE:
            adopted = await self._database.write(
                batches.adopt,
                former,
                _PAGE,
                member=self._member,
                log=self._log,
                limits=self._limits,
                now=self._clock.now(),
            )
            count = adopted.count
            total += count
            self._expect_fetching(adopted.fetching)
            self._adopter.adopted(adopted.live)
        _log.info("devices.adopted", devices=total, gateway=former)


async def _standing(tx: Transaction, living: LivingGateways) -> tuple[list[GatewayId], frozenset[GatewayId]]:
    return await holding.holders(tx), frozenset(await living(tx))
