"""A repeated message gets the reply of the first one, and its request is told once (RFC 7252 section 4.5).

Only the last few messages of a peer are remembered. A repeat has the same message id and the same bytes: a device
that restarted and counts its message ids from the start again is not taken for its former self.
"""


class Reply:
    """What was answered to one message; `datagram` is empty while, or when, nothing was."""

    __slots__ = ("at", "datagram", "digest")

    def __init__(self, digest: int, at: float) -> None:
        self.digest = digest
        self.at = at
        self.datagram = b""


class ReplyRing:
    """The last messages of one peer, by message id, oldest first."""

    __slots__ = ("_replies",)

    def __init__(self) -> None:
        self._replies: dict[int, Reply] = {}

    def __len__(self) -> int:
        return len(self._replies)

    def find(self, message_id: int, digest: int, since: float) -> Reply | None:
        """Return the reply to a message received since `since`, `digest` being the hash of its bytes, or None."""
        reply = self._replies.get(message_id)
        if reply is None or reply.digest != digest or reply.at < since:
            return None
        return reply

    def remember(self, message_id: int, digest: int, now: float, capacity: int) -> Reply:
        """Take note of a new message, dropping the oldest beyond `capacity`; return the place for its reply."""
        replies = self._replies
        replies.pop(message_id, None)
        while len(replies) >= capacity:
            del replies[next(iter(replies))]
        reply = replies[message_id] = Reply(digest, now)
        return reply

    def clear(self) -> None:
        """Forget all of them."""
        self._replies.clear()
