"""The server of secure sessions, without I/O: datagrams and `now` in, datagrams and messages out by two callables.

Here it is told whose a datagram is. Nothing is kept of an address until it has returned a cookie; then a handshake, for
a bounded time, in a bounded number (`handshaking`); and only when it ends well a session (`open_sessions`).
"""

import hmac
import secrets
from collections.abc import Callable, Iterable
from functools import partial

from OpenSSL import SSL

from firmcast.coap.dtls.block_sessions import BlockSession
from firmcast.coap.dtls.handshakes import Handshake
from firmcast.coap.dtls.handshaking import Handshaking
from firmcast.coap.dtls.layer import Deliver, Ended, Transmit
from firmcast.coap.dtls.open_sessions import TOUCH_INTERVAL, OpenSessions
from firmcast.coap.dtls.parameters import DtlsParameters, HandshakeOutcome
from firmcast.coap.dtls.peers import secure_peer
from firmcast.coap.dtls.protection import BLOCK_SUITE, LARGEST_MESSAGE, server_keys
from firmcast.coap.dtls.records import MESSAGE, client_random, is_client_hello, is_single_record, pack_records
from firmcast.coap.dtls.sessions import SecureSession
from firmcast.coap.events import Peer
from firmcast.coap.timers import Timers
from firmcast.coap.turns import Turn, take_each


