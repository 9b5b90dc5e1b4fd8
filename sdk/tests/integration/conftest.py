"""Real servers on loopback: uvicorn for ASGI, the standard library's for WSGI and for a small platform."""

import contextlib
import ipaddress
import socket
import socketserver
import threading
import wsgiref.simple_server
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from firmcast_sdk.wire import authentication, devices, errors, operations, subscriptions
from firmcast_sdk.wire.decoding import decode_struct
from firmcast_sdk.wire.encoding import encode_response
from firmcast_sdk.wire.errors import encode_error
from firmcast_sdk.wire.queries import decode_query
from firmcast_sdk.wire.times import parse_time


class _QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


class _ThreadingServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    tls = None

    def get_request(self):
        connection, address = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        """A refused handshake is what some tests are about."""


@contextlib.contextmanager
def _uvicorn(app, lifespan="on"):
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, ws="none", loop="asyncio", lifespan=lifespan)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        # The socket listens already: a client's connection waits until the server takes it.
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@contextlib.contextmanager
def _wsgiref(app, tls=None):
    server = wsgiref.simple_server.make_server(
        "127.0.0.1", 0, app, server_class=_ThreadingServer, handler_class=_QuietHandler
    )
    server.tls = tls
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


@pytest.fixture
def serve_wsgi():
    """Serves a WSGI application; a context manager that gives its base URL."""
    return _wsgiref


@pytest.fixture
def serve_asgi():
    """Serves an ASGI application; a context manager that gives its base URL."""
    return _uvicorn


@pytest.fixture(params=["uvicorn", "wsgiref"])
def serve(request):
    """Serves a receiver through one of its interfaces; a context manager that gives its base URL."""

    def start(receiver):
        return _uvicorn(receiver.asgi) if request.param == "uvicorn" else _wsgiref(receiver.wsgi)

    return start


class SmallPlatform:
    """A WSGI application with the calls that these tests make; a new token ends the older one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.logins = 0
        self.token = None
        self.callbacks = []
        self.operations = []

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self.lock:
            status, answer = self.answer(environ, body)
        start_response(f"{status} -", [("Content-Type", "application/json")])
        return [answer]

    def answer(self, environ, body):
        path = environ["PATH_INFO"]
        if path == authentication.LOGIN_PATH:
            return self.login(decode_query(authentication.LoginRequest, body))
        if environ.get("HTTP_AUTHORIZATION") != f"Bearer {self.token}" or environ.get("HTTP_APP_KEY") != "app":
            return 403, encode_error(errors.BAD_TOKEN)
        if path == subscriptions.MANAGEMENT_SUBSCRIBE_PATH:
            self.callbacks.append(decode_struct(subscriptions.ManagementSubscribeRequest, body).callback_url)
            return 200, b""
        if path == devices.DEVICE_CREDENTIALS_PATH:
            node_id = decode_struct(devices.RegisterDeviceRequest, body).node_id
            answer = devices.RegisterDeviceResponse(device_id=f"id-{node_id}", verify_code="v", timeout=180, psk="p")
            return 200, encode_response(answer)
        if path == operations.FIRMWARE_UPGRADE_PATH:
            return 200, encode_response(self.create(decode_struct(operations.CreateUpgradeRequest, body)))
        if path == operations.OPERATIONS_PATH:
            query = decode_query(operations.OperationQuery, environ["QUERY_STRING"])
            return 200, encode_response(self.page(query))
        return 404, encode_error(errors.TASK_NOT_FOUND)

    def login(self, request):
        if request.secret != "word":
            return 401, encode_error(errors.APP_ID_OR_SECRET_WRONG)
        self.logins += 1
        self.token = f"token-{self.logins}"
        response = authentication.TokenResponse(expires_in=3600, access_token=self.token)
        return 200, encode_response(response)

    def create(self, request):
        operation_id = f"task-{len(self.operations)}"
        self.operations.append(
            operations.Operation(
                operation_id=operation_id,
                create_time=parse_time("20260101T000000Z"),
                operate_type=operations.OperateType.FIRMWARE,
                targets=request.targets,
                status=operations.OperationStatus.WAIT,
                sta_result=operations.StageResult(total=1, wait=1),
            )
        )
        return operations.CreateUpgradeResponse(operation_id=operation_id)

    def page(self, query):
        start = query.page_no * query.page_size
        return operations.OperationList(
            data=tuple(self.operations[start : start + query.page_size]),
            page_no=query.page_no,
            page_size=query.page_size,
            total_count=len(self.operations),
            total_size=len(self.operations),
        )


@pytest.fixture
def small_platform():
    return SmallPlatform()


@pytest.fixture
def base_url(serve_wsgi, small_platform):
    with serve_wsgi(small_platform) as url:
        yield url


def _certificate(name, key, issuer, issuer_key, *, authority):
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=authority,
                crl_sign=authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A folder with authority.pem, and server.pem and client.pem with their keys, issued by it for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("authority", authority_key, None, authority_key, authority=True)
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, authority, authority_key, authority=False)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return folder
