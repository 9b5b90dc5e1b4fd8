"""A request is read leniently and within limits; what cannot be read is refused before anything is done.

A text with a NUL in it is refused too: no client means one, and not every store can keep it.
"""

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from starlette.requests import Request

from firmcast.rest.errors import BODY_TOO_LARGE, ApiError
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.decoding import FieldError, MissingFieldError, WireError, decode_struct, parse_object
from firmcast_sdk.wire.errors import ErrorCode
from firmcast_sdk.wire.queries import decode_query

StructType = TypeVar("StructType", bound=msgspec.Struct)

DEFAULT_BODY_LIMIT = 1 << 20
_ID_LIMIT = 256


async def read_body(request: Request, limit: int = DEFAULT_BODY_LIMIT) -> bytes:
    """Return the body.

    Raises:
        ApiError: it has more than `limit` bytes.
    """
    body = bytearray()
    async for chunk in limited(request, limit):
        body += chunk
    return bytes(body)


async def limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes.

    Raises:
        ApiError: it has, or says that it has, more than `limit` bytes.
    """
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said[:20]) > limit:
        raise ApiError(BODY_TOO_LARGE, f"more than {limit} bytes")
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise ApiError(BODY_TOO_LARGE, f"more than {limit} bytes")
        yield chunk


def decode_body(
    struct: type[StructType],
    body: bytes,
    *,
    invalid: ErrorCode = wire.INPUT_INVALID,
    missing: ErrorCode | None = None,
    unreadable: ErrorCode = wire.BAD_REQUEST_MESSAGE,
    by_field: dict[str, ErrorCode] | None = None,
) -> StructType:
    """Return the record in a JSON body.

    Raises:
        ApiError: `unreadable` for what is no JSON object; for a field the error that `by_field` has for its path,
            else `missing` for one that is not there (when given), else `invalid`.
    """
    try:
        if b"\\u0000" in body:
            raise ApiError(invalid, "a text holds the character NUL")
        return decode_struct(struct, body)
    except FieldError as error:
        raise ApiError((by_field or {}).get(error.field) or _general(error, invalid, missing), str(error)) from None
    except WireError as error:
        raise ApiError(unreadable, str(error)) from None


def decode_known_body(struct: type[StructType], body: bytes) -> StructType:
    """Return the record in a JSON body of the management API, which holds no name that is not the record's.

    A name that is misspelt would otherwise be left out without a word: an end that a token was to have, or an overlap.

    Raises:
        ApiError: see `decode_body`; or there is another name.
    """
    record = decode_body(struct, body)
    known = {field.encode_name.casefold() for field in msgspec.structs.fields(struct)}
    for name in parse_object(body):
        if name.strip().casefold() not in known:
            raise ApiError(wire.INPUT_INVALID, f"{name[:64]!r} is none of {', '.join(sorted(known))}")
    return record


def decode_parameters(
    struct: type[StructType], request: Request, *, invalid: ErrorCode = wire.INPUT_INVALID
) -> StructType:
    """Return the record in the query string.

    Raises:
        ApiError: `invalid` when a parameter is not as it must be.
    """
    return decode_pairs(struct, request.scope["query_string"], invalid=invalid)


def decode_pairs(
    struct: type[StructType], pairs: bytes, *, invalid: ErrorCode, missing: ErrorCode | None = None
) -> StructType:
    """Return the record in a query string or the body of a form.

    Raises:
        ApiError: `missing` (when given) for a parameter that is not there, `invalid` for one that is not as it must be.
    """
    try:
        record = decode_query(struct, pairs)
    except FieldError as error:
        raise ApiError(_general(error, invalid, missing), str(error)) from None
    if any(isinstance(value, str) and "\0" in value for value in msgspec.structs.asdict(record).values()):
        raise ApiError(invalid, "a text holds the character NUL")
    return record


def _general(error: FieldError, invalid: ErrorCode, missing: ErrorCode | None) -> ErrorCode:
    return missing if missing is not None and isinstance(error, MissingFieldError) else invalid


def path_identifier(request: Request, name: str) -> str:
    """Return an identifier out of the path; what can be none becomes the empty string, which nothing is named by."""
    text = str(request.path_params[name])
    return "" if len(text) > _ID_LIMIT or "\0" in text else text
