"""Which lines of `name: value` a connection of our own says; what is not plain is left to libcurl.

A line says one thing, in ASCII, and nothing of what is the connection's to say.
"""

import re
from collections.abc import Iterator, Sequence
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


def plain_fields(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return the name and the value of each line; `expect:` takes out what we do not say anyway.

    Raises:
        WireError: a line is no such, or more than it seems, or says what is the connection's to say.
    """
    _check_text("\n".join(lines), lines)
    for line in lines:
        name, _, value = line.partition(": ")
        if value:
            check_name(name)
            yield name, value
        elif line != OMITTED:
            raise WireError("a line without a value")


def check_values(values: Sequence[str]) -> None:
    """Check what stands behind names that are plain.

    Raises:
        WireError: a value is more than it seems, or libcurl would say something else of it.
    """
    text = "".join(values)
    if text.isascii() and text.isprintable() and " " not in text and all(values):
        return
    for value in values:
        if not value or not value.isascii() or not value.isprintable() or value != value.strip(" "):
            raise WireError("a value that is more than it seems")


def _check_text(text: str, lines: Sequence[str]) -> None:
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
