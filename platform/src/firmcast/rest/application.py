"""All routes stand in one application, which answers JSON even where no route does."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from firmcast.rest.errors import exception_handlers


def http_application(routes: Sequence[BaseRoute]) -> Starlette:
    """Return the ASGI application of these routes."""
    application = Starlette(routes=list(routes), exception_handlers=exception_handlers())
    # A redirect would lead a client to the same path with its body dropped.
    application.router.redirect_slashes = False
    return application