class DtlsServer:
    """All sessions of one socket. `look_up(identity)` is answered by a call of `key_found`, now or later."""

    def __init__(
        self,
        *,
        deliver: Deliver,
        transmit: Transmit,
        ended: Ended,
        look_up: Callable[[str], None],
        count: Callable[[HandshakeOutcome], None],
        stray: Callable[[Peer], None] | None = None,
        parameters: DtlsParameters | None = None,
    ) -> None:
        """Bind the parts; `stray` is called with the address of whoever speaks through a session that is not here."""
        self._deliver = deliver
        self._transmit = transmit
        self._count = count
        self._stray = stray
        self._parameters = parameters or DtlsParameters()
        self._marking = secrets.token_bytes(32)
        self._timers = Timers()
        self._sessions = OpenSessions(self._parameters, self._timers, transmit, ended)
        self._handshaking = Handshaking(
            parameters=self._parameters,
            timers=self._timers,
            transmit=transmit,
            look_up=look_up,
            count=count,
            completed=self._begin_session,
        )

    # What the driver calls.

    def receive_all(self, datagrams: Turn, now: float) -> None:
        """Take in the datagrams of a turn. Never raises on their content.

        All messages are opened before the first is delivered: a processor does one thing many times faster than two in
        turns. What is no message comes in between, since it may end a session: what was said before is told before.
        """
        try:
            while True:
                opened, other = self._open_messages(datagrams, now)
                try:
                    take_each(self._deliver, iter(opened), now)
                finally:
                    if other is not None:
                        self._receive_other(*other, now)
                if other is None:
                    return
        except Exception:
            # A fault over one of them costs none of the others.
            self.receive_all(datagrams, now)
            raise

    def _open_messages(
        self, datagrams: Turn, now: float
    ) -> tuple[list[tuple[bytes, Peer]], tuple[bytes, Peer, SecureSession | None] | None]:
        """Return the messages, each with its peer, up to a datagram that holds none; and that, None at the end."""
        sessions = self._sessions.of_address
        opened: list[tuple[bytes, Peer]] = []
        long_ago = now - TOUCH_INTERVAL
        for datagram, address in datagrams:
            session = sessions.get(address)
            message = None if session is None else session.open_message(datagram)
            if session is None or not message:
                return opened, (datagram, address, session)
            if session.seen < long_ago:
                self._sessions.touch(session, now)
            opened.append((message, session.peer))
        return opened, None

    def receive(self, datagram: bytes, address: Peer, now: float) -> None:
        """Take in a datagram. Never raises on its content."""
        self.receive_all(iter([(datagram, address)]), now)

    def _receive_other(self, datagram: bytes, address: Peer, session: SecureSession | None, now: float) -> None:
        """Take in what is not a single message of a session's peer that counts."""
        if session is not None and datagram and datagram[0] == MESSAGE:
            if not is_single_record(datagram):
                self._take(session, datagram, now)
            return
        handshake = self._handshaking.under_way.get(address)
        if is_client_hello(datagram):
            if session is not None and self._sessions.has_begun(session, datagram, now):
                return
            if handshake is None or client_random(datagram) != handshake.random:
                self._handshaking.challenge(datagram, address, now)
                return
        elif not datagram or (handshake is None and session is None):
            self._count(HandshakeOutcome.STRAY)
            if self._stray is not None and datagram and datagram[0] == MESSAGE:
                self._stray(address)
            return
        # Whose a record is, its keys tell: the peer may end its session, or repeat the end of its handshake, meanwhile.
        if (session is None or not self._take(session, datagram, now)) and handshake is not None:
            self._handshaking.carry_on(handshake, datagram, now)

    def send_all(self, messages: Iterable[tuple[bytes, Peer]], _now: float) -> list[Peer]:
        """Send messages; return the peers with whom there is no session any more, or none that takes so much.

        All of them are sealed before the first is sent, for the same reason.
        """
        of_peer = self._sessions.of_peer
        sealed: list[tuple[bytes, Peer]] = []
        unreachable: list[Peer] = []
        for message, peer in messages:
            session = of_peer.get(peer)
            if session is None or len(message) > (session.longest_message or LARGEST_MESSAGE):
                unreachable.append(peer)
            else:
                sealed.append((session.write(message), session.address))
        transmit = self._transmit
        for datagram, address in sealed:
            transmit(datagram, address)
        return unreachable

    def send(self, message: bytes, peer: Peer, now: float, /) -> bool:
        """Send a message; False where there is no session with this peer any more, or none that takes so much."""
        return not self.send_all([(message, peer)], now)

    def has_session(self, peer: Peer) -> bool:
        """Tell whether there is a session with a peer."""
        return peer in self._sessions.of_peer

    def longest_message(self, peer: Peer) -> int | None:
        """Return how long a message a peer takes at the most, None where it did not say."""
        session = self._sessions.of_peer.get(peer)
        return None if session is None else session.longest_message

    def key_found(self, identity: str, key: bytes | None, now: float) -> None:
        """Go on with the handshakes that wait for the key of `identity`; None where it has none.

        What was begun with another key ends: that it was replaced went unheard.
        """
        mark = self._mark(key)
        for session in self._sessions.of_identity(identity):
            if session.key_mark != mark:
                self._sessions.close(session, now)
        self._handshaking.key_found(identity, key, partial(self.receive, now=now), now)

    def give_up(self, identity: str) -> None:
        """Drop the handshakes that wait for the key of `identity`, since it cannot be had now."""
        self._handshaking.give_up(identity)

    def end_identity(self, identity: str, now: float) -> None:
        """End the sessions of an identity, and say so to whoever has them; its key is not what it was.

        Handshakes under way have the former key, or may be told it yet: none of them becomes a session.
        """
        self._handshaking.revoke(identity)
        for session in self._sessions.of_identity(identity):
            self._sessions.close(session, now)

    def identities(self) -> list[str]:
        """Return who has a session, or a handshake under way."""
        handshaking = (identity.decode() for identity in self._handshaking.under_way.identities())
        return list({*self._sessions.identities(), *handshaking})

    def end_session(self, peer: Peer, now: float) -> None:
        """End the session with a peer, if there is one, and say so."""
        session = self._sessions.of_peer.get(peer)
        if session is not None:
            self._sessions.close(session, now)

    def close(self, now: float) -> None:
        """End every session, and say so: a device then need not wait in vain to find out."""
        for session in list(self._sessions.of_address.values()):
            self._sessions.close(session, now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is wanted next, or None when nothing waits."""
        return self._timers.next_due()

    def handle_timer(self, now: float) -> None:
        """Do everything that is due."""
        self._timers.run(now)

    @property
    def session_count(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    @property
    def half_open_count(self) -> int:
        """How many handshakes are under way."""
        return len(self._handshaking.under_way)

    # Sessions.

    def _begin_session(self, handshake: Handshake, opened: SSL.Connection, flight: bytes, now: float) -> None:
        address = handshake.address
        peer = secure_peer(address, handshake.identity.decode())
        keys = server_keys(opened)
        kind = BlockSession if keys.suite == BLOCK_SUITE else SecureSession
        session = kind(keys, flight, address, peer, now, key_mark=self._mark(handshake.key))
        session.longest_message = handshake.longest_message
        session.client_random = handshake.random
        self._sessions.add(session, now)

    def _mark(self, key: bytes | None) -> bytes:
        # A session does not keep the key: of its memory, nobody learns how to open another one.
        return b"" if key is None else hmac.digest(self._marking, key, "sha256")

    def _take(self, session: SecureSession, datagram: bytes, now: float) -> bool:
        """Take in a datagram of several records, or of one that is no message; return whether any was of the peer."""
        messages, answers, heard, ended = session.take(datagram)
        if heard:
            self._sessions.touch(session, now)
        for record in pack_records(answers, self._parameters.largest_datagram):
            self._transmit(record, session.address)
        for message in messages:
            self._deliver(message, session.peer, now)
        if ended:
            self._sessions.close(session, now)
        return heard
