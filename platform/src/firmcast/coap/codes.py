"""Every number of the CoAP registries that the platform uses has its name here, and nowhere else.

Sources: RFC 7252 section 12, RFC 7641, RFC 7959, RFC 8132, RFC 8516, the IANA "CoRE Parameters" registries and, for
the LwM2M content formats, OMA LwM2M Core 1.1 section 7.4.
"""

from enum import IntEnum


class MessageType(IntEnum):
    """The type of a message (RFC 7252 section 3)."""

    CON = 0
    NON = 1
    ACK = 2
    RST = 3


class Code(IntEnum):
    """A method or response code, `class << 5 | detail` (RFC 7252 section 12.1)."""

    EMPTY = 0
    GET = 1
    POST = 2
    PUT = 3
    DELETE = 4
    FETCH = 5
    PATCH = 6
    IPATCH = 7
    CREATED = 65
    DELETED = 66
    VALID = 67
    CHANGED = 68
    CONTENT = 69
    CONTINUE = 95
    BAD_REQUEST = 128
    UNAUTHORIZED = 129
    BAD_OPTION = 130
    FORBIDDEN = 131
    NOT_FOUND = 132
    METHOD_NOT_ALLOWED = 133
    NOT_ACCEPTABLE = 134
    REQUEST_ENTITY_INCOMPLETE = 136
    CONFLICT = 137
    PRECONDITION_FAILED = 140
    REQUEST_ENTITY_TOO_LARGE = 141
    UNSUPPORTED_CONTENT_FORMAT = 143
    UNPROCESSABLE_ENTITY = 150
    TOO_MANY_REQUESTS = 157
    INTERNAL_SERVER_ERROR = 160
    NOT_IMPLEMENTED = 161
    BAD_GATEWAY = 162
    SERVICE_UNAVAILABLE = 163
    GATEWAY_TIMEOUT = 164
    PROXYING_NOT_SUPPORTED = 165


class OptionNumber(IntEnum):
    """The number of an option; odd numbers are critical (RFC 7252 section 5.4.1)."""

    IF_MATCH = 1
    URI_HOST = 3
    ETAG = 4
    IF_NONE_MATCH = 5
    OBSERVE = 6
    URI_PORT = 7
    LOCATION_PATH = 8
    URI_PATH = 11
    CONTENT_FORMAT = 12
    MAX_AGE = 14
    URI_QUERY = 15
    ACCEPT = 17
    LOCATION_QUERY = 20
    BLOCK2 = 23
    BLOCK1 = 27
    SIZE2 = 28
    PROXY_URI = 35
    PROXY_SCHEME = 39
    SIZE1 = 60


class ContentFormat(IntEnum):
    """The content formats that LwM2M devices and this platform exchange."""

    TEXT = 0
    LINK_FORMAT = 40
    OCTET_STREAM = 42
    JSON = 50
    CBOR = 60
    SENML_JSON = 110
    SENML_CBOR = 112
    LWM2M_TLV = 11542
    LWM2M_JSON = 11543
    LWM2M_CBOR = 11544


# Members that are looked at for every datagram, under names that are found without the enum's own attribute look-up.
CON, NON, ACK, RST = MessageType
OBSERVE = int(OptionNumber.OBSERVE)
URI_PATH = int(OptionNumber.URI_PATH)
BLOCK1 = int(OptionNumber.BLOCK1)
BLOCK2 = int(OptionNumber.BLOCK2)

_KNOWN = {int(code): code for code in Code}
_NAMED: tuple[int, ...] = tuple(_KNOWN.get(number, number) for number in range(256))


def named(code: int) -> int:
    """Return the `Code` member that equals `code` (0..255), or the bare number when the registry has no name for it."""
    return _NAMED[code]


def is_request(code: int) -> bool:
    """Tell whether `code` is of class 0 and not empty: a method, known or not."""
    return 0 < code < 32


def is_response(code: int) -> bool:
    """Tell whether `code` is of class 2, 4 or 5: a response, known or not."""
    return 64 <= code < 96 or 128 <= code < 192


def is_success(code: int) -> bool:
    """Tell whether `code` is of class 2."""
    return 64 <= code < 96


def code_text(code: int) -> str:
    """Return a code as the RFC writes it: 69 is `"2.05"`."""
    return f"{code >> 5}.{code & 31:02d}"
