"""Whoever speaks and is not held here is looked up in the store, and taken over: his answers come here, too.

He is known by the token of a notification or by the identity of a secure session, or by the address from which he
registered. Of a living gateway of another site he is not taken: he may go on telling this one what it asked for before.
Whoever only answers what he was not asked from here is known by an address alone, which may be false: he is taken over
from a gateway of this site only, since no false address brings here what would go there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from firmcast.coap.dtls.peers import identity_of
from firmcast.coap.events import Peer
from firmcast.db.port import Database, Transaction
from firmcast.devices import holding
from firmcast.devices.holding import LivingGateways
from firmcast.devices.model import Registration
from firmcast.errors import StoreError
from firmcast.gateway.addresses import stored_address
from firmcast.gateway.batches import Answer, Showing
from firmcast.gateway.live_devices import LiveDevice, LiveDevices, ids_begin_with, key_of
from firmcast.gateway.membership import Membership
from firmcast.gateway.registration import RegistrationInterface
from firmcast.gateway.reports import ReportIntake
from firmcast.ids import GatewayId, RegistrationId

_AT_ONCE: Final = 500
_MOST_WAITING: Final = 4096
_QUIET: Final = timedelta(seconds=2)
"""So long a stray address is not looked up again."""
_log = structlog.get_logger()

_Address = tuple[str, int]
_RegistrationKey = tuple[str]
_Key = _Address | _RegistrationKey | str
"""What is seen of a device: its address, the key of its registration, or the identity of its session."""

Identified = Callable[[LiveDevice | None], None]
"""Takes the device, held here or not; None for nobody."""
_Found = Callable[[Sequence[Registration]], None]


class Strangers:
    """Finds out who speaks. Where there is no other gateway, nobody is found."""

    def __init__(
        self,
        *,
        database: Database,
        member: Membership,
        live: LiveDevices,
        intake: ReportIntake,
        registration: RegistrationInterface,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._member = member
        self._live = live
        self._intake = intake
        self._registration = registration
        self._now = now
        self._wanted: dict[_Key, list[_Found]] = {}
        self._looked_up: dict[_Address, datetime] = {}
        self._alive: frozenset[GatewayId] = frozenset()
        self._taking: dict[RegistrationId, list[Identified]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Leave what is being looked up unanswered."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def by_registration(self, key: str, peer: Peer, then: Identified) -> None:
        """Find the device whose registration has that key, of which `peer` speaks."""
        self._look_up((key,), lambda found: self._identify(next(iter(found), None), peer, then))

    def by_peer(self, peer: Peer, then: Identified) -> None:
        """Find out who a peer is: by what it proved to be, from whatever address, and in clear by its address."""
        identity = identity_of(peer)
        if identity is not None:
            self._look_up(identity, lambda found: self._identify(next(iter(found), None), peer, then))
            return
        address = stored_address(peer)
        self._look_up(address, lambda found: self._identify(_latest(found, secure=False), peer, then))

    def stray(self, address: Peer, *, secure: bool) -> None:
        """Take over whoever answers here what another gateway of this site asked, or speaks of its secure session."""
        now = self._now()
        stored = stored_address(address)
        if now < self._looked_up.get(stored, now):
            return
        if len(self._looked_up) >= _MOST_WAITING:
            self._looked_up.clear()
        self._looked_up[stored] = now + _QUIET

        def take(found: Sequence[Registration]) -> None:
            there = _latest(found, secure=secure)
            if there is not None and self._member.may_adopt(there.gateway):
                self._take_over(there, lambda _: None)

        self._look_up(stored, take)

    # Looking up.

    def _look_up(self, key: _Key, found: _Found) -> None:
        if self._member.is_alone or len(self._wanted) >= _MOST_WAITING:
            found(())
            return
        self._wanted.setdefault(key, []).append(found)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="strangers")

    async def _read(self) -> None:
        try:
            while self._wanted:
                keys = list(self._wanted)[:_AT_ONCE]
                try:
                    registrations, self._alive = await self._database.read(
                        _seen_as, keys, self._now(), self._member.living
                    )
                except StoreError as error:
                    _log.warning("strangers.not_looked_up", reason=str(error))
                    registrations = {}
                for key in keys:
                    for found in self._wanted.pop(key):
                        found(registrations.get(key, ()))
        finally:
            self._reading = None

    # Taking over.

    def _identify(self, registration: Registration | None, peer: Peer, then: Identified) -> None:
        if registration is None:
            then(None)
            return
        held = self._live.by_registration(registration.registration_id)
        device = LiveDevice(registration) if held is None else held
        holder = registration.gateway
        is_free = self._member.may_adopt(holder) or holder == self._member.gateway_id or holder not in self._alive
        if held is None and is_free and device.may_speak(peer):
            self._take_over(registration, then)
        else:
            then(device)

    def _take_over(self, registration: Registration, then: Identified) -> None:
        registration_id = registration.registration_id
        waiting = self._taking.get(registration_id)
        if waiting is not None:
            waiting.append(then)
            return
        waiting = self._taking[registration_id] = [then]

        def committed(answer: "asyncio.Future[Answer]") -> None:
            del self._taking[registration_id]
            device: LiveDevice | None = None
            if answer.exception() is not None:
                device = LiveDevice(registration)  # what it says counts once the store takes anything
            elif isinstance(taken := answer.result(), Registration):
                device = self._registration.showed_itself(taken)
            for each in waiting:
                each(device)

        showing = Showing(registration_id=registration_id, occurred_at=self._now())
        self._intake.submit(showing).add_done_callback(committed)


def _latest(registrations: Iterable[Registration], *, secure: bool) -> Registration | None:
    """Return the one that was updated last: the others were at this address before."""
    there = [registration for registration in registrations if registration.is_secure is secure]
    return max(there, key=lambda registration: registration.updated_at, default=None)


async def _seen_as(
    tx: Transaction, keys: Sequence[_Key], now: datetime, living: LivingGateways
) -> tuple[Mapping[_Key, Sequence[Registration]], frozenset[GatewayId]]:
    """Return what is registered, by what was seen of it, and which gateways are alive."""
    names = [key for key in keys if isinstance(key, str)]
    begin_with = [
        beginning for key in keys if isinstance(key, tuple) and len(key) == 1 for beginning in ids_begin_with(key[0])
    ]
    addresses = [key for key in keys if isinstance(key, tuple) and len(key) == 2]
    found: dict[_Key, list[Registration]] = defaultdict(list)
    for registration in await holding.secure_named(tx, names, now) if names else ():
        found[registration.endpoint_name].append(registration)
    for registration in await holding.beginning_with(tx, begin_with, now) if begin_with else ():
        found[(key_of(registration.registration_id),)].append(registration)
    for registration in await holding.at_addresses(tx, addresses, now) if addresses else ():
        found[registration.host, registration.port].append(registration)
    return found, frozenset(await living(tx))
