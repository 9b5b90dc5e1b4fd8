"""Every answer that a receiver gives, good or bad, is made here: a status and a small JSON object, never a traceback.

The status tells the platform what to do: 200 is done with, anything else comes again later. The table for readers is
docs/reference/receiver-answers.md.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from firmcast_sdk.signatures import (
    MalformedTimestampError,
    MissingSignatureError,
    SignatureError,
    TimestampOutsideToleranceError,
)
from firmcast_sdk.wire.decoding import (
    FieldError,
    MissingFieldError,
    NotAnObjectError,
    NotJsonError,
    TooLongError,
    WireError,
    WrongTypeError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer; `headers` are further ones beside content type and length."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def all_headers(self) -> list[tuple[str, str]]:
        """Every header, names in lower case."""
        fixed = [("content-type", "application/json"), ("content-length", str(len(self.body)))]
        return [*fixed, *self.headers]


def _result(result: str, reason: str | None = None) -> Answer:
    body = {"result": result} if reason is None else {"result": result, "reason": reason}
    return Answer(status=200, body=msgspec.json.encode(body))


def _error(
    status: int,
    error: str,
    description: str,
    field: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    body = {"error": error, "description": description}
    if field is not None:
        body["field"] = field
    return Answer(status=status, body=msgspec.json.encode(body), headers=headers)


ACCEPTED: Final = _result("accepted")
DUPLICATE: Final = _result("duplicate")
SUPERSEDED: Final = _result("superseded", "a later event of this device was handled")
CALLBACK_TEST: Final = _result("tested", "an operator tried this callback; nothing has happened")
NO_HANDLER: Final = _result("ignored", "no handler is set for this event")
UNKNOWN_TYPE: Final = _result("ignored", "the notification type is unknown")
EMPTY_BODY: Final = _error(400, "empty_body", "the body is empty")
NOT_FOUND: Final = _error(404, "not_found", "no receiver listens at this path")
METHOD_NOT_ALLOWED: Final = _error(405, "method_not_allowed", "only POST is accepted", headers=(("allow", "POST"),))
HANDLER_FAILED: Final = _error(500, "handler_failed", "the handler failed; send the push again")
STORE_FAILED: Final = _error(500, "store_failed", "the push could not be recorded; send it again")
IN_FLIGHT: Final = _error(
    503, "in_flight", "an event of this device is being handled; send it again", headers=(("retry-after", "1"),)
)


def too_large(limit: int) -> Answer:
    """The answer to a body of more than `limit` bytes."""
    return _error(413, "body_too_large", f"the body is larger than {limit} bytes")


def refused_signature(error: SignatureError) -> Answer:
    """The answer to a push whose signature does not hold."""
    match error:
        case MissingSignatureError():
            return _error(401, "signature_missing", str(error))
        case MalformedTimestampError() | TimestampOutsideToleranceError():
            return _error(401, "signature_timestamp", str(error))
        case _:
            return _error(401, "signature_mismatch", str(error))


def refused_body(error: WireError) -> Answer:
    """The answer to a body that does not follow the contract."""
    match error:
        case NotJsonError():
            return _error(400, "not_json", str(error))
        case NotAnObjectError():
            return _error(400, "not_an_object", str(error))
        case MissingFieldError():
            return _error(400, "missing_field", str(error), error.field)
        case WrongTypeError():
            return _error(400, "wrong_type", str(error), error.field)
        case TooLongError():
            return _error(400, "too_long", str(error), error.field)
        case FieldError():
            return _error(400, "invalid_value", str(error), error.field)
        case _:
            return _error(400, "bad_request", str(error))
