"""The WSGI application of a receiver: reads no more than the limit, leaves all decisions to the pure core.

Source: PEP 3333. It brings no server and mounts in any WSGI framework.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from firmcast_sdk.receiver import answers
from firmcast_sdk.receiver.answers import Answer
from firmcast_sdk.receiver.delivery import Delivery, drive_blocking
from firmcast_sdk.receiver.reception import check_head

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

_PIECE = 64 * 1024
_DISCARD_LIMIT = 16 * 1024 * 1024


class WsgiReceiver:
    """The WSGI application of one receiver."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = self._answer(environ)
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        start_response(status, answer.all_headers())
        return [answer.body]

    def below(self, path: str, application: "WSGIApplication") -> "WSGIApplication":
        """`application` with this receiver mounted at `path`, for frameworks that mount nothing themselves."""
        mount = path.rstrip("/")

        def divided(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            inside = str(environ.get("PATH_INFO", ""))
            if inside == mount or inside.startswith(mount + "/"):
                place = {"SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + mount, "PATH_INFO": inside[len(mount) :]}
                return self({**environ, **place}, start_response)
            return application(environ, start_response)

        return divided

    def _answer(self, environ: "WSGIEnvironment") -> Answer:
        rules = self._delivery.rules
        headers = _headers(environ)
        early = check_head(
            rules,
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", ""),
            mounted=bool(environ.get("SCRIPT_NAME", "")),
            headers=headers,
        )
        length = _length(environ)
        if early is not None:
            _discard(environ["wsgi.input"], length)
            return early
        # A body without a length has an end only where the server says that it marks it.
        if length is None and not environ.get("wsgi.input_terminated"):
            length = 0
        body = _read(environ["wsgi.input"], rules.size_limit + 1 if length is None else length)
        if len(body) > rules.size_limit:
            return answers.too_large(rules.size_limit)
        return drive_blocking(self._delivery.steps(headers, body))


def _headers(environ: "WSGIEnvironment") -> dict[str, str]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _length(environ: "WSGIEnvironment") -> int | None:
    text = str(environ.get("CONTENT_LENGTH") or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _read(stream: "InputStream", size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(min(size, _PIECE))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _discard(stream: "InputStream", length: int | None) -> None:
    """Read a refused body away, in pieces: a simple server that closes on unread input would lose our answer."""
    left = min(length or 0, _DISCARD_LIMIT)
    while left > 0 and (part := stream.read(min(left, _PIECE))):
        left -= len(part)
