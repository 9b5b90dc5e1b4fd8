"""The client of secure sessions, without I/O: a message to a server that has no session yet begins a handshake."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from OpenSSL import SSL

from firmcast.coap.dtls.binding import RecordLayer, SessionEndedError, client_context, connection, take_written
from firmcast.coap.dtls.layer import Deliver, Ended, Transmit
from firmcast.coap.dtls.parameters import DtlsParameters
from firmcast.coap.dtls.peers import address_of, secure_peer
from firmcast.coap.dtls.records import pack_records
from firmcast.coap.events import Peer
from firmcast.coap.timers import Timed, Timers
from firmcast.coap.turns import Turn, take_each

_MOST_QUEUED: Final = 16


class _Association(Timed):
    """What there is between the client and one server: a handshake, and then a session."""

    __slots__ = ("address", "client", "connection", "peer", "queued", "records")

    def __init__(self, client: "DtlsClient", connection: SSL.Connection, peer: Peer) -> None:
        super().__init__()
        self.client = client
        self.connection = connection
        self.peer = peer
        self.address = address_of(peer)
        self.records: RecordLayer | None = None
        """None as long as the handshake lasts."""
        self.queued: list[bytes] = []

    def fire(self, now: float) -> None:
        """Send again what was lost."""
        self.client.handshake_due(self, now)


class DtlsClient:
    """All sessions of one socket; they have one identity and one key. Raises ValueError for one that cannot be sent."""

    def __init__(
        self,
        *,
        identity: str,
        key: bytes,
        deliver: Deliver,
        transmit: Transmit,
        ended: Ended,
        parameters: DtlsParameters | None = None,
    ) -> None:
        self._identity = identity
        self._deliver = deliver
        self._transmit = transmit
        self._ended = ended
        self._parameters = parameters or DtlsParameters()
        self._context = client_context(identity.encode(), key)
        self._associations: dict[Peer, _Association] = {}
        self._timers = Timers()

    def peer(self, address: Peer) -> Peer:
        """Return the server at a socket address as a peer of this client."""
        return secure_peer(address, self._identity)

    def send(self, message: bytes, peer: Peer, now: float, /) -> bool:
        """Send a message, after a handshake where one is needed; it is lost where too many wait for that."""
        association = self._associations.get(peer)
        if association is None:
            association = self._begin(peer, now)
        if association.records is None:
            if len(association.queued) < _MOST_QUEUED:
                association.queued.append(message)
            return True
        try:
            self._transmit(association.records.write(message), association.address)
        except SessionEndedError:
            self._end(association, now)
            return False
        return True

    def send_all(self, messages: Iterable[tuple[bytes, Peer]], now: float) -> list[Peer]:
        """Send messages; return those peers with whom there was a session that the server has ended."""
        return [peer for message, peer in messages if not self.send(message, peer, now)]

    def has_session(self, peer: Peer) -> bool:
        """Tell whether there is a session with a server, or a handshake for one."""
        return peer in self._associations

    def longest_message(self, _peer: Peer) -> int | None:
        """Return None: a server says nothing of it."""
        return None

    def receive_all(self, datagrams: Turn, now: float) -> None:
        """Take in the datagrams of a turn. Never raises on their content."""
        take_each(self.receive, datagrams, now)

    def receive(self, datagram: bytes, address: Peer, now: float) -> None:
        """Take in a datagram. Never raises on its content."""
        association = self._associations.get(self.peer(address))
        if association is None or not datagram:
            return
        if association.records is None:
            association.connection.bio_write(datagram)
            self._advance(association, now)
            return
        try:
            messages = association.records.messages(datagram)
        except SessionEndedError:
            self._end(association, now)
            return
        for message in messages:
            self._deliver(message, association.peer, now)
        self._flush(association)

    def forget(self, peer: Peer, now: float) -> None:
        """End what there is with a server without a word; the next message begins a handshake."""
        association = self._associations.pop(peer, None)
        if association is not None:
            self._timers.clear(association)
            self._ended(peer, now)

    def end_session(self, peer: Peer, now: float) -> None:
        """End the session with a server, if there is one, and say so."""
        association = self._associations.get(peer)
        if association is not None:
            self._say_farewell(association)
            self._end(association, now)

    def close(self, _now: float) -> None:
        """End every session, and say so."""
        for association in self._associations.values():
            self._say_farewell(association)
        self._associations.clear()

    def next_timer(self) -> float | None:
        """When `handle_timer` is wanted next, or None when nothing waits."""
        return self._timers.next_due()

    def handle_timer(self, now: float) -> None:
        """Do everything that is due."""
        self._timers.run(now)

    def handshake_due(self, association: _Association, now: float) -> None:
        """Send the last flight again; OpenSSL gives up after some tries."""
        try:
            association.connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self._end(association, now)
            return
        self._flush(association)
        self._wait(association, now)

    def _begin(self, peer: Peer, now: float) -> _Association:
        opened = connection(self._context, self._parameters.largest_datagram)
        opened.set_connect_state()
        association = _Association(self, opened, peer)
        self._associations[peer] = association
        self._advance(association, now)
        return association

    def _advance(self, association: _Association, now: float) -> None:
        try:
            association.connection.do_handshake()
        except SSL.WantReadError:
            self._flush(association)
            self._wait(association, now)
            return
        except SSL.Error:
            self._flush(association)
            self._end(association, now)
            return
        self._flush(association)
        self._timers.clear(association)
        association.records = RecordLayer(association.connection)
        queued, association.queued = association.queued, []
        for message in queued:
            self.send(message, association.peer, now)

    def _say_farewell(self, association: _Association) -> None:
        if association.records is not None:
            with suppress(SSL.Error):
                association.connection.shutdown()
            self._flush(association)

    def _flush(self, association: _Association) -> None:
        for datagram in pack_records(take_written(association.connection), self._parameters.largest_datagram):
            self._transmit(datagram, association.address)

    def _wait(self, association: _Association, now: float) -> None:
        pause = association.connection.DTLSv1_get_timeout()
        if pause is not None:
            self._timers.set(association, now + pause)

    def _end(self, association: _Association, now: float) -> None:
        if self._associations.get(association.peer) is association:
            self.forget(association.peer, now)
