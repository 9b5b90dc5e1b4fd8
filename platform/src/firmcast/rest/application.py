"""All calls stand in one application, which answers JSON even where there is no such call."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from firmcast.rest.endpoints import Endpoint
from firmcast.rest.errors import exception_handlers


def http_application(calls: Sequence[BaseRoute | Endpoint], *, absent: str = "") -> Starlette:
    """Return the ASGI application of these calls; `absent` says where others are served, if they are."""
    routes: list[BaseRoute] = []
    for call in calls:
        routes += call.routes() if isinstance(call, Endpoint) else [call]
    application = Starlette(routes=routes, exception_handlers=exception_handlers())
    # A redirect would lead a client to the same path with its body dropped.
    application.router.redirect_slashes = False
    application.state.absent = absent
    return application
