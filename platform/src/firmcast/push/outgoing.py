"""What is to be sent: one POST, whoever makes it."""

from collections.abc import Callable

import msgspec

from firmcast.push.answer import Answer
from firmcast.push.trust import Trust

OnDone = Callable[[Answer], None]


class OutgoingRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One POST."""

    url: str
    headers: list[str] = msgspec.field(default_factory=list)
    """Lines of `name: value`; `name:` takes out a header that the library would send."""

    body: bytes
    trust: Trust = msgspec.field(default_factory=Trust)
