"""Every number that bounds the engine in time or memory is a field here; it has no other constants of policy."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmissionParameters:
    """Timing in seconds and limits in counts or bytes. Defaults follow RFC 7252 section 4.8 where it names a value."""

    ack_timeout: float = 2.0
    """Shortest wait before the first retransmission (ACK_TIMEOUT)."""
    ack_random_factor: float = 1.5
    """The first wait is drawn from ack_timeout .. ack_timeout * ack_random_factor (ACK_RANDOM_FACTOR)."""
    slow_block_timeout: float = 0.0
    """Shortest wait before the first retransmission of the first and of the last block of a payload that its peer is
    slow to store; as `ack_timeout` where that is longer. The waits after it are those of any message."""
    max_retransmit: int = 4
    """Retransmissions of a confirmable message after the first transmission (MAX_RETRANSMIT)."""
    nstart: int = 1
    """Requests of ours under way to one peer at a time; the others wait in order (NSTART)."""
    max_latency: float = 100.0
    """The longest a datagram is taken to travel (MAX_LATENCY)."""
    ack_delay: float = 0.5
    """How long a request may wait for `respond` before its empty acknowledgement is sent."""
    response_timeout: float = 93.0
    """How long to wait for a response after an empty acknowledgement or a non-confirmable request
    (MAX_TRANSMIT_WAIT)."""
    unmatched_timeout: float = 0.5
    """How long an unmatched notification may wait to be adopted before it is answered by a reset."""
    tells_strays: bool = False
    """Whether StrayReceived is told: of use where another process may have sent what is answered here."""
    replies_per_peer: int = 8
    """Messages of one peer whose replies are kept, to answer repeats."""
    messages_per_peer: int = 64
    """Messages of one peer remembered at all, so that late repeats are known as such."""
    max_peers: int = 250_000
    """Peers remembered at a time; beyond it the longest idle one is forgotten."""
    max_pending_per_peer: int = 32
    """Requests of one peer waiting for `respond` at a time; further ones are answered 5.03."""
    max_backlog_per_peer: int = 1024
    """Requests of ours waiting for one peer at a time; `request` beyond it raises BacklogFullError."""
    max_unmatched: int = 1024
    """Unmatched notifications waiting to be adopted at a time, over all peers."""
    amplification: int = 0
    """So many times the bytes that came from an address may be sent there unasked, or again, before it was shown to be
    real; 0 for no bound, as for whoever speaks to those that it chose itself."""
    max_observations_per_peer: int = 64
    """Observations that one peer may hold on us; a request beyond it is answered without observing."""
    max_body: int = 1 << 20
    """The largest body accepted, in bytes, by Block1 as a server and by Block2 as a client unless `request` says
    otherwise."""
    max_assembled: int = 64 << 20
    """Bytes of incomplete Block1 bodies held at a time, over all peers."""
    max_assemblies_per_peer: int = 4
    """Incomplete Block1 bodies of one peer at a time; the oldest is dropped."""
    max_held_responses: int = 64 << 20
    """Bytes of responses held for their later blocks, over all peers; the oldest are dropped."""
    block_szx: int = 6
    """The largest block we ask for and accept, as the exponent of RFC 7959: 6 is 1024 bytes."""
    asks_block_size_early: bool = True
    """Name `block_szx`, where it is below 6, in a first request already (RFC 7959 section 2.4), not only in those for
    the blocks that follow."""
    refuse_larger_blocks: bool = False
    """Answer a larger Block1 block by 4.13 with our size, instead of accepting it and asking for smaller ones."""
    max_block_restarts: int = 3
    """How often a transfer begins again at block 0 (4.08, a changed ETag) before it fails."""
    notification_confirm_interval: float = 86_400.0
    """The longest time without a confirmable notification in an observation (RFC 7641 section 4.5: 24 hours)."""

    @property
    def response_patience(self) -> float:
        """How long a read, or a block that is not the last, was only acknowledged before it is sent anew.

        By then a separate response that is confirmable has been sent four times.
        """
        return self.ack_timeout * (1 << 3)

    @property
    def three_transmissions(self) -> float:
        """The longest that it takes until a request would be sent for the fourth time.

        Whoever has left it unanswered until then is away, or does not answer such a request.
        """
        return self.ack_timeout * self.ack_random_factor * ((1 << 3) - 1)

    @property
    def max_transmit_span(self) -> float:
        """From the first transmission to the last retransmission (MAX_TRANSMIT_SPAN)."""
        return self.ack_timeout * ((1 << self.max_retransmit) - 1) * self.ack_random_factor

    @property
    def exchange_lifetime(self) -> float:
        """From the first transmission until its message id may be used again (EXCHANGE_LIFETIME, 247 s by default)."""
        return self.max_transmit_span + 2 * self.max_latency + self.ack_timeout
