"""How a handshake goes on: a cookie first, then OpenSSL, which is told the key before it asks for it.

Nothing is kept of an address until it has returned a cookie. OpenSSL does not wait, so the key is looked up beforehand:
the identity stands in clear in the message before.
"""

from collections.abc import Callable
from typing import Final

import structlog
from OpenSSL import SSL

from firmcast.coap.dtls.binding import connection, server_context, take_written
from firmcast.coap.dtls.cookies import Cookies
from firmcast.coap.dtls.handshakes import Handshake, HandshakeOwner, Handshakes, KeyState
from firmcast.coap.dtls.layer import Transmit
from firmcast.coap.dtls.parameters import DtlsParameters, HandshakeOutcome
from firmcast.coap.dtls.records import (
    client_random,
    identity_offered,
    in_version_of,
    longest_fragment,
    needed_for_handshake,
    pack_records,
)
from firmcast.coap.events import Peer
from firmcast.coap.timers import Timers

_LONGEST_IDENTITY: Final = 256
_log = structlog.get_logger()

Completed = Callable[[Handshake, SSL.Connection, bytes, float], None]
"""Takes a handshake that has ended well, its connection, the records that it sent last, and now."""


class Handshaking(HandshakeOwner):
    """The handshakes of one server. `look_up(identity)` is answered by a call of `key_found`, now or later."""

    def __init__(
        self,
        *,
        parameters: DtlsParameters,
        timers: Timers,
        transmit: Transmit,
        look_up: Callable[[str], None],
        count: Callable[[HandshakeOutcome], None],
        completed: Completed,
    ) -> None:
        self._parameters = parameters
        self._timers = timers
        self._transmit = transmit
        self._look_up = look_up
        self._count = count
        self._completed = completed
        self._cookies = Cookies(parameters.cookie_life)
        self._context = server_context(self._key_of)
        self._context.set_cookie_generate_callback(lambda _: self._cookies.make(*self._challenged))
        self._context.set_cookie_verify_callback(lambda _, cookie: self._cookies.is_valid(cookie, *self._challenged))
        self._challenged: tuple[Peer, float] = ((), 0.0)
        self._carried_on: Handshake | None = None
        """Whom OpenSSL calls back about: it does so only while one of our calls runs."""
        self._listener: SSL.Connection | None = None
        self.under_way = Handshakes(parameters)
        self._awaiting: dict[str, list[Handshake]] = {}

    def key_found(
        self, identity: str, key: bytes | None, begin_again: Callable[[bytes, Peer], None], now: float
    ) -> None:
        """Go on with the handshakes that wait for the key of `identity`; None where it has none.

        What was begun with another key ends. What came for one that is over meanwhile is given to `begin_again`.
        """
        for handshake in self.under_way.of_identity(identity.encode()):
            if handshake.key_state is KeyState.KNOWN and handshake.key != key:
                self._drop(handshake, HandshakeOutcome.REVOKED)
        for handshake in self._awaiting.pop(identity, ()):
            if self.under_way.get(handshake.address) is not handshake:
                continue
            handshake.key = key
            handshake.key_state = KeyState.KNOWN
            held, handshake.held = handshake.held, []
            for datagram in held:
                if self.under_way.get(handshake.address) is handshake:
                    self._feed(handshake, datagram, now)
                else:
                    begin_again(datagram, handshake.address)

    def give_up(self, identity: str) -> None:
        """Drop the handshakes that wait for the key of `identity`, since it cannot be had now."""
        for handshake in self._awaiting.pop(identity, ()):
            self._drop(handshake, HandshakeOutcome.FAILED)

    def revoke(self, identity: str) -> None:
        """Drop the handshakes of an identity: they have its former key, or may be told it yet."""
        for handshake in self.under_way.of_identity(identity.encode()):
            self._drop(handshake, HandshakeOutcome.REVOKED)

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

    def challenge(self, client_hello: bytes, address: Peer, now: float) -> None:
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
        former = self.under_way.get(address)
        if former is not None:
            self._drop(former, HandshakeOutcome.REPLACED)
        crowded_out = self.under_way.to_give_up_for(address)
        if crowded_out is not None:
            self._drop(crowded_out, HandshakeOutcome.CROWDED_OUT)
        deadline = now + self._parameters.handshake_deadline
        handshake = Handshake(self, opened, address, client_random(client_hello), deadline)
        handshake.longest_message = longest_fragment(client_hello)
        self.under_way.add(handshake)
        self._advance(handshake, now)

    def carry_on(self, handshake: Handshake, received: bytes, now: float) -> None:
        """Take in a datagram of a handshake's address; it waits where the key has to be looked up."""
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
        self.under_way.name(handshake, offered)
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
            flight = self._flush(handshake)
            opened = self._forget(handshake)
            self._count(HandshakeOutcome.COMPLETED)
            self._completed(handshake, opened, flight, now)
        finally:
            self._carried_on = None

    def _key_of(self, identity: bytes) -> bytes | None:
        handshake = self._carried_on
        return handshake.key if handshake is not None and identity == handshake.identity else None

    def _flush(self, handshake: Handshake) -> bytes:
        """Send what a handshake has to say, and return it."""
        flight = take_written(handshake.connection)
        for datagram in pack_records(flight, self._parameters.largest_datagram):
            self._transmit(datagram, handshake.address)
        return flight

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
        self.under_way.remove(handshake)
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


def _readable(identity: bytes) -> str | None:
    """Return an identity as text; None for one that no device has."""
    if not 0 < len(identity) <= _LONGEST_IDENTITY or b"\0" in identity:
        return None
    try:
        return identity.decode()
    except UnicodeDecodeError:
        return None
