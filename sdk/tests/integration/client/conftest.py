"""A real HTTP/1.1 server on loopback that misbehaves on request: it drops, hangs, drips, throttles, counts logins."""

import http.server
import socketserver
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
import pytest

from firmcast_sdk import AsyncNorthboundClient, NorthboundClient
from firmcast_sdk.wire import authentication, errors
from firmcast_sdk.wire.errors import encode_error
from firmcast_sdk.wire.queries import parse_pairs


@dataclass(frozen=True)
class Heard:
    """A request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Say:
    """Answer so."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Drop:
    """End the connection after the whole request was read: the platform may have acted."""


class Hang:
    """Say nothing until the server ends."""


class Drip:
    """Begin an answer and send a byte now and then, without ever ending it."""


Action = Say | Drop | Hang | Drip


class TrickyPlatform:
    """Knows tokens; answers everything else by a script, which gives one action for each request."""

    say = Say
    drop = Drop
    hang = Hang
    drip = Drip

    def __init__(self):
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.heard: list[Heard] = []
        self.logins = 0
        self.refreshes = 0
        self.logouts = 0
        self.logins_at_once = 0
        self.most_logins_at_once = 0
        self.expires_in = 3600
        self.tokens: set[str] = set()
        self.refresh_tokens: set[str] = set()
        self.hold_logins: Callable[[], None] = lambda: None
        self.has_given_a_token = threading.Event()
        self.script: deque[Action] = deque()
        self.answer: Callable[[Heard], Action] = lambda _: Say()
        self.login_script: deque[Action] = deque()

    def act(self, heard: Heard) -> Action:
        if heard.path == authentication.LOGIN_PATH or heard.path == authentication.REFRESH_PATH:
            return self.give_token(heard)
        if heard.path == authentication.LOGOUT_PATH:
            with self.lock:
                self.logouts += 1
                self.tokens.discard(msgspec.json.decode(heard.body)["accessToken"])
            return Say(204)
        with self.lock:
            self.heard.append(heard)
            if heard.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
                return Say(403, encode_error(errors.BAD_TOKEN))
            if self.script:
                return self.script.popleft()
        return self.answer(heard)

    def give_token(self, heard: Heard) -> Action:
        with self.lock:
            if self.login_script:
                return self.login_script.popleft()
            self.logins_at_once += 1
            self.most_logins_at_once = max(self.most_logins_at_once, self.logins_at_once)
        self.hold_logins()
        with self.lock:
            self.logins_at_once -= 1
            if heard.path == authentication.LOGIN_PATH:
                if parse_pairs(heard.body).get("secret") != "word":
                    return Say(401, encode_error(errors.APP_ID_OR_SECRET_WRONG))
                self.logins += 1
            else:
                given = msgspec.json.decode(heard.body)["refreshToken"]
                if given not in self.refresh_tokens:
                    return Say(401, encode_error(errors.REFRESH_FAILED))
                self.refreshes += 1
            number = self.logins + self.refreshes
            self.tokens = {f"access-{number}"}  # a new one ends the older one
            self.refresh_tokens = {f"refresh-{number}"}
            self.has_given_a_token.set()
            body = authentication.TokenResponse(
                expires_in=self.expires_in, access_token=f"access-{number}", refresh_token=f"refresh-{number}"
            )
            return Say(200, msgspec.json.encode(body))

    def take_tokens_away(self):
        with self.lock:
            self.tokens = set()
            self.refresh_tokens = set()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    platform: TrickyPlatform

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.handle_one
        raise AttributeError(name)

    def handle_one(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        action = self.platform.act(Heard(self.command, url.path, url.query, headers, body))
        match action:
            case Say():
                self.say(action)
            case Drop():
                self.close_connection = True
            case Hang():
                self.platform.ended.wait(30)
                self.close_connection = True
            case Drip():
                self.drip()

    def say(self, action: Say):
        self.send_response(action.status)
        for name, value in {"content-type": "application/json", **action.headers}.items():
            self.send_header(name, value)
        if action.status != 204:
            self.send_header("content-length", str(len(action.body)))
        self.end_headers()
        self.wfile.write(action.body)

    def drip(self):
        self.send_response(200)
        self.send_header("content-length", "1000000")
        self.end_headers()
        self.close_connection = True
        while not self.platform.ended.wait(0.02):
            self.wfile.write(b" ")
            self.wfile.flush()

    def log_message(self, *_):
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A client that goes away is what some tests are about."""


@pytest.fixture
def tricky():
    return TrickyPlatform()


@pytest.fixture
def tricky_url(tricky):
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"platform": tricky}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    tricky.ended.set()
    server.shutdown()
    thread.join(20)
    server.server_close()


class _Blocking:
    """The blocking client behind the same face as the other one: what the tests below do, they do with both."""

    def __init__(self, client: NorthboundClient):
        self._client = client

    async def __aenter__(self):
        self._client.__enter__()
        return self

    async def __aexit__(self, *ended):
        self._client.__exit__(*ended)

    def __getattr__(self, name):
        method = getattr(self._client, name)

        async def call(*arguments, **keywords):
            return method(*arguments, **keywords)

        return call


@pytest.fixture(params=["blocking", "asynchronous"])
def connect(request, tricky_url):
    """Makes a client of either kind, to be used with `async with` and `await`; lists apart."""

    def make(url=tricky_url, **given):
        arguments = {"app_id": "app", "secret": "word", **given}
        if request.param == "blocking":
            return _Blocking(NorthboundClient(url, **arguments))
        return AsyncNorthboundClient(url, **arguments)

    return make
