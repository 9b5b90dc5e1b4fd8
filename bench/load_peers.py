"""A connected socket as the load uses it, in clear or through a DTLS session."""

import socket

from OpenSSL import SSL

from firmcast.coap.dtls.binding import RecordLayer, client_context, connection, take_written
from firmcast.coap.dtls.records import pack_records

IDENTITY = "bench"
KEY = bytes(range(16))
_LARGEST = 1232


class ClearPeer:
    """Sends messages as they are. `sock` moves datagrams; `wrap` and `unwrap` make them of messages and back."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def wrap(self, message: bytes) -> bytes:
        """Return the datagram of a message."""
        return message

    def unwrap(self, datagram: bytes) -> bytes:
        """Return the message of a datagram."""
        return datagram


class SecurePeer(ClearPeer):
    """The same through a session, which is made at once."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        session = connection(client_context(IDENTITY.encode(), KEY), _LARGEST)
        session.set_connect_state()
        while True:
            try:
                session.do_handshake()
            except SSL.WantReadError:
                self._flush(session)
                session.bio_write(sock.recv(4096))
            else:
                self._flush(session)
                break
        self._records = RecordLayer(session)

    def wrap(self, message: bytes) -> bytes:
        """Return the record of a message."""
        return self._records.write(message)

    def unwrap(self, datagram: bytes) -> bytes:
        """Return the message of a record."""
        return self._records.open(datagram) or b""

    def _flush(self, session: SSL.Connection) -> None:
        for datagram in pack_records(take_written(session), _LARGEST):
            self.sock.send(datagram)
