"""Query strings and forms are read here: what real clients write, however broken, never fails to parse.

Known to be sent: ``?&a=b``, a trailing ``&``, values that are not URL-encoded, names in another case, and names that
a PHP client prefixed with NUL bytes and a class name (what follows the last NUL is the name). An empty value counts as
absent, as the contract says for its optional parameters.
"""

from datetime import datetime
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec

from firmcast_sdk.wire.decoding import read_struct
from firmcast_sdk.wire.times import format_time

QueryStruct = TypeVar("QueryStruct", bound=msgspec.Struct)


def parse_pairs(text: str | bytes) -> dict[str, object]:
    """Name and value of each pair; the first of a repeated name counts. Never raises."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    pairs: dict[str, object] = {}
    for part in plain.removeprefix("?").split("&"):
        for name, value in parse_qsl(part, separator="&", keep_blank_values=True):
            if value:
                pairs.setdefault(name.rsplit("\0", 1)[-1], value)
    return pairs


def decode_query(struct: type[QueryStruct], text: str | bytes) -> QueryStruct:
    """The record of type `struct` in a query string or form body; raises FieldError."""
    return read_struct(struct, parse_pairs(text))


def encode_query(query: msgspec.Struct) -> str:
    """`query` as name=value pairs joined with &; what is None is left out. Empty when nothing is set."""
    values = msgspec.to_builtins(query, builtin_types=(datetime,))
    pairs = {name: _word(value) for name, value in values.items() if value is not None}
    return urlencode(pairs)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format_time(value) if isinstance(value, datetime) else str(value)
