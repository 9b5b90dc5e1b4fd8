"""The HTTP library is named here alone, and imported only when a client is made: receivers do without it."""

import importlib
import ssl
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from firmcast_sdk.client.calls import Request
from firmcast_sdk.errors import ClientExtraMissingError

DEFAULT_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """How the platform is reached."""

    timeout: timedelta = DEFAULT_TIMEOUT
    """For connecting, and for each wait for bytes."""

    verify: bool | str | Path | ssl.SSLContext = True
    """True: the system's certificate authorities; a path: those of a PEM file; False: no verification, for trials."""

    client_certificate: tuple[str, str] | str | None = None
    """PEM file of certificate and key, or a pair of files."""


def http_library() -> ModuleType:
    """The HTTP library; raises ClientExtraMissingError when it is not installed."""
    try:
        return importlib.import_module("httpx2")
    except ImportError as error:
        raise ClientExtraMissingError("the client needs firmcast-sdk[client]") from error


def client_arguments(base_url: str, options: TransportOptions) -> dict[str, Any]:
    """What either client of the HTTP library is made with; proxies of the environment are not used."""
    return {
        "base_url": base_url.rstrip("/"),
        "timeout": options.timeout.total_seconds(),
        "verify": _context(options),
        "follow_redirects": False,
        "trust_env": False,
    }


def request_arguments(request: Request) -> dict[str, Any]:
    """What the HTTP library is to send."""
    return {
        "method": request.method,
        "url": request.target,
        "headers": request.headers,
        "content": request.body or None,
    }


def _context(options: TransportOptions) -> ssl.SSLContext:
    match options.verify:
        case ssl.SSLContext():
            context = options.verify
        case True:
            context = ssl.create_default_context()
        case False:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        case _:
            context = ssl.create_default_context(cafile=str(options.verify))
    match options.client_certificate:
        case str() as both:
            context.load_cert_chain(both)
        case (certificate, key):
            context.load_cert_chain(certificate, key)
        case None:
            pass
    return context
