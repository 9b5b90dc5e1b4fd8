"""The server of secure sessions, without I/O: datagrams and `now` in, datagrams and messages out by two callables.

Nothing is kept of an address until it has returned a cookie; then a handshake, for a bounded time, in a bounded number;
and only when it ends well a session. The key is looked up before OpenSSL asks for it, since OpenSSL does not wait: the
identity stands in clear in the message before.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from OpenSSL import SSL

from firmcast.coap.dtls.binding import connection, server_context, take_written
from firmcast.coap.dtls.cookies import Cookies
from firmcast.coap.dtls.handshakes import Handshake, HandshakeOwner, Handshakes, KeyState
from firmcast.coap.dtls.layer import Deliver, Ended, Transmit
from firmcast.coap.dtls.parameters import DtlsParameters, HandshakeOutcome
from firmcast.coap.dtls.peers import secure_peer
from firmcast.coap.dtls.protection import LARGEST_MESSAGE, server_keys
from firmcast.coap.dtls.records import (
    MESSAGE,
    client_random,
    identity_offered,
    in_version_of,
    is_client_hello,
    is_single_record,
    longest_fragment,
    needed_for_handshake,
    pack_records,
)
from firmcast.coap.dtls.sessions import SecureSession
from firmcast.coap.events import Peer
from firmcast.coap.timers import Timed, Timers
from firmcast.coap.turns import Turn, take_each

_LONGEST_IDENTITY: Final = 256
_TOUCH_INTERVAL: Final = 1.0
_log = structlog.get_logger()


class _IdleWatch(Timed):
    """Looks for sessions of which nothing is heard any more."""

    __slots__ = ("_server",)

    def __init__(self, server: "DtlsServer") -> None:
        super().__init__()
        self._server = server

    def fire(self, now: float) -> None:
        """End them."""
        self._server.end_idle(now)


class DtlsServer(HandshakeOwner):
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
        self._ended = ended
        self._look_up = look_up
        self._count = count
        self._stray = stray
        self._parameters = parameters or DtlsParameters()
        self._cookies = Cookies(self._parameters.cookie_life)
        self._context = server_context(self._key_of)
        self._context.set_cookie_generate_callback(lambda _: self._cookies.make(*self._challenged))
        self._context.set_cookie_verify_callback(lambda _, cookie: self._cookies.is_valid(cookie, *self._challenged))
        self._challenged: tuple[Peer, float] = ((), 0.0)
        self._carried_on: Handshake | None = None
        """Whom OpenSSL calls back about: it does so only while one of our calls runs."""
        self._listener: SSL.Connection | None = None
        self._marking = secrets.token_bytes(32)
        self._handshakes = Handshakes(self._parameters)
        self._awaiting: dict[str, list[Handshake]] = {}
        self._sessions: OrderedDict[Peer, SecureSession] = OrderedDict()
        self._of_peer: dict[Peer, SecureSession] = {}
        self._of_identity: dict[str, OrderedDict[Peer, SecureSession]] = {}
        self._timers = Timers()
        self._idle_watch = _IdleWatch(self)

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
        sessions = self._sessions
        opened: list[tuple[bytes, Peer]] = []
        long_ago = now - _TOUCH_INTERVAL
        for datagram, address in datagrams:
            session = sessions.get(address)
            message = None if session is None else session.open_message(datagram)
            if session is None or not message:
                return opened, (datagram, address, session)
            if session.seen < long_ago:
                self._touch(session, now)
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
        handshake = self._handshakes.get(address)
        if is_client_hello(datagram):
            if session is not None and self._has_begun(session, datagram, now):
                return
            if handshake is None or client_random(datagram) != handshake.random:
                self._challenge(datagram, address, now)
                return
        elif not datagram or (handshake is None and session is None):
            self._count(HandshakeOutcome.STRAY)
            if self._stray is not None and datagram and datagram[0] == MESSAGE:
                self._stray(address)
            return
        # Whose a record is, its keys tell: the peer may end its session, or repeat the end of its handshake, meanwhile.
        if (session is None or not self._take(session, datagram, now)) and handshake is not None:
            self._carry_on(handshake, datagram, now)

    def send_all(self, messages: Iterable[tuple[bytes, Peer]], _now: float) -> list[Peer]:
        """Send messages; return the peers with whom there is no session any more, or none that takes so much.

        All of them are sealed before the first is sent, for the same reason.
        """
        of_peer = self._of_peer
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
        return peer in self._of_peer

    def longest_message(self, peer: Peer) -> int | None:
        """Return how long a message a peer takes at the most, None where it did not say."""
        session = self._of_peer.get(peer)
        return None if session is None else session.longest_message

    def key_found(self, identity: str, key: bytes | None, now: float) -> None:
        """Go on with the handshakes that wait for the key of `identity`; None where it has none.

        What was begun with another key ends: that it was replaced went unheard.
        """
        self._end_of_another_key(identity, key, now)
        for handshake in self._awaiting.pop(identity, ()):
            if self._handshakes.get(handshake.address) is not handshake:
                continue
            handshake.key = key
            handshake.key_state = KeyState.KNOWN
            held, handshake.held = handshake.held, []
            for datagram in held:
                if self._handshakes.get(handshake.address) is handshake:
                    self._feed(handshake, datagram, now)
                else:
                    self.receive(datagram, handshake.address, now)

    def give_up(self, identity: str) -> None:
        """Drop the handshakes that wait for the key of `identity`, since it cannot be had now."""
        for handshake in self._awaiting.pop(identity, ()):
            self._drop(handshake, HandshakeOutcome.FAILED)

    def end_identity(self, identity: str, now: float) -> None:
        """End the sessions of an identity, and say so to whoever has them; its key is not what it was.

        Handshakes under way have the former key, or may be told it yet: none of them becomes a session.
        """
        for handshake in self._handshakes.of_identity(identity.encode()):
            self._drop(handshake, HandshakeOutcome.REVOKED)
        for session in list(self._of_identity.get(identity, {}).values()):
            self._close(session, now)

    def identities(self) -> list[str]:
        """Return who has a session, or a handshake under way."""
        return list({*self._of_identity, *(each.decode() for each in self._handshakes.identities())})

    def end_session(self, peer: Peer, now: float) -> None:
        """End the session with a peer, if there is one, and say so."""
        session = self._of_peer.get(peer)
        if session is not None:
            self._close(session, now)

    def close(self, now: float) -> None:
        """End every session, and say so: a device then need not wait in vain to find out."""
        for session in list(self._sessions.values()):
            self._close(session, now)

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
        return len(self._handshakes)

    def _end_of_another_key(self, identity: str, key: bytes | None, now: float) -> None:
        for handshake in self._handshakes.of_identity(identity.encode()):
            if handshake.key_state is KeyState.KNOWN and handshake.key != key:
                self._drop(handshake, HandshakeOutcome.REVOKED)
        mark = self._mark(key)
        for session in list(self._of_identity.get(identity, {}).values()):
            if session.key_mark != mark:
                self._close(session, now)

    def _mark(self, key: bytes | None) -> bytes:
        # A session does not keep the key: of its memory, nobody learns how to open another one.
        return b"" if key is None else hmac.digest(self._marking, key, "sha256")

    # Handshakes.

    def handshake_due(self, handshake: Handshake, now: float) -> None:
        """Send the last flight of a handshake again, or give it up."""
        if now >= handshake.deadline:
            identity = handshake.identity.decode(errors="replace")
            _log.info("dtls.handshake_stalled", host=handshake.address[0], identity=identity)
            self._drop(handshake, HandshakeOutcome.STALLED)
            return
        try:
            handshake.connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self._drop(handshake, HandshakeOutcome.STALLED)
            return
        self._flush(handshake)
        self._wait(handshake, now)

    def _challenge(self, client_hello: bytes, address: Peer, now: float) -> None:
        """Answer a hello without a valid cookie by one; begin a handshake with one that has it."""
        # One connection serves all hellos until one of them turns it into a handshake.
        listener = self._listener or connection(self._context, self._parameters.largest_datagram)
        self._listener = None
        listener.set_accept_state()
        self._challenged = address, now
        listener.bio_write(client_hello)
        try:
            listener.DTLSv1_listen()
        except SSL.WantReadError:
            answer = take_written(listener)
            if answer and len(answer) <= len(client_hello):
                self._listener = listener
                self._transmit(in_version_of(client_hello, answer), address)
                self._count(HandshakeOutcome.CHALLENGED)
            else:
                self._count(HandshakeOutcome.STRAY)
        except SSL.Error:
            self._count(HandshakeOutcome.STRAY)
        else:
            self._begin(listener, client_hello, address, now)

    def _begin(self, opened: SSL.Connection, client_hello: bytes, address: Peer, now: float) -> None:
        former = self._handshakes.get(address)
        if former is not None:
            self._drop(former, HandshakeOutcome.REPLACED)
        crowded_out = self._handshakes.to_give_up_for(address)
        if crowded_out is not None:
            self._drop(crowded_out, HandshakeOutcome.CROWDED_OUT)
        deadline = now + self._parameters.handshake_deadline
        handshake = Handshake(self, opened, address, client_random(client_hello), deadline)
        handshake.longest_message = longest_fragment(client_hello)
        self._handshakes.add(handshake)
        self._advance(handshake, now)

    def _carry_on(self, handshake: Handshake, received: bytes, now: float) -> None:
        datagram = needed_for_handshake(received)
        if not datagram:
            return
        if handshake.key_state is KeyState.AWAITED:
            if len(handshake.held) < self._parameters.held_datagrams:
                handshake.held.append(datagram)
            return
        offered = identity_offered(datagram) if handshake.key_state is KeyState.UNASKED else None
        identity = None if offered is None else _readable(offered)
        if offered is None or identity is None:
            if offered is not None:
                handshake.key_state = KeyState.KNOWN
            self._feed(handshake, datagram, now)
            return
        self._handshakes.name(handshake, offered)
        handshake.key_state = KeyState.AWAITED
        handshake.held.append(datagram)
        self._awaiting.setdefault(identity, []).append(handshake)
        if len(self._awaiting[identity]) == 1:
            self._look_up(identity)

    def _feed(self, handshake: Handshake, datagram: bytes, now: float) -> None:
        # OpenSSL keeps what comes before its time: so many datagrams, and the length that their messages may claim to
        # have (`needed_for_handshake`), bound what it can be made to keep.
        handshake.taken += 1
        if handshake.taken > self._parameters.datagrams_of_handshake:
            return
        handshake.connection.bio_write(datagram)
        self._advance(handshake, now)

    def _advance(self, handshake: Handshake, now: float) -> None:
        self._carried_on = handshake
        try:
            handshake.connection.do_handshake()
        except SSL.WantReadError:
            self._flush(handshake)
            self._wait(handshake, now)
        except SSL.Error:
            self._flush(handshake)
            unknown = handshake.key_state is not KeyState.UNASKED and handshake.key is None
            self._drop(handshake, HandshakeOutcome.UNKNOWN_IDENTITY if unknown else HandshakeOutcome.FAILED)
        else:
            self._complete(handshake, self._flush(handshake), now)
        finally:
            self._carried_on = None

    def _key_of(self, identity: bytes) -> bytes | None:
        handshake = self._carried_on
        return handshake.key if handshake is not None and identity == handshake.identity else None

    def _flush(self, handshake: Handshake) -> bytes:
        """Send what a handshake has to say, and return it."""
        flight = take_written(handshake.connection)
        self._transmit_records(flight, handshake.address)
        return flight

    def _transmit_records(self, records: bytes, address: Peer) -> None:
        for datagram in pack_records(records, self._parameters.largest_datagram):
            self._transmit(datagram, address)

    def _wait(self, handshake: Handshake, now: float) -> None:
        pause = handshake.connection.DTLSv1_get_timeout()
        due = handshake.deadline if pause is None else min(handshake.deadline, now + pause)
        self._timers.set(handshake, due)

    def _drop(self, handshake: Handshake, outcome: HandshakeOutcome) -> None:
        self._forget(handshake)
        self._count(outcome)

    def _forget(self, handshake: Handshake) -> SSL.Connection:
        """Keep nothing more of a handshake, and return its connection, which takes most of the room."""
        self._timers.clear(handshake)
        self._handshakes.remove(handshake)
        opened = handshake.connection
        # The heap of the timers lets go of the rest when its time comes.
        del handshake.connection
        if handshake.key_state is KeyState.AWAITED:
            # The look-up may fail to answer: whoever comes next under this identity asks again.
            waiting = self._awaiting.get(handshake.identity.decode(), [])
            if handshake in waiting:
                waiting.remove(handshake)
            if not waiting:
                self._awaiting.pop(handshake.identity.decode(), None)
        return opened

    # Sessions.

    def _complete(self, handshake: Handshake, flight: bytes, now: float) -> None:
        keys = server_keys(self._forget(handshake))
        self._count(HandshakeOutcome.COMPLETED)
        address, identity = handshake.address, handshake.identity.decode()
        former = self._sessions.get(address)
        if former is not None:
            # The device began again: what it remembers of the former session is nothing.
            self._end(former, now)
        own = self._of_identity.get(identity, OrderedDict())
        if len(own) >= self._parameters.sessions_of_identity:
            self._close(min(own.values(), key=lambda each: each.seen), now)
        elif len(self._sessions) >= self._parameters.session_limit:
            self._close(next(iter(self._sessions.values())), now)
        peer = secure_peer(address, identity)
        session = SecureSession(keys, flight, address, peer, now, key_mark=self._mark(handshake.key))
        session.longest_message = handshake.longest_message
        session.client_random = handshake.random
        self._sessions[address] = session
        self._of_peer[session.peer] = session
        self._of_identity.setdefault(identity, OrderedDict())[session.peer] = session
        if self._idle_watch.due is None:
            self._timers.set(self._idle_watch, now + self._parameters.idle_limit)

    def _has_begun(self, session: SecureSession, client_hello: bytes, now: float) -> bool:
        """Tell whether a hello is a late copy of the one that a session began with.

        Not for longer than a handshake may last: there are devices whose random numbers come again at each start.
        """
        is_recent = now < session.opened + self._parameters.handshake_deadline
        return is_recent and client_random(client_hello) == session.client_random

    def _take(self, session: SecureSession, datagram: bytes, now: float) -> bool:
        """Take in a datagram of several records, or of one that is no message; return whether any was of the peer."""
        messages, answers, heard, ended = session.take(datagram)
        if heard:
            self._touch(session, now)
        self._transmit_records(answers, session.address)
        for message in messages:
            self._deliver(message, session.peer, now)
        if ended:
            self._close(session, now)
        return heard

    def _touch(self, session: SecureSession, now: float) -> None:
        session.seen = now
        self._sessions.move_to_end(session.address)

    def end_idle(self, now: float) -> None:
        """End the sessions that were silent for too long."""
        limit = self._parameters.idle_limit
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if oldest.seen + limit > now:
                self._timers.set(self._idle_watch, oldest.seen + limit)
                return
            self._close(oldest, now)

    def _close(self, session: SecureSession, now: float) -> None:
        self._transmit(session.close(), session.address)
        self._end(session, now)

    def _end(self, session: SecureSession, now: float) -> None:
        if self._sessions.get(session.address) is not session:
            return
        del self._sessions[session.address]
        del self._of_peer[session.peer]
        identity = session.peer[4]
        own = self._of_identity[identity]
        del own[session.peer]
        if not own:
            del self._of_identity[identity]
        self._ended(session.peer, now)


def _readable(identity: bytes) -> str | None:
    """Return an identity as text; None for one that no device has."""
    if not 0 < len(identity) <= _LONGEST_IDENTITY or b"\0" in identity:
        return None
    try:
        return identity.decode()
    except UnicodeDecodeError:
        return None
