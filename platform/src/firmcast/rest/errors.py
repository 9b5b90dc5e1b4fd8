"""Every refusal leaves as JSON with exactly two strings, `error_code` and `error_desc`, whatever went wrong.

The words of the contract's errors never vary, since clients compare them; why exactly a request was refused stands
in the header `firmcast-reason`. Errors of the management API carry a word as their code, and the reason in their text.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from firmcast.errors import (
    ConflictError,
    InvalidValueError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreUnreachableError,
    UndeliveredLimitError,
)
from firmcast.rest.answers import JSON
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.errors import ErrorCode
from firmcast_sdk.wire.feed import FEED_PATH, STREAM_PATH

MANAGEMENT_PREFIX: Final = "/v1/"
_UPGRADES_PREFIX: Final = "/iodm/"
_REASON_HEADER: Final = "firmcast-reason"
_REASON_LIMIT: Final = 256
_FULL_RETRY_SECONDS: Final = "60"
_SOON_RETRY_SECONDS: Final = "2"

PATH_UNKNOWN: Final = ErrorCode(wire.SUBSCRIPTION_NOT_FOUND.code, 404, wire.SUBSCRIPTION_NOT_FOUND.description)
METHOD_NOT_ALLOWED: Final = ErrorCode(wire.BAD_REQUEST_MESSAGE.code, 405, wire.BAD_REQUEST_MESSAGE.description)
BODY_TOO_LARGE: Final = ErrorCode(wire.INPUT_INVALID.code, 413, wire.INPUT_INVALID.description)
STORE_FULL: Final = ErrorCode(wire.INTERNAL_ERROR.code, 503, wire.INTERNAL_ERROR.description)
UPGRADE_STORE_FULL: Final = ErrorCode(wire.UPGRADE_INTERNAL_ERROR.code, 503, wire.UPGRADE_INTERNAL_ERROR.description)

INVALID_REQUEST: Final = ErrorCode("invalid_request", 400, "The request cannot be carried out.")
INVALID_VALUE: Final = ErrorCode("invalid_value", 400, "A value is not allowed.")
UNAUTHORIZED: Final = ErrorCode("unauthorized", 401, "An administrator's bearer token is needed.")
NOT_ALLOWED: Final = ErrorCode("not_allowed", 403, "This is not allowed.")
NOT_FOUND: Final = ErrorCode("not_found", 404, "There is no such thing.")
NOT_SERVED_HERE: Final = ErrorCode("not_served_here", 404, "This node does not serve it.")
CONFLICT: Final = ErrorCode("conflict", 409, "The request does not fit the present state.")
MANAGEMENT_BODY_TOO_LARGE: Final = ErrorCode(INVALID_REQUEST.code, 413, "The body is too large.")
MANAGEMENT_INTERNAL_ERROR: Final = ErrorCode("internal_error", 500, "Internal server error.")
MANAGEMENT_STORE_FULL: Final = ErrorCode("store_full", 503, "No space is left.")
MANAGEMENT_STORE_BUSY: Final = ErrorCode("store_busy", 503, "Too many writes wait already.")
MANAGEMENT_STORE_UNREACHABLE: Final = ErrorCode("store_unreachable", 503, "The database does not answer.")
"""What the management API refuses with; the words are replaced by the reason."""

_log = structlog.get_logger()


class ApiError(RefusedError):
    """A request is refused with an error of the contract."""

    def __init__(self, error: ErrorCode, reason: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason or error.description)
        self.error = error
        self.reason = reason
        self.headers = dict(headers or {})
        """Of the answer, beside its usual ones."""


class ManagementError(ApiError):
    """A request to the management API is refused; `reason` is what its caller reads."""


def management_error(refusal: RefusedError) -> ManagementError:
    """Return how the management API tells a refusal."""
    match refusal:
        case ManagementError():
            return refusal
        case InvalidValueError():
            code = INVALID_VALUE
        case NotFoundError():
            code = NOT_FOUND
        case ConflictError():
            code = CONFLICT
        case NotAllowedError():
            code = NOT_ALLOWED
        case ApiError():
            code = ErrorCode("invalid_request", refusal.error.status, refusal.error.description)
        case _:
            code = INVALID_REQUEST
    return ManagementError(code, refusal.reason if isinstance(refusal, ApiError) else str(refusal))


def render(error: ApiError) -> Response:
    """Return the answer that tells `error`."""
    if isinstance(error, ManagementError):
        answer = _answer(error.error, description=error.reason or None)
        answer.headers.update(error.headers)
        return answer
    answer = _answer(error.error)
    answer.headers.update(error.headers)
    if error.reason:
        printable = error.reason[:_REASON_LIMIT].encode("ascii", "backslashreplace").decode()
        answer.headers[_REASON_HEADER] = "".join(sign if sign.isprintable() else "?" for sign in printable)
    return answer


def exception_handlers() -> Mapping[Any, Callable[[Request, Any], Awaitable[Response]]]:
    """Return how a Starlette application turns exceptions into answers."""
    return {
        HTTPException: _on_http_exception,
        RefusedError: _on_refused,
        StoreFullError: _on_no_room,
        StoreBusyError: _on_no_room,
        StoreUnreachableError: _on_no_room,
        UndeliveredLimitError: _on_undelivered_limit,
        ClientDisconnect: _on_disconnect,
        Exception: _on_unforeseen,
    }


def _answer(error: ErrorCode, *, description: str | None = None) -> Response:
    return Response(wire.encode_error(error, description), status_code=error.status, media_type=JSON)


def _path(request: Request) -> str:
    # Not request.url: it fails on a query that is no UTF-8.
    return str(request.scope["path"])


def _is_management(request: Request) -> bool:
    path = _path(request)
    # The feed is ours like the management API, and called by applications.
    return path.startswith(MANAGEMENT_PREFIX) and path not in (FEED_PATH, STREAM_PATH)


async def _on_refused(request: Request, refusal: RefusedError) -> Response:
    if _is_management(request):
        return render(management_error(refusal))
    if isinstance(refusal, ApiError):
        return render(refusal)
    return render(ApiError(wire.INPUT_INVALID, str(refusal)))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    absent = getattr(request.app.state, "absent", "")
    if error.status_code == 404 and absent:
        told = ManagementError(NOT_SERVED_HERE, absent) if _is_management(request) else ApiError(PATH_UNKNOWN, absent)
        answer = render(told)
    elif _is_management(request):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        answer = _answer(ErrorCode(code, error.status_code, error.detail))
    elif error.status_code == 404:
        answer = _answer(PATH_UNKNOWN)
    elif error.status_code == 405:
        answer = _answer(METHOD_NOT_ALLOWED)
    else:
        answer = _answer(ErrorCode(wire.BAD_REQUEST_MESSAGE.code, error.status_code, error.detail))
    answer.headers.update(error.headers or {})
    return answer


_NO_ROOM: Final[Mapping[type[StoreError], tuple[ErrorCode, str]]] = MappingProxyType(
    {
        StoreFullError: (MANAGEMENT_STORE_FULL, _FULL_RETRY_SECONDS),
        StoreBusyError: (MANAGEMENT_STORE_BUSY, _SOON_RETRY_SECONDS),
        StoreUnreachableError: (MANAGEMENT_STORE_UNREACHABLE, _SOON_RETRY_SECONDS),
    }
)


async def _on_no_room(request: Request, error: StoreError) -> Response:
    """Ask to come back: nothing was written, and the same may be asked again."""
    told, retry_seconds = _NO_ROOM[type(error)]
    if _is_management(request):
        # What keeps us from the database says where it is, and that is nobody's affair.
        hidden = told is MANAGEMENT_STORE_UNREACHABLE
        answer = _answer(told, description=None if hidden else str(error))
    else:
        answer = _answer(UPGRADE_STORE_FULL if _path(request).startswith(_UPGRADES_PREFIX) else STORE_FULL)
    answer.headers["retry-after"] = retry_seconds
    return answer


async def _on_undelivered_limit(_request: Request, error: UndeliveredLimitError) -> Response:
    headers = {"retry-after": _FULL_RETRY_SECONDS}
    return render(ApiError(UPGRADE_STORE_FULL, str(error), headers=headers))


async def _on_disconnect(_request: Request, _error: ClientDisconnect) -> Response:
    return _answer(wire.BAD_REQUEST_MESSAGE)  # nobody reads it


async def _on_unforeseen(request: Request, error: Exception) -> Response:
    path = _path(request)
    _log.error("rest.unforeseen", method=request.method, path=path, exc_info=error)
    if _is_management(request):
        answer = _answer(MANAGEMENT_INTERNAL_ERROR)
    else:
        upgrades = path.startswith(_UPGRADES_PREFIX)
        answer = _answer(wire.UPGRADE_INTERNAL_ERROR if upgrades else wire.GATEWAY_INTERNAL_ERROR)
    # The server ends the connection behind it: whoever is not told would lose his next request there.
    answer.headers["connection"] = "close"
    return answer
