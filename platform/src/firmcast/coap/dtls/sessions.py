"""A secure session is a finished handshake: records in, messages out, and the other way round."""

from typing import Final

from OpenSSL import SSL

from firmcast.coap.dtls.binding import take_written
from firmcast.coap.dtls.records import is_single_record
from firmcast.coap.events import Peer

_LARGEST_MESSAGE: Final = 1 << 14


class SessionEndedError(Exception):
    """The peer closed the session, or broke it."""


class SecureSession:
    """One session with one peer; `seen` is when something of it was last heard that only its peer can have said."""

    __slots__ = ("address", "connection", "peer", "seen")

    def __init__(self, connection: SSL.Connection, address: Peer, peer: Peer, now: float) -> None:
        self.connection = connection
        self.address = address
        self.peer = peer
        self.seen = now

    def read(self, datagram: bytes) -> list[bytes]:
        """Return the messages in a datagram; what does not verify, or came before, is passed over.

        Raises SessionEndedError.
        """
        connection = self.connection
        connection.bio_write(datagram)
        try:
            messages = [connection.recv(_LARGEST_MESSAGE)]
        except SSL.WantReadError:
            return []
        except SSL.Error as error:
            raise SessionEndedError from error
        return messages if is_single_record(datagram) else messages + self.buffered()

    def buffered(self) -> list[bytes]:
        """Return the messages that have come and were not read yet. Raises SessionEndedError."""
        messages = []
        try:
            while True:
                messages.append(self.connection.recv(_LARGEST_MESSAGE))
        except SSL.WantReadError:
            return messages
        except SSL.Error as error:
            if messages:
                # What ended it is told at the next datagram; these came before.
                return messages
            raise SessionEndedError from error

    def write(self, message: bytes) -> bytes:
        """Return the record of a message. Raises SessionEndedError."""
        try:
            self.connection.send(message)
            return self.connection.bio_read(_LARGEST_MESSAGE)
        except SSL.Error as error:
            raise SessionEndedError from error

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
