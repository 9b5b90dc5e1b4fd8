"""A secure session is a finished handshake: records in, messages out, and the other way round."""

from OpenSSL import SSL

from firmcast.coap.dtls.binding import RecordLayer, SessionEndedError, take_written
from firmcast.coap.dtls.records import is_single_record
from firmcast.coap.events import Peer


class SecureSession:
    """One session with one peer; `seen` is when something of it was last heard that only its peer can have said."""

    __slots__ = ("address", "connection", "open", "peer", "read", "seen", "write")

    def __init__(self, connection: SSL.Connection, address: Peer, peer: Peer, now: float) -> None:
        self.connection = connection
        self.address = address
        self.peer = peer
        self.seen = now
        records = RecordLayer(connection)
        self.open = records.open
        self.read = records.read
        self.write = records.write

    def messages(self, datagram: bytes) -> list[bytes]:
        """Return the messages in a datagram; what does not verify, or came before, is passed over.

        Raises SessionEndedError.
        """
        message = self.open(datagram)
        if message is None:
            return []
        return [message] if is_single_record(datagram) else [message, *self.buffered()]

    def buffered(self) -> list[bytes]:
        """Return the messages that have come and were not read yet. Raises SessionEndedError."""
        messages: list[bytes] = []
        try:
            while (message := self.read()) is not None:
                messages.append(message)
        except SessionEndedError:
            # What ended it is told again at the next datagram; these came before.
            if not messages:
                raise
        return messages

    def take_written(self) -> bytes:
        """Return records that the session itself has to send, such as an alert."""
        return take_written(self.connection)

    def close(self) -> bytes:
        """End the session; return the records that say so to the peer."""
        try:
            self.connection.shutdown()
        except SSL.Error:
            return b""
        return take_written(self.connection)
