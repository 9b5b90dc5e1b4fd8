"""An answer with a body is compact JSON; one without still names its content type, or a client trips over it.

The vendor's Java client throws on an empty 200 without a Content-Type, and on a void call that is answered with a
body. Contract page, section 3 and trap 3.
"""

from typing import Any, Final

import msgspec
from starlette.responses import Response

from firmcast_sdk.wire.encoding import encode_response

JSON: Final = "application/json"


def encode_told(body: msgspec.Struct) -> bytes:
    """Return `body` as JSON on one line, for an answer that is no refusal."""
    # Two of the vendor's clients take any answer with this text for an error; spelt so, it is the same JSON.
    return encode_response(body).replace(b"error_code", b"error\\u005fcode")


def wire_answer(body: msgspec.Struct, status: int = 200) -> Response:
    """Return `body` as the contract writes it: keys in the order of the record, null for None."""
    return Response(encode_told(body), status_code=status, media_type=JSON)


def plain_answer(body: msgspec.Struct | dict[str, Any], status: int = 200) -> Response:
    """Return `body` as JSON; times as RFC 3339. For the management API."""
    return Response(msgspec.json.encode(body), status_code=status, media_type=JSON)


def shown_once(body: msgspec.Struct, status: int = 200) -> Response:
    """Return `body`, which holds a secret, so that nobody on its way keeps it."""
    answer = plain_answer(body, status)
    answer.headers["cache-control"] = "no-store"
    return answer


def empty_answer(status: int = 200) -> Response:
    """Return `status` without a body."""
    return Response(b"", status_code=status, media_type=JSON)


def no_content() -> Response:
    """Return 204."""
    return Response(status_code=204)
