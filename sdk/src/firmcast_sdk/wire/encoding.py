"""Strict and compact: a request leaves out what is None, an answer writes it as null, times take the contract's form.

Keys come in the order of the record's fields, which is the contract's.
"""

from datetime import datetime

import msgspec

from firmcast_sdk.wire.times import format_time


def encode_request(request: msgspec.Struct) -> bytes:
    """The JSON body of a call, without the fields that are None."""
    return msgspec.json.encode(_plain(msgspec.to_builtins(request, builtin_types=(datetime,)), keep_nulls=False))


def encode_response(response: msgspec.Struct) -> bytes:
    """The JSON body of an answer, with null for each field that is None."""
    return msgspec.json.encode(_plain(msgspec.to_builtins(response, builtin_types=(datetime,)), keep_nulls=True))


def _plain(value: object, *, keep_nulls: bool) -> object:
    match value:
        case datetime():
            return format_time(value)
        case dict():
            return {
                name: _plain(one, keep_nulls=keep_nulls) for name, one in value.items() if keep_nulls or one is not None
            }
        case list() | tuple():
            return [_plain(one, keep_nulls=keep_nulls) for one in value]
        case _:
            return value
