"""A post is an attempt that is under way on a connection of our own; it ends once, with an answer or without one."""

from collections.abc import Callable

from firmcast.push.answer import SNIPPET_BYTES, Answer, FailureKind

ANSWER_BYTES = 8192
"""An answer is read up to this and then cut off: nobody needs more of it."""

OnAnswer = Callable[[Answer], None]
OnUnanswered = Callable[[float], None]


class Posted:
    """What has come of an attempt so far."""

    __slots__ = ("_on_answer", "_on_unanswered", "_size", "_snippet", "retry_after", "started", "status")

    def __init__(self, started: float, on_answer: OnAnswer, on_unanswered: OnUnanswered) -> None:
        """Begin at a time of the loop.

        `on_unanswered` is called instead of `on_answer`, with the seconds that have passed, where no byte of an answer
        has come and none will: the attempt may be made again at once on another connection.
        """
        self.started = started
        self.status = 0
        self.retry_after: str | None = None
        self._on_answer = on_answer
        self._on_unanswered = on_unanswered
        self._snippet = b""
        self._size = 0

    def take_body(self, part: bytes) -> bool:
        """Take a part of the answer's body; False when it is more than anybody needs."""
        if len(self._snippet) < SNIPPET_BYTES:
            self._snippet = (self._snippet + part)[:SNIPPET_BYTES]
        self._size += len(part)
        return self._size <= ANSWER_BYTES

    def answered(self, now: float, address: str) -> None:
        """End with the status that has come."""
        retry_after = self.retry_after if self.status in {429, 503} else None
        duration = now - self.started
        self._on_answer(
            Answer(
                status=self.status,
                failure=None,
                retry_after=retry_after,
                snippet=self._snippet,
                address=address,
                duration=duration,
            )
        )

    def failed(self, now: float, address: str, kind: FailureKind, detail: str) -> None:
        """End without a status."""
        duration = now - self.started
        self._on_answer(Answer(status=None, failure=kind, address=address, duration=duration, detail=detail))

    def unanswered(self, now: float) -> None:
        """End as if nothing had been sent."""
        self._on_unanswered(now - self.started)
