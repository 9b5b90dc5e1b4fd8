"""A connected socket as the load uses it, in clear or through a DTLS session."""

import socket
from dataclasses import replace

from OpenSSL import SSL

from firmcast.coap.dtls.binding import client_context, connection, take_written
from firmcast.coap.dtls.protection import RecordProtection, server_keys
from firmcast.coap.dtls.records import pack_records, split_records

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
    """The same through a session, which is made at once. It is a light one: the subject has the same caches."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        session = connection(client_context(IDENTITY.encode(), KEY), _LARGEST)
        session.set_connect_state()
        said = b""
        while True:
            try:
                session.do_handshake()
            except SSL.WantReadError:
                flight = take_written(session)
                for datagram in pack_records(flight, _LARGEST):
                    self.sock.send(datagram)
                said = flight or said
                session.bio_write(sock.recv(4096))
            else:
                break
        keys = server_keys(session)
        own = replace(
            keys, own_key=keys.peer_key, own_salt=keys.peer_salt, peer_key=keys.own_key, peer_salt=keys.own_salt
        )
        self._records = RecordProtection(own, split_records(said)[-1])

    def wrap(self, message: bytes) -> bytes:
        """Return the record of a message."""
        return self._records.write(message)

    def unwrap(self, datagram: bytes) -> bytes:
        """Return the message of a record."""
        return self._records.open(datagram) or b""
