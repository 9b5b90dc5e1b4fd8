"""A receiver inside a larger application, ASGI and WSGI."""

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from firmcast_sdk import FirmwareState, Receiver
from firmcast_sdk.testing import Platform


@pytest.mark.parametrize(
    ("mount", "path", "status"),
    [
        ("/hooks", "/hooks/v1.0.0/messageReceiver", 200),
        ("/hooks", "/hooks/", 200),
        ("/hooks", "/hooks/other", 404),
        ("/", "/v1.0.0/messageReceiver", 200),
        ("/v1.0.0", "/v1.0.0/messageReceiver", 404),
    ],
)
def test_mounted_in_starlette(mount, path, status):
    platform = Platform(asgi=Starlette(routes=[Mount(mount, Receiver().asgi)]), path=path)
    assert platform.send(platform.firmware_state("d", FirmwareState.IDLE)).status == status


def test_as_a_route_of_starlette():
    receiver = Receiver(path="/pushes")
    app = Starlette(routes=[Route("/pushes", receiver.asgi, methods=["POST"])])
    platform = Platform(asgi=app, path="/pushes")
    assert platform.send(platform.firmware_state("d", FirmwareState.IDLE)).status == 200


@pytest.mark.parametrize(("rest", "status"), [("", 200), ("/v1.0.0/messageReceiver", 200), ("/x", 404)])
def test_below_another_wsgi_application(rest, status):
    receiver = Receiver()

    def larger(environ, start_response):
        return receiver.wsgi(environ | {"SCRIPT_NAME": "/hooks", "PATH_INFO": rest}, start_response)

    platform = Platform(wsgi=larger, path="/hooks" + rest)
    assert platform.send(platform.firmware_state("d", FirmwareState.IDLE)).status == status
