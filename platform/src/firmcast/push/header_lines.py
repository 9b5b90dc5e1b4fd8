"""Which lines of `name: value` a connection of our own says; what is not plain is left to libcurl.

A line says one thing, in ASCII, and nothing of what is the connection's to say.
"""

import re
from functools import lru_cache
from typing import Final

OMITTED: Final = "expect:"
"""Takes out what libcurl would say, and what we do not say anyway."""

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


class WireError(Exception):
    """What the other side says we cannot take, or what we would say is not for us; whether it may be said or not."""


def check_text(text: str, lines: list[str]) -> None:
    """Check lines, of which `text` is made with newlines between.

    Raises:
        WireError: a line is more than it seems, or libcurl would say something else of it.
    """
    if text.count("\n") >= max(1, len(lines)) or "\r" in text or "\0" in text or not text.isascii():
        raise WireError("a line that is more than it seems")
    if ":  " in text or " \n" in text or "\t" in text or text.endswith(" "):
        raise WireError("a blank around a value, which libcurl takes off")


@lru_cache(maxsize=1000)
def check_name(name: str) -> None:
    """Check the name of a field.

    Raises:
        WireError: it is none, or the connection's to say.
    """
    if _NAME.fullmatch(name) is None or name.lower() in _NOT_A_PUSHS:
        raise WireError(f"{name} is not for a push to say")
