"""One suite for one receiver, under every server and framework that it is said to mount in."""

import base64
import contextlib
import http.client
import sys
import threading
import types
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import django.conf
import fastapi
import flask
import pytest
import werkzeug.serving
from django.core.asgi import get_asgi_application
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from firmcast_sdk import FirmwareState, PushMessageReceiver, Receiver, SqliteDeliveryStore
from firmcast_sdk.receiver.reception import DEFAULT_PATH, DEFAULT_SIZE_LIMIT
from firmcast_sdk.testing import Platform, Trouble, reordered, troubled

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
HOOKS = f"/hooks{DEFAULT_PATH}"


def configure_django():
    from django.http import HttpResponse
    from django.urls import path

    if not django.conf.settings.configured:
        urls = types.ModuleType("firmcast_test_urls")
        urls.urlpatterns = [path("own", lambda _request: HttpResponse("own page"))]
        sys.modules[urls.__name__] = urls
        django.conf.settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls.__name__, SECRET_KEY="for tests")


def in_fastapi(receiver):
    app = fastapi.FastAPI()
    app.mount("/hooks", receiver.asgi)
    app.get("/own", response_class=PlainTextResponse)(lambda: "own page")
    return app


def in_starlette(receiver):
    own = Route("/own", lambda _request: PlainTextResponse("own page"))
    return Starlette(routes=[Mount("/hooks", receiver.asgi), own])


def in_flask(receiver):
    app = flask.Flask(__name__)
    app.get("/own")(lambda: "own page")
    app.wsgi_app = receiver.wsgi.below("/hooks", app.wsgi_app)
    return app


def in_django_asgi(receiver):
    configure_django()
    return receiver.asgi.below("/hooks", get_asgi_application())


def in_django_wsgi(receiver):
    configure_django()
    return receiver.wsgi.below("/hooks", get_wsgi_application())


class QuietWerkzeug(werkzeug.serving.WSGIRequestHandler):
    def log(self, *_):
        pass


class QuietDjango(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def running(server, port):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def werkzeug_server(app):
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietWerkzeug)
    server.daemon_threads = True
    return running(server, server.port)


def django_server(app):
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietDjango)
    server.set_app(app)
    return running(server, server.server_port)


@pytest.fixture(params=["uvicorn", "wsgiref", "fastapi", "starlette", "flask", "django-asgi", "django-wsgi"])
def serve_mounted(request, serve_asgi, serve_wsgi):
    """Serves a receiver; a context manager that gives the base URL of the callback path."""
    makers = {
        "uvicorn": lambda receiver: (serve_asgi(receiver.asgi), DEFAULT_PATH),
        "wsgiref": lambda receiver: (serve_wsgi(receiver.wsgi), DEFAULT_PATH),
        "fastapi": lambda receiver: (serve_asgi(in_fastapi(receiver)), HOOKS),
        "starlette": lambda receiver: (serve_asgi(in_starlette(receiver)), HOOKS),
        "flask": lambda receiver: (werkzeug_server(in_flask(receiver)), HOOKS),
        "django-asgi": lambda receiver: (serve_asgi(in_django_asgi(receiver), lifespan="auto"), HOOKS),
        "django-wsgi": lambda receiver: (django_server(in_django_wsgi(receiver)), HOOKS),
    }

    @contextlib.contextmanager
    def start(receiver):
        serving, path = makers[request.param](receiver)
        with serving as base_url:
            yield base_url + path

    return start


class Recorder:
    """A receiver that writes down what it is told; a device named broken makes its handler fail once."""

    def __init__(self, folder):
        self.store = SqliteDeliveryStore(folder / "pushes.sqlite")
        self.receiver = Receiver(secrets=[SECRET], deduplicate=self.store)
        self.events = []
        self.failures = 1
        self.receiver.on_firmware_state(self.take_async)
        self.receiver.on_firmware_result(self.take)
        self.receiver.on_command_status(self.take)
        self.receiver.on_device_added(self.take)

    def take(self, event):
        if event.device_id == "broken" and self.failures:
            self.failures -= 1
            raise RuntimeError("broken on purpose")
        self.events.append(event)

    async def take_async(self, event):
        self.take(event)


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def url(serve_mounted, recorder):
    with serve_mounted(recorder.receiver) as callback_url:
        yield callback_url


@pytest.fixture
def platform(url):
    return Platform(url=url, secrets=[SECRET])


