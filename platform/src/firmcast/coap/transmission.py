"""A confirmable message is sent again, ever more slowly, until it is answered or given up (RFC 7252 section 4.2)."""

from enum import Enum
from typing import ClassVar

from firmcast.coap.events import Peer
from firmcast.coap.timers import Timed


class Outcome(Enum):
    """How the transmission of one message ended."""

    ACKNOWLEDGED = "acknowledged"
    RESET = "reset"
    TIMEOUT = "timeout"


class Transmission(Timed):
    """One message of ours on its way to `peer`. A non-confirmable one is sent once and then only waits."""

    __slots__ = ("attempts", "confirmable", "datagram", "message_id", "peer", "timeout")

    is_any_answer_good: ClassVar[bool] = False
    """Whether an acknowledgement ends it that has a code in it, too, and answers nothing that was asked."""

    def __init__(self, peer: Peer, *, confirmable: bool = True) -> None:
        super().__init__()
        self.peer = peer
        self.confirmable = confirmable
        self.message_id = 0
        self.datagram = b""
        self.attempts = 0
        self.timeout = 0.0

    def ended(self, outcome: Outcome, now: float) -> None:
        """Go on from the end of the transmission."""
