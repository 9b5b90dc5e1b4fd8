"""What a peer began with us and did not finish is one of these records, and each has a deadline."""

from collections.abc import Callable
from typing import TypeAlias

from firmcast.coap.block import Assembler
from firmcast.coap.codes import OptionNumber
from firmcast.coap.deduplication import Reply
from firmcast.coap.events import ObservationId, Peer
from firmcast.coap.message import Message
from firmcast.coap.options import Options
from firmcast.coap.timers import Timed

RequestKey: TypeAlias = tuple[int, Options]
"""Method and options of a request, without those that tell its blocks apart: what makes blocks one body."""

_NOT_IN_KEY = frozenset(
    {
        OptionNumber.OBSERVE,
        OptionNumber.BLOCK1,
        OptionNumber.BLOCK2,
        OptionNumber.SIZE1,
        OptionNumber.SIZE2,
    }
)


def request_key(message: Message) -> RequestKey:
    """Return what the blocks of one request, and of its response, have in common."""
    return message.code, tuple([pair for pair in message.options if pair[0] not in _NOT_IN_KEY])


class PendingRequest(Timed):
    """A request that waits for the application's answer."""

    __slots__ = ("_on_due", "acknowledged", "block1", "message", "observation", "peer", "reply")

    def __init__(
        self, peer: Peer, message: Message, reply: Reply, on_due: Callable[["PendingRequest", float], None]
    ) -> None:
        # One is made for every request: the fields of Timed are set here, without a call.
        self.due = None
        self.entry = None
        self.peer = peer
        self.message = message
        self.reply = reply
        self.acknowledged = False
        self.block1: bytes | None = None
        """The Block1 value that the response repeats, when the request came in blocks."""
        self.observation: ObservationId | None = None
        self._on_due = on_due

    def fire(self, now: float) -> None:
        self._on_due(self, now)


class Assembly(Timed):
    """A body that arrives by Block1."""

    __slots__ = ("_on_due", "assembler", "key", "peer", "total")

    def __init__(
        self,
        peer: Peer,
        key: RequestKey,
        assembler: Assembler,
        total: int | None,
        on_due: Callable[["Assembly", float], None],
    ) -> None:
        super().__init__()
        self.peer = peer
        self.key = key
        self.assembler = assembler
        self.total = total
        self._on_due = on_due

    def fire(self, now: float) -> None:
        self._on_due(self, now)


class HeldResponse(Timed):
    """A response whose later blocks the peer may still ask for."""

    __slots__ = ("_on_due", "code", "key", "options", "payload", "peer")

    def __init__(
        self,
        peer: Peer,
        key: RequestKey,
        code: int,
        options: Options,
        payload: bytes,
        on_due: Callable[["HeldResponse", float], None],
    ) -> None:
        super().__init__()
        self.peer = peer
        self.key = key
        self.code = code
        self.options = options
        self.payload = payload
        self._on_due = on_due

    def fire(self, now: float) -> None:
        self._on_due(self, now)
