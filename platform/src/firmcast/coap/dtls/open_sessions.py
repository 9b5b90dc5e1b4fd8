"""The open sessions of one server: who has which, which has to go for a newer one, and which were silent too long."""

from collections import OrderedDict
from typing import Final

from firmcast.coap.dtls.layer import Ended, Transmit
from firmcast.coap.dtls.parameters import DtlsParameters
from firmcast.coap.dtls.records import client_random
from firmcast.coap.dtls.sessions import SecureSession
from firmcast.coap.events import Peer
from firmcast.coap.timers import Timed, Timers

TOUCH_INTERVAL: Final = 1.0
"""Seconds in which it makes no difference when something was heard of a session."""


class OpenSessions(Timed):
    """Each session by its address, the one longest without a word first. Its own deadline is that of the first."""

    __slots__ = ("_ended", "_of_identity", "_parameters", "_timers", "_transmit", "of_address", "of_peer")

    def __init__(self, parameters: DtlsParameters, timers: Timers, transmit: Transmit, ended: Ended) -> None:
        super().__init__()
        self.of_address: OrderedDict[Peer, SecureSession] = OrderedDict()
        self.of_peer: dict[Peer, SecureSession] = {}
        self._of_identity: dict[str, OrderedDict[Peer, SecureSession]] = {}
        self._parameters = parameters
        self._timers = timers
        self._transmit = transmit
        self._ended = ended

    def __len__(self) -> int:
        return len(self.of_address)

    def of_identity(self, identity: str) -> list[SecureSession]:
        """Return the sessions of an identity."""
        return list(self._of_identity.get(identity, {}).values())

    def identities(self) -> list[str]:
        """Return all who have a session."""
        return list(self._of_identity)

    def add(self, session: SecureSession, now: float) -> None:
        """Take in a session that begins, in the place of the one before at its address, and of one too many."""
        address, identity = session.address, session.peer[4]
        former = self.of_address.get(address)
        if former is not None:
            # The device began again: what it remembers of the former session is nothing.
            self._end(former, now)
        own = self._of_identity.get(identity, OrderedDict())
        if len(own) >= self._parameters.sessions_of_identity:
            self.close(min(own.values(), key=lambda each: each.seen), now)
        elif len(self.of_address) >= self._parameters.session_limit:
            self.close(next(iter(self.of_address.values())), now)
        self.of_address[address] = session
        self.of_peer[session.peer] = session
        self._of_identity.setdefault(identity, OrderedDict())[session.peer] = session
        if self.due is None:
            self._timers.set(self, now + self._parameters.idle_limit)

    def has_begun(self, session: SecureSession, client_hello: bytes, now: float) -> bool:
        """Tell whether a hello is a late copy of the one that a session began with.

        Not for longer than a handshake may last: there are devices whose random numbers come again at each start.
        """
        is_recent = now < session.opened + self._parameters.handshake_deadline
        return is_recent and client_random(client_hello) == session.client_random

    def touch(self, session: SecureSession, now: float) -> None:
        """Note that something was heard of a session."""
        session.seen = now
        self.of_address.move_to_end(session.address)

    def fire(self, now: float) -> None:
        """End the sessions that were silent for too long."""
        limit = self._parameters.idle_limit
        while self.of_address:
            oldest = next(iter(self.of_address.values()))
            if oldest.seen + limit > now:
                self._timers.set(self, oldest.seen + limit)
                return
            self.close(oldest, now)

    def close(self, session: SecureSession, now: float) -> None:
        """End a session, and say so to its peer."""
        self._transmit(session.close(), session.address)
        self._end(session, now)

    def _end(self, session: SecureSession, now: float) -> None:
        if self.of_address.get(session.address) is not session:
            return
        del self.of_address[session.address]
        del self.of_peer[session.peer]
        identity = session.peer[4]
        own = self._of_identity[identity]
        del own[session.peer]
        if not own:
            del self._of_identity[identity]
        self._ended(session.peer, now)
