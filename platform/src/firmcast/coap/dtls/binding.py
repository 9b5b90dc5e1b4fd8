"""The one module that reaches below pyOpenSSL: its API has DTLS and cookies, though no pre-shared keys.

The callbacks for them are set through cryptography's binding of OpenSSL, which is not a public interface: `self_test`
finds out at every start whether it still does what is needed here. A client's messages are read and written by it too,
since that takes half the time of pyOpenSSL's calls.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from firmcast.coap.dtls.records import is_single_record

SUITES: Final = b"PSK-AES128-CCM8:PSK-AES128-CCM:PSK-AES128-GCM-SHA256:PSK-AES128-CBC-SHA256:@SECLEVEL=0"
"""CCM_8 is what LwM2M requires of every client (RFC 7925 section 4.2); its short tag is below OpenSSL's level 1.

CBC is for clients of LwM2M 1.0 that know nothing else, and is never taken where one of the others can be.
"""

_DTLS_1_2: Final = 0xFEFD
_LARGEST_STREAM: Final = 1 << 16
_LARGEST_MESSAGE: Final = (1 << 14) + 256
_binding = Binding()
_lib: Any = _binding.lib
_ffi: Any = _binding.ffi
_SSL_read, _SSL_write, _BIO_read, _BIO_write = _lib.SSL_read, _lib.SSL_write, _lib.BIO_read, _lib.BIO_write
_unpack: Callable[[Any, int], bytes] = _ffi.unpack
_of_thread = threading.local()

KeyOf = Callable[[bytes], bytes | None]
"""Returns the key of an identity, None for one that is not known. Called while a handshake is carried on."""


def server_context(key_of: KeyOf) -> SSL.Context:
    """Return what server connections are made of. Without cookies: see `SSL.Context.set_cookie_generate_callback`."""
    context = _context(SSL.DTLS_SERVER_METHOD)
    assert SSL.OP_COOKIE_EXCHANGE is not None
    context.set_options(SSL.OP_COOKIE_EXCHANGE | SSL.OP_CIPHER_SERVER_PREFERENCE)

    def answer(_ssl: Any, identity: Any, key: Any, longest: int) -> int:
        # A zero is answered by the alert `unknown_psk_identity` (RFC 4279 section 2).
        found = key_of(_ffi.string(identity)) or b""
        if len(found) > longest:
            return 0
        _ffi.memmove(key, found, len(found))
        return len(found)

    callback = _ffi.callback("unsigned int(SSL *, const char *, unsigned char *, unsigned int)", answer, error=0)
    _lib.SSL_CTX_set_psk_server_callback(_inner(context), callback)
    return _keeping(context, callback)


def client_context(identity: bytes, key: bytes) -> SSL.Context:
    """Return what connections of one client are made of. Raises ValueError for an identity that cannot be sent."""
    if not identity or b"\0" in identity:
        message = "an identity has one byte at least, and none of them is NUL"
        raise ValueError(message)
    context = _context(SSL.DTLS_CLIENT_METHOD)

    def answer(_ssl: Any, _hint: Any, own: Any, longest: int, secret: Any, longest_key: int) -> int:
        if len(identity) >= longest or len(key) > longest_key:
            return 0
        _ffi.memmove(own, identity + b"\0", len(identity) + 1)
        _ffi.memmove(secret, key, len(key))
        return len(key)

    callback = _ffi.callback(
        "unsigned int(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)", answer, error=0
    )
    _lib.SSL_CTX_set_psk_client_callback(_inner(context), callback)
    return _keeping(context, callback)


def connection(context: SSL.Context, largest_datagram: int) -> SSL.Connection:
    """Return a connection that reads and writes memory."""
    made = SSL.Connection(context, None)
    made.set_ciphertext_mtu(largest_datagram)
    return made


def take_written(written: SSL.Connection) -> bytes:
    """Return what a connection has to send: records, one after another."""
    try:
        return written.bio_read(_LARGEST_STREAM)
    except SSL.WantReadError:
        return b""


class SessionEndedError(Exception):
    """The peer closed the session, or broke it."""


class RecordLayer:
    """Reads and writes the records of a client whose handshake is over."""

    __slots__ = ("_buffer", "_connection", "_incoming", "_outgoing", "_ssl")

    def __init__(self, opened: SSL.Connection) -> None:
        """Take a connection; it is used by the present thread only."""
        self._connection = opened
        self._ssl: Any = opened._ssl  # noqa: SLF001 -- see above
        self._incoming: Any = opened._into_ssl  # noqa: SLF001
        self._outgoing: Any = opened._from_ssl  # noqa: SLF001
        self._buffer: Any = _buffer_of_thread()

    def messages(self, datagram: bytes) -> list[bytes]:
        """Take in a datagram and return its messages; what does not verify, or came before, is passed over.

        Raises SessionEndedError.
        """
        _BIO_write(self._incoming, datagram, len(datagram))
        messages: list[bytes] = []
        try:
            while (message := self._read()) is not None:
                messages.append(message)
                if is_single_record(datagram):
                    break
        except SessionEndedError:
            # What ended it is told again at the next datagram; these came before.
            if not messages:
                raise
        return messages

    def write(self, message: bytes) -> bytes:
        """Return the record of a message. Raises SessionEndedError."""
        if _SSL_write(self._ssl, message, len(message)) <= 0:
            _lib.ERR_clear_error()
            raise SessionEndedError
        return _unpack(self._buffer, _BIO_read(self._outgoing, self._buffer, _LARGEST_MESSAGE))

    def _read(self) -> bytes | None:
        length = _SSL_read(self._ssl, self._buffer, _LARGEST_MESSAGE)
        if length > 0:
            return _unpack(self._buffer, length)
        self._check(length)
        return None

    def _check(self, result: int) -> None:
        error = _lib.SSL_get_error(self._ssl, result)
        # What is left in OpenSSL's queue would be taken for the error of the next call, of whatever session.
        _lib.ERR_clear_error()
        if error != _lib.SSL_ERROR_WANT_READ:
            raise SessionEndedError


def _buffer_of_thread() -> Any:
    buffer = getattr(_of_thread, "buffer", None)
    if buffer is None:
        buffer = _of_thread.buffer = _ffi.new("char[]", _LARGEST_MESSAGE)
    return buffer


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_cipher_list(SUITES)
    # A resumed session would not say whose it is, and saves a PSK handshake nothing.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # A session is silent most of the time: it holds no buffers then.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    return context


def _inner(context: SSL.Context) -> Any:
    return context._context  # noqa: SLF001 -- the one private name that is needed


def _keeping(context: SSL.Context, callback: Any) -> SSL.Context:
    """Let the callback live as long as the context: OpenSSL holds no reference to it."""
    context.set_app_data(callback)
    return context
