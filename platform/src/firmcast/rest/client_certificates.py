"""A client is asked for its certificate; none, an expired one or a stranger's is as good as any: the token decides.

Clients of the vendor's platform send a certificate of whatever authority, and some insist on being asked (contract
page, trap 11). Python's `ssl` can only verify one, so a connection here stands on pyOpenSSL, behind the two classes
that asyncio and uvloop know: `ssl.SSLContext` and the object that its `wrap_bio` returns.
"""

import ssl
from pathlib import Path
from typing import Any, Final, Self

from OpenSSL import SSL

_PROTOCOLS: Final = (b"http/1.1",)
_LARGEST_RECORD: Final = 1 << 14
"""Bytes of plain text in one record (RFC 8446, 5.1): a read returns one at the most."""
_CHUNK: Final = _LARGEST_RECORD + 512
_SESSION_CONTEXT: Final = b"firmcast"


def _let_pass(_connection: SSL.Connection, _certificate: object, _error: int, _depth: int, _valid: int) -> bool:
    return True


def _choose_protocol(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    return next((name for name in _PROTOCOLS if name in offered), SSL.NO_OVERLAPPING_PROTOCOLS)


class AskingContext(ssl.SSLContext):
    """Server side of TLS 1.2 and 1.3 that asks for a client certificate and lets every one pass.

    It is an `ssl.SSLContext` so that event loops take it; what the base class keeps is not used.
    """

    _inner: SSL.Context

    def __new__(cls, certificate: Path, key: Path) -> Self:  # noqa: ARG004 -- the signature of __init__
        """Make the base class, which takes its arguments here."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, certificate: Path, key: Path) -> None:
        """Take the PEM chain and the key of the server.

        Raises:
            FileNotFoundError: one of the files is not there.
            ssl.SSLError: one cannot be used, or they do not belong together.
        """
        for file in (certificate, key):
            if not file.exists():
                raise FileNotFoundError(2, "No such file", str(file))
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(
            SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_SINGLE_ECDH_USE
        )
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_verify(SSL.VERIFY_PEER, _let_pass)
        # Without one OpenSSL refuses to resume a session of a server that asks for certificates.
        context.set_session_id(_SESSION_CONTEXT)
        context.set_alpn_select_callback(_choose_protocol)
        try:
            context.use_certificate_chain_file(str(certificate))
            context.use_privatekey_file(str(key))
            context.check_privatekey()
        except SSL.Error as error:
            raise _tls_error(error) from error
        self._inner = context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> Any:
        """Return the server's side of one connection between two buffers of bytes."""
        if not server_side or server_hostname is not None or session is not None:
            message = "this context serves; it does not connect"
            raise ValueError(message)
        return AskingConnection(self, self._inner, incoming, outgoing)


class AskingConnection:
    """One connection, with the methods of `ssl.SSLObject` that event loops call.

    Its errors are those of `ssl`: `SSLWantReadError` when bytes of the peer are needed, else `SSLError`.
    """

    __slots__ = ("_connection", "_incoming", "_outgoing", "_unread", "context")

    def __init__(
        self, context: AskingContext, inner: SSL.Context, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.context = context
        self._incoming = incoming
        self._outgoing = outgoing
        self._connection = SSL.Connection(inner, None)
        self._connection.set_accept_state()
        self._unread = False

    def do_handshake(self) -> None:
        """Go on with the handshake as far as the bytes reach."""
        self._take()
        try:
            self._connection.do_handshake()
        except SSL.Error as error:
            raise _tls_error(error, ended=self._incoming.eof) from error
        finally:
            self._give()

    def read(self, size: int = _LARGEST_RECORD, buffer: memoryview | None = None) -> Any:
        """Return up to `size` bytes, or write them into `buffer` and return how many; none at the peer's good end.

        As much as there is, is read at once: bytes of ours that OpenSSL holds undecrypted are seen by nobody else, and
        an event loop that finds neither those nor `pending` does not ask again.
        """
        self._take()
        parts: list[bytes] = []
        room = size
        try:
            while room:
                parts.append(self._connection.recv(min(room, _LARGEST_RECORD)))
                room -= len(parts[-1])
        except SSL.ZeroReturnError:
            self._unread = bool(parts)
        except SSL.Error as error:
            self._unread = bool(parts) and not isinstance(error, SSL.WantReadError)
            if not parts:
                raise _tls_error(error, ended=self._incoming.eof) from error
        else:
            self._unread = True
        finally:
            self._give()
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt the beginning of `data` and return how many bytes that was."""
        if not data:
            return 0
        self._take()
        try:
            return self._connection.send(data)
        except SSL.Error as error:
            raise _tls_error(error, ended=self._incoming.eof) from error
        finally:
            self._give()

    def unwrap(self) -> None:
        """Say goodbye; returns once the peer has said it too."""
        self._take()
        try:
            ended = self._connection.shutdown() or self._connection.shutdown()
        except SSL.Error as error:
            raise _tls_error(error, ended=self._incoming.eof) from error
        finally:
            self._give()
        if not ended:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the peer has not said goodbye yet")

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the client's certificate in DER; of an unverified one `ssl` tells no more, so neither do we."""
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            return None
        if not binary_form:
            return {}
        from cryptography.hazmat.primitives.serialization import Encoding

        return certificate.public_bytes(Encoding.DER)

    def cipher(self) -> tuple[str, str, int] | None:
        """Return the name of the cipher, the version that defined it, and its bits."""
        name = self._connection.get_cipher_name()
        if name is None:
            return None
        return name, self._connection.get_cipher_version() or "", self._connection.get_cipher_bits() or 0

    def version(self) -> str:
        """Return the version of TLS, such as `TLSv1.3`."""
        return self._connection.get_protocol_version_name()

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that both sides want, None when the client named none."""
        return self._connection.get_alpn_proto_negotiated().decode() or None

    def compression(self) -> None:
        """Return None: nothing is ever compressed below HTTP."""

    def pending(self) -> int:
        """Return whether something waits to be read, bytes or the peer's end, though not how much."""
        return 1 if self._unread else self._connection.pending()

    def _take(self) -> None:
        if self._incoming.pending:
            # A handshake or a write may take a whole request in passing: only `read` knows that nothing is left.
            self._unread = True
            waiting = self._incoming.read()
            while waiting:
                waiting = waiting[self._connection.bio_write(waiting) :]

    def _give(self) -> None:
        while True:
            try:
                ready = self._connection.bio_read(_CHUNK)
            except SSL.WantReadError:
                return
            self._outgoing.write(ready)
            if len(ready) < _CHUNK:
                return


def _tls_error(error: SSL.Error, *, ended: bool = False) -> ssl.SSLError:
    """Return the same error as `ssl` would have raised it."""
    if isinstance(error, SSL.WantReadError) and not ended:
        return ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more bytes of the peer are needed")
    if isinstance(error, SSL.WantReadError | SSL.SysCallError):
        return ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the peer ended without saying goodbye")
    told = error.args[0] if error.args else ()
    reason = told[0][2] if isinstance(told, list) and told else "the handshake or a record is not as it must be"
    return ssl.SSLError(ssl.SSL_ERROR_SSL, reason)
