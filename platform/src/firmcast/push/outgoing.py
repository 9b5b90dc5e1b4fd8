"""What is to be sent: one POST, whoever makes it."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from firmcast.push.answer import Answer
from firmcast.push.trust import Trust

OnDone = Callable[[Answer], None]

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_A_PUSHS: Final = frozenset(
    {
        "accept",
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class OutgoingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One POST."""

    url: str
    headers: list[str] = msgspec.field(default_factory=list)
    """Lines of `name: value`; `name:` takes out a header that the library would send."""

    body: bytes
    trust: Trust = msgspec.field(default_factory=Trust)


def is_plain(lines: list[str]) -> bool:
    """Say whether lines are `name: value` or `name:`, in ASCII, and leave alone what is the connection's to say."""
    text = "\n".join(lines) + "\n"
    if "\r" in text or "\0" in text or text.count("\n") > max(1, len(lines)) or not text.isascii():
        return False
    if ":  " in text or " \n" in text or "\t" in text:
        return False  # libcurl trims what surrounds a value
    return all(_is_plain_name(line.partition(": ")[0]) for line in lines)


@lru_cache(maxsize=1000)
def _is_plain_name(name: str) -> bool:
    name = name.removesuffix(":")
    return _NAME.fullmatch(name) is not None and name.lower() not in _NOT_A_PUSHS
