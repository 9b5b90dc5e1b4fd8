"""The descriptions of the interfaces are served to whoever asks: they tell how to call, and nothing of what is kept."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.rest.answers import JSON
from firmcast.rest.asyncapi import asyncapi_document
from firmcast.rest.endpoints import Answer, Endpoint, Handler, Interface, Proof
from firmcast.rest.openapi import openapi_document
from firmcast.rest.reading_page import CONTENT_SECURITY_POLICY, asyncapi_page, openapi_page, overview_page

HTML: Final = "text/html"
_NORTHBOUND: Final = "/v1/openapi/northbound.json"
_MANAGEMENT: Final = "/v1/openapi/management.json"
_PUSHES: Final = "/v1/asyncapi.json"


class OpenApiDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, object]
    paths: dict[str, object]


class AsyncApiDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An AsyncAPI document."""

    asyncapi: str
    info: dict[str, object]
    channels: dict[str, object]


def documents(endpoints: Sequence[Endpoint]) -> dict[str, dict[str, Any]]:
    """Return every document by the path that it is served at."""
    return {
        _NORTHBOUND: openapi_document(endpoints, Interface.NORTHBOUND),
        _MANAGEMENT: openapi_document(endpoints, Interface.MANAGEMENT),
        _PUSHES: asyncapi_document(),
    }


def encode_document(document: dict[str, Any]) -> bytes:
    """Return a document as it is served and kept: indented, so that a change of it can be read."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def pages(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return every page by the path that it is served at."""
    return {
        "/v1/docs": overview_page(
            [
                ("/v1/docs/northbound", _NORTHBOUND, found[_NORTHBOUND]),
                ("/v1/docs/management", _MANAGEMENT, found[_MANAGEMENT]),
                ("/v1/docs/pushes", _PUSHES, found[_PUSHES]),
            ]
        ),
        "/v1/docs/northbound": openapi_page(found[_NORTHBOUND], "/v1/docs/northbound", _NORTHBOUND),
        "/v1/docs/management": openapi_page(found[_MANAGEMENT], "/v1/docs/management", _MANAGEMENT),
        "/v1/docs/pushes": asyncapi_page(found[_PUSHES], "/v1/docs/pushes", _PUSHES),
    }


def description_endpoints(described: Callable[[], Sequence[Endpoint]]) -> list[Endpoint]:
    """Return the calls that serve the documents and pages of what `described` returns, made when first asked for."""

    @cache
    def made() -> dict[str, tuple[bytes, str]]:
        found = documents(described())
        answers = {path: (encode_document(document), JSON) for path, document in found.items()}
        return answers | {path: (page.encode(), HTML) for path, page in pages(found).items()}

    def serve(path: str) -> Handler:
        async def answer(_request: Request) -> Response:
            content, media_type = made()[path]
            headers = {"content-security-policy": CONTENT_SECURITY_POLICY} if media_type == HTML else {}
            return Response(content, media_type=media_type, headers={**headers, "x-content-type-options": "nosniff"})

        return answer

    told = partial(
        Endpoint, method="GET", tag="descriptions", interface=Interface.MANAGEMENT, proof=Proof.NONE, errors=()
    )
    machine = (
        (_NORTHBOUND, "Read the description of the northbound API", OpenApiDocument),
        (_MANAGEMENT, "Read the description of the management API", OpenApiDocument),
        (_PUSHES, "Read the description of the pushes", AsyncApiDocument),
    )
    human = (
        ("/v1/docs", "Read which interfaces there are, as a page"),
        ("/v1/docs/northbound", "Read the description of the northbound API, as a page"),
        ("/v1/docs/management", "Read the description of the management API, as a page"),
        ("/v1/docs/pushes", "Read the description of the pushes, as a page"),
    )
    return [
        *(
            told(path=path, handler=serve(path), summary=summary, answers=(Answer(body=record),))
            for path, summary, record in machine
        ),
        *(
            told(path=path, handler=serve(path), summary=summary, answers=(Answer(media_type=HTML),))
            for path, summary in human
        ),
    ]
