"""What is to be sent: one POST, whoever makes it."""

from collections.abc import Callable, Sequence

import msgspec

from firmcast.push.answer import Answer
from firmcast.push.trust import Trust

OnDone = Callable[[Answer], None]


class OutgoingRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One POST."""

    url: str
    headers: Sequence[str] = ()
    """Lines of `name: value`; `name:` takes out a header that the library would send.

    A tuple that is the same for one request after the other is spelt once.
    """

    names: tuple[str, ...] = ()
    """Of the header fields behind these lines, which differ between requests."""

    values: tuple[str, ...] = ()
    """Of these, one for each name."""

    body: bytes
    trust: Trust = msgspec.field(default_factory=Trust)

    def lines(self) -> list[str]:
        """Return all header lines."""
        return [*self.headers, *(f"{name}: {value}" for name, value in zip(self.names, self.values, strict=True))]
