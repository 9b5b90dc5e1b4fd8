"""What a gateway has to do with the others: it takes devices over from them, and leaves devices to them."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from firmcast.clock import Clock
from firmcast.coap.udp import UdpEndpoint
from firmcast.db.patience import patiently
from firmcast.db.port import Database
from firmcast.devices import holding
from firmcast.devices.holding import GATEWAYS_LEFT, REGISTRATIONS_MOVED
from firmcast.errors import StoreError
from firmcast.events.log import EventLog
from firmcast.gateway.adoption import Adoption
from firmcast.gateway.expiry import Expiry
from firmcast.gateway.fetch_places import FetchPlaces
from firmcast.gateway.live_devices import LiveDevices
from firmcast.gateway.membership import Membership
from firmcast.gateway.metrics import GatewayMetrics
from firmcast.gateway.moves import Moves
from firmcast.gateway.registration import RegistrationInterface
from firmcast.gateway.reports import ReportIntake
from firmcast.gateway.sessions import DeviceSessions
from firmcast.gateway.strangers import Strangers
from firmcast.ids import DeviceId
from firmcast.upgrades.limits import Limits

_PAGE: Final = 1000
_log = structlog.get_logger()


class Fellows:
    """The other gateways, as far as this one has to do with them."""

    def __init__(
        self,
        *,
        database: Database,
        member: Membership,
        udp: UdpEndpoint,
        live: LiveDevices,
        intake: ReportIntake,
        sessions: DeviceSessions,
        registration: RegistrationInterface,
        expiry: Expiry,
        metrics: GatewayMetrics,
        log: EventLog,
        limits: Limits,
        clock: Clock,
        fetch_places: FetchPlaces,
    ) -> None:
        now: Callable[[], datetime] = clock.now
        self._database = database
        self._member = member
        self._sessions = sessions
        self._reconciling: asyncio.Task[None] | None = None
        self._is_behind = False
        self.strangers = Strangers(
            database=database, member=member, live=live, intake=intake, registration=registration, now=now
        )
        self._moves = Moves(
            udp=udp, live=live, registration=registration, metrics=metrics, gateway_id=member.gateway_id
        )
        self._adoption = Adoption(
            database=database,
            log=log,
            limits=limits,
            clock=clock,
            member=member,
            adopter=registration,
            look_for_ended=expiry.begin,
            expect_fetching=fetch_places.expect,
        )

    async def start(self) -> None:
        """Take up what dead gateways have left here, and begin to listen to the living ones."""
        self._database.listen(REGISTRATIONS_MOVED, self._moves.heard)
        self._database.listen(GATEWAYS_LEFT, self._adoption.left)
        await self._adoption.start()

    async def stop(self) -> None:
        """Take over nothing more."""
        self._database.unlisten(REGISTRATIONS_MOVED, self._moves.heard)
        self._database.unlisten(GATEWAYS_LEFT, self._adoption.left)
        await self._adoption.stop()
        await self.strangers.stop()
        if self._reconciling is not None:
            self._reconciling.cancel()
            await asyncio.gather(self._reconciling, return_exceptions=True)

    async def leave(self) -> None:
        """Leave the devices to the others; whoever of them hears it need not wait until this node is given up."""
        if self._member.is_alone:
            return
        try:
            await self._database.write(holding.leave, self._member.gateway_id)
        except StoreError as error:
            _log.warning("gateway.not_signed_off", reason=str(error))

    def missed(self) -> None:
        """Find out anew what is held here, and what waits for it: announcements of other nodes are gone unread."""
        self._is_behind = True
        if self._reconciling is None or self._reconciling.done():
            self._reconciling = asyncio.create_task(self._reconcile(), name="gateway-reconcile")

    async def _reconcile(self) -> None:
        while self._is_behind:
            self._is_behind = False
            try:
                before, held = self._moves.standing(), await self._held()
            except StoreError as error:
                _log.error("gateway.not_reconciled", exc_info=error)
                return
            self._moves.keep_only(held, before)
            self._sessions.wake(held)
            self._sessions.awaited(held)

    async def _held(self) -> set[DeviceId]:
        """Return what this gateway holds, however long the store is away. Raises StoreError when it is closed."""
        held: set[DeviceId] = set()
        after: DeviceId | None = None
        while page := await patiently(
            partial(self._database.read, holding.held, self._member.gateway_id, after, _PAGE)
        ):
            held.update(page)
            after = page[-1]
        return held
