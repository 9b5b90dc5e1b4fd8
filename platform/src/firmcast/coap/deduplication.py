"""A repeated message gets the reply of the first one, and its request is told once (RFC 7252 section 4.5).

Only the last few messages of a peer are remembered. A repeat has the same message id and the same bytes: a device
that restarted and counts its message ids from the start again is not taken for its former self.
"""

from firmcast.coap.parameters import TransmissionParameters


class Reply:
    """What was answered to one message; `datagram` is empty while, or when, nothing was."""

    __slots__ = ("at", "datagram", "digest")

    def __init__(self, digest: int, at: float) -> None:
        self.digest = digest
        self.at = at
        self.datagram = b""


class ReplyRing:
    """The last messages of one peer, by message id, oldest first; only the newest of them keep their replies.

    A repeat so late that its reply is gone is met by silence: better than to do its request twice.
    """

    __slots__ = ("_replies", "_with_reply")

    def __init__(self) -> None:
        self._replies: dict[int, Reply] = {}
        self._with_reply: list[Reply] = []

    def __len__(self) -> int:
        return len(self._replies)

    def admit(self, message_id: int, digest: int, now: float, limits: TransmissionParameters) -> Reply | None:
        """Take note of a message and return the place for its reply; None when the message is a repeat."""
        known = self._replies
        reply = known.get(message_id)
        if reply is not None:
            if reply.digest == digest and reply.at >= now - limits.exchange_lifetime:
                return None
            del known[message_id]
        elif len(known) >= limits.messages_per_peer:
            del known[next(iter(known))]
        reply = known[message_id] = Reply(digest, now)
        recent = self._with_reply
        recent.append(reply)
        if len(recent) > limits.replies_per_peer:
            recent.pop(0).datagram = b""
        return reply

    def reply_to(self, message_id: int) -> bytes:
        """Return the reply to a repeat, which is empty where none is kept."""
        return self._replies[message_id].datagram

    def keep_only(self, message_id: int) -> None:
        """Forget all of them but one."""
        kept = self._replies.get(message_id)
        self.clear()
        if kept is not None:
            self._replies[message_id] = kept
            self._with_reply.append(kept)

    def clear(self) -> None:
        """Forget all of them."""
        self._replies.clear()
        self._with_reply.clear()
