"""A secure session of the server is a finished handshake: records in, messages out, and the other way round."""

from typing import Final, NamedTuple

from firmcast.coap.dtls.protection import RecordProtection, SessionKeys
from firmcast.coap.dtls.records import ALERT, FINISHED, HANDSHAKE, HELLO, MESSAGE, next_record, split_records
from firmcast.coap.events import Peer

_MOST_RECORDS: Final = 16
"""Of a datagram: whoever forges one has each of them looked at."""
_FATAL: Final = b"\x02"
_CLOSE_NOTIFY: Final = b"\x01\x00"
_NO_RENEGOTIATION: Final = b"\x01\x64"


class Taken(NamedTuple):
    """What came of a datagram."""

    messages: list[bytes]
    answers: bytes
    """Records to be sent back."""
    heard: bool
    """Whether any of it was of the peer, and new."""
    ended: bool
    """Whether the peer has ended the session."""


class SecureSession(RecordProtection):
    """One session with one peer; `seen` is when something of it was last heard that only its peer can have said.

    `longest_message` is what its peer takes at the most, None where it did not say. `key_mark` tells whether a key is
    the one that its handshake was made with, `client_random` which handshake that was, and `opened` when it ended.
    """

    __slots__ = (
        "_change",
        "_finished",
        "address",
        "client_random",
        "key_mark",
        "longest_message",
        "opened",
        "peer",
        "seen",
    )

    def __init__(
        self, keys: SessionKeys, flight: bytes, address: Peer, peer: Peer, now: float, *, key_mark: bytes = b""
    ) -> None:
        """Begin where a handshake ended; `flight` is the two records that it sent last."""
        self._change, finished = split_records(flight)[-2:]
        super().__init__(keys, finished)
        self._finished = self.open_own(finished)
        self.address = address
        self.peer = peer
        self.key_mark = key_mark
        self.seen = self.opened = now
        self.client_random = b""
        self.longest_message: int | None = None

    def take(self, datagram: bytes) -> Taken:
        """Take in a datagram of any records; what does not verify, or came before, is passed over."""
        messages: list[bytes] = []
        answers = b""
        heard = ended = False
        for record in split_records(datagram)[:_MOST_RECORDS]:
            content = self.open(record)
            if content is None:
                continue
            heard = True
            kind = record[0]
            if kind == MESSAGE and content:
                messages.append(content)
            elif kind == HANDSHAKE and content[:1] == FINISHED:
                answers = self._last_flight()
            elif kind == HANDSHAKE and content[:1] == HELLO:
                answers = self.write(_NO_RENEGOTIATION, ALERT)
            elif kind == ALERT and (content[:1] == _FATAL or content == _CLOSE_NOTIFY):
                ended = True
        return Taken(messages, answers, heard, ended)

    def _last_flight(self) -> bytes:
        """Return the end of our handshake again, since it was lost: the same messages in new records.

        Source: RFC 6347 section 4.2.4. A client passes over a number that it has seen.
        """
        self._change = next_record(self._change)
        return self._change + self.write(self._finished, HANDSHAKE)

    def close(self) -> bytes:
        """Return the record that tells the peer of the session's end."""
        return self.write(_CLOSE_NOTIFY, ALERT)
