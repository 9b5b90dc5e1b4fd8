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
    """The last messages of one peer, by message id, oldest first; only the newest of them keep their replies.

    A repeat so late that its reply is gone is met by silence: better than to do its request twice.
    """

    __slots__ = ("_replies", "_with_reply")

    def __init__(self) -> None:
        self._replies: dict[int, Reply] = {}
        self._with_reply: list[Reply] = []

    def __len__(self) -> int:
        return len(self._replies)

    def find(self, message_id: int, digest: int, since: float) -> Reply | None:
        """Return the reply to a message received since `since`, `digest` being the hash of its bytes, or None."""
        reply = self._replies.get(message_id)
        if reply is None or reply.digest != digest or reply.at < since:
            return None
        return reply

    def remember(self, message_id: int, digest: int, now: float, *, replies: int, messages: int) -> Reply:
        """Take note of a new message and return the place for its reply; keep so many replies and messages."""
        known = self._replies
        if message_id in known:
            del known[message_id]
        elif len(known) >= messages:
            del known[next(iter(known))]
        reply = known[message_id] = Reply(digest, now)
        recent = self._with_reply
        recent.append(reply)
        if len(recent) > replies:
            recent.pop(0).datagram = b""
        return reply

    def clear(self) -> None:
        """Forget all of them."""
        self._replies.clear()
        self._with_reply.clear()