def request(url, method, body=None, headers=None):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request(method, parts.path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type"), answer.read()
    finally:
        connection.close()


def result(answer):
    return answer.status, answer.json().get("result") or answer.json()["error"]


def test_a_whole_upgrade_and_a_copy_of_each(platform, recorder):
    answers = platform.send_all(troubled(platform.firmware_upgrade("d"), Trouble.DUPLICATES, seed=1))
    assert {answer.status for answer in answers} == {200}
    assert [event.sequence for event in recorder.events] == [1, 2, 3, 4, 5]


def test_the_other_pushes_and_the_path_for_commands(platform, url, recorder):
    from firmcast_sdk.wire.notifications import CommandResultCode

    commands = Platform(url=url + "/cmd", secrets=[SECRET])
    assert result(platform.send(platform.device_added("d"))) == (200, "accepted")
    status = commands.command_status("e", "c", CommandResultCode.DELIVERED)
    assert result(commands.send(status)) == (200, "accepted")
    assert result(platform.send(platform.device_deleted("d"))) == (200, "ignored")
    assert [type(event).__name__ for event in recorder.events] == ["DeviceAdded", "CommandStatusChanged"]


def test_bad_and_stale_signatures(platform, url, recorder):
    push = platform.firmware_state("d", FirmwareState.IDLE)
    assert result(platform.send(push.forged())) == (401, "signature_mismatch")
    assert result(platform.send(push.delayed(timedelta(minutes=6)))) == (401, "signature_timestamp")
    unsigned = Platform(url=url)
    assert result(unsigned.send(unsigned.firmware_result("d"))) == (401, "signature_missing")
    assert recorder.events == []
    assert result(platform.send(push)) == (200, "accepted")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8", "text/plain", ""])
def test_any_content_type(platform, url, recorder, content_type):
    push = platform.firmware_result("d")
    headers = platform.headers(push) | {"content-type": content_type}
    assert request(url, "POST", push.body, headers)[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_other_methods(url, method):
    status, content_type, body = request(url, method)
    assert (status, content_type) == (405, "application/json")
    assert method == "HEAD" or b"method_not_allowed" in body


def test_a_path_that_is_not_the_receivers(url):
    assert request(url + "/else", "POST", b"{}")[0] == 404


def test_what_is_too_large(platform, url, recorder):
    status, content_type, body = request(url, "POST", b"x" * (DEFAULT_SIZE_LIMIT + 1))
    assert (status, content_type, b"body_too_large" in body) == (413, "application/json", True)
    assert result(platform.send(platform.firmware_result("d"))) == (200, "accepted")


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"{", b'{"notifyType":"fwUpgradeResultNotify"}'])
def test_what_is_no_push(platform, recorder, body):
    answer = platform.send(platform.firmware_result("d").with_body(body))
    assert answer.status == 400
    assert b"Traceback" not in answer.body


def test_an_unknown_type(platform, recorder, caplog):
    push = platform.firmware_result("d").with_body(b'{"notifyType":"somethingNew"}')
    assert result(platform.send(push)) == (200, "ignored")


def test_another_order_never_goes_back(platform, recorder):
    platform.send_all(reordered([*platform.firmware_upgrade("d"), *platform.firmware_upgrade("e")], seed=4))
    for device_id in ("d", "e"):
        sequences = [event.sequence for event in recorder.events if event.device_id == device_id]
        assert sequences == sorted(set(sequences))
        assert sequences[-1] == 5


def test_a_late_copy(platform, recorder):
    first, second, third = platform.firmware_upgrade("d")[:3]
    assert [result(answer) for answer in platform.send_all([first, third, second, first.again()])] == [
        (200, "accepted"),
        (200, "accepted"),
        (200, "superseded"),
        (200, "duplicate"),
    ]


def test_a_handler_that_fails_is_called_again(platform, recorder, caplog):
    push = platform.firmware_state("broken", FirmwareState.IDLE)
    answer = platform.send(push)
    assert result(answer) == (500, "handler_failed")
    assert b"on purpose" not in answer.body
    assert [result(platform.send(push.again())) for _ in range(2)] == [(200, "accepted"), (200, "duplicate")]


def test_what_was_handled_outlives_the_server(serve_mounted, tmp_path):
    results = []
    for _ in range(2):
        recorder = Recorder(tmp_path)
        with contextlib.closing(recorder.store), serve_mounted(recorder.receiver) as callback_url:
            fresh = Platform(url=callback_url, secrets=[SECRET])
            results += [result(answer) for answer in fresh.send_all(fresh.firmware_upgrade("d"))]
    assert results == [(200, "accepted")] * 5 + [(200, "duplicate")] * 5


def test_the_vendors_surface(serve_mounted, golden):
    class Steps(PushMessageReceiver):
        def __init__(self):
            self.steps = []

        def handleFwUpgradeStateChanged(self, body):
            self.steps.append(body.step)

        async def handleNBCommandStateChanged(self, body):
            self.steps.append(body.result.resultCode)

    steps = Steps()
    with serve_mounted(steps) as callback_url:
        assert request(callback_url, "POST", golden("fw_upgrade_state_change_pretty.json"))[0] == 200
        assert request(callback_url + "/cmd", "POST", golden("command_status.json"))[0] == 200
    assert steps.steps == ["1", "DELIVERED"]


def test_the_rest_of_the_application_is_left_alone(url):
    if "/hooks" not in url:
        return  # the receiver is all there is
    status, _, body = request(url.replace(HOOKS, "/own"), "GET")
    assert (status, body) == (200, b"own page")
    assert request(url.replace(HOOKS, "/hooksmore"), "GET")[0] == 404


def test_the_time_of_a_signature_is_the_senders(url, recorder):
    slow = Platform(url=url, secrets=[SECRET], clock=lambda: datetime.now(UTC) - timedelta(minutes=4))
    assert result(slow.send(slow.firmware_result("d"))) == (200, "accepted")
