"""Headers of an operator's own that every push to an application carries: a token for the gateway before it, say.

They are judged before they are kept, so that none of them ends a line, speaks for the connection or the body, or says
what a push itself says. The values are sealed, and shown to nobody again. Source of the grammar: RFC 9110, section 5.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from firmcast.applications.sealed import CALLBACK_HEADERS
from firmcast.errors import InvalidValueError
from firmcast.sealing import Sealer

MOST_HEADERS: Final = 8
NAME_LIMIT: Final = 64
VALUE_LIMIT: Final = 2048

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_NOT_OURS_TO_SET = frozenset(
    {
        "accept-encoding",
        "connection",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_NOT_OURS_TO_BEGIN = ("content-", "firmcast-", "proxy-", "webhook-")


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with their names in lower case and in order.

    Raises:
        InvalidValueError: there are more than eight, a name comes twice or is one that a push or a connection sets
            itself, or a name or value is none that can be sent.
    """
    found: dict[str, str] = {}
    for given, value in headers.items():
        name = given.lower()
        if len(name) > NAME_LIMIT or _NAME.fullmatch(name) is None:
            raise InvalidValueError("headers", f"a name is 1 to {NAME_LIMIT} letters, digits and signs such as -")
        if name in _NOT_OURS_TO_SET or name.startswith(_NOT_OURS_TO_BEGIN):
            raise InvalidValueError("headers", f"{name} is not yours to set")
        if name in found:
            raise InvalidValueError("headers", f"{name} comes twice")
        if len(value) > VALUE_LIMIT or _VALUE.fullmatch(value) is None:
            raise InvalidValueError(
                "headers", f"the value of {name} must be 1 to {VALUE_LIMIT} visible ASCII characters and inner blanks"
            )
        found[name] = value
    if not 0 < len(found) <= MOST_HEADERS:
        raise InvalidValueError("headers", f"there must be 1 to {MOST_HEADERS}")
    return dict(sorted(found.items()))


def sealed(headers: Mapping[str, str], sealer: Sealer) -> bytes:
    """Return what `checked` returned as it is kept."""
    return sealer.seal(msgspec.json.encode(headers), CALLBACK_HEADERS)


def opened(kept: bytes, sealer: Sealer) -> dict[str, str]:
    """Return what was kept; empty for nothing.

    Raises:
        StartError: the key file is not the one that sealed it.
    """
    return msgspec.json.decode(sealer.open(kept, CALLBACK_HEADERS), type=dict[str, str]) if kept else {}
