"""Through a real HTTP proxy on loopback; proxies of the environment are passed by."""

import base64
import contextlib
import select
import socket
import socketserver
import ssl
import threading

import pytest

from firmcast_sdk import AsyncNorthboundClient, NorthboundClient, NotReachedError, RetryPolicy, TransportOptions

ONCE = RetryPolicy(tries=1)


class _Tunnel(socketserver.BaseRequestHandler):
    """Answers CONNECT, then hands bytes on in both directions."""

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.request.recv(4096)
        self.server.heads.append(head)
        if self.server.refusing or b"CONNECT" not in head:
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return
        host, _, port = head.split()[1].decode().partition(":")
        with socket.create_connection((host, int(port))) as onward:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ways = {self.request: onward, onward: self.request}
            with contextlib.suppress(OSError):
                while True:
                    for readable in select.select(list(ways), [], [], 20)[0]:
                        data = readable.recv(65536)
                        if not data:
                            return
                        ways[readable].sendall(data)


class _Proxy(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    refusing = False

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def proxy():
    server = _Proxy(("127.0.0.1", 0), _Tunnel)
    server.heads = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join(20)
    server.server_close()


@pytest.fixture
def https_url(serve_wsgi, small_platform, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    with serve_wsgi(small_platform, context) as url:
        yield url


async def test_both_clients_go_through_the_proxy_that_was_given(proxy, https_url, certificates, small_platform):
    options = TransportOptions(verify=certificates / "authority.pem", proxy=f"http://name:word@{proxy.address}")
    with NorthboundClient(https_url, app_id="app", secret="word", options=options) as client:
        client.login()
    async with AsyncNorthboundClient(https_url, app_id="app", secret="word", options=options) as other:
        await other.login()
    assert small_platform.logins == 2
    assert len(proxy.heads) == 2
    assert base64.b64encode(b"name:word") in proxy.heads[0]


def test_a_proxy_that_refuses_means_that_nothing_arrived(proxy, https_url, certificates, small_platform):
    proxy.refusing = True
    options = TransportOptions(verify=certificates / "authority.pem", proxy=f"http://{proxy.address}")
    with (
        NorthboundClient(https_url, app_id="app", secret="word", options=options, retry=ONCE) as client,
        pytest.raises(NotReachedError),
    ):
        client.login()
    assert small_platform.logins == 0


def test_the_environments_proxy_is_passed_by(proxy, https_url, certificates, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    options = TransportOptions(verify=certificates / "authority.pem")
    with NorthboundClient(https_url, app_id="app", secret="word", options=options) as client:
        client.login()
    assert proxy.heads == []
