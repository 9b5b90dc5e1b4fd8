"""A slot is a libcurl handle prepared once for a kind of connection; each attempt sets what differs, no more."""

import errno
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from socket import AF_INET, AF_INET6, SOCK_STREAM, socket
from types import MappingProxyType
from typing import Any

import pycurl

from firmcast.errors import InvalidValueError
from firmcast.push.answer import SNIPPET_BYTES, Answer, FailureKind
from firmcast.push.destination import DestinationRules, parse_callback_url
from firmcast.push.sending.posted import ANSWER_BYTES
from firmcast.push.sending.proxy import Proxy
from firmcast.push.trust import Trust

_HTTP2_STREAM = 92
"""CURLE_HTTP2_STREAM, which pycurl does not name: the server gave up one request of a connection."""

_ONLY_DEAD_FOUND = "Connection died, tried "
"""How libcurl says that it gives up: each connection that it had kept, one after the other, had been ended."""

_SHARED_REPEATS = 3
"""Of an attempt over HTTP/2: some twenty connections that were kept have been tried then."""

_SUPPRESS_CONNECT_HEADERS = 265
"""CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl does not name either: the head of an answer is the receiver's."""

_FAILURE_KINDS: Mapping[int, FailureKind] = MappingProxyType(
    {
        pycurl.E_COULDNT_RESOLVE_HOST: FailureKind.UNRESOLVED,
        pycurl.E_COULDNT_CONNECT: FailureKind.CONNECT,
        pycurl.E_SSL_CONNECT_ERROR: FailureKind.TLS,
        pycurl.E_PEER_FAILED_VERIFICATION: FailureKind.TLS,
        pycurl.E_SSL_CERTPROBLEM: FailureKind.TLS,
        pycurl.E_SSL_CIPHER: FailureKind.TLS,
        pycurl.E_SSL_ISSUER_ERROR: FailureKind.TLS,
        pycurl.E_SSL_CACERT_BADFILE: FailureKind.TLS,
        pycurl.E_SSL_INVALIDCERTSTATUS: FailureKind.TLS,
        pycurl.E_GOT_NOTHING: FailureKind.CONNECTION_LOST,
        pycurl.E_SEND_ERROR: FailureKind.CONNECTION_LOST,
        pycurl.E_RECV_ERROR: FailureKind.CONNECTION_LOST,
        pycurl.E_PARTIAL_FILE: FailureKind.CONNECTION_LOST,
        pycurl.E_SEND_FAIL_REWIND: FailureKind.CONNECTION_LOST,
        _HTTP2_STREAM: FailureKind.CONNECTION_LOST,
        pycurl.E_OUT_OF_MEMORY: FailureKind.LOCAL,
        pycurl.E_FAILED_INIT: FailureKind.LOCAL,
        pycurl.E_ABORTED_BY_CALLBACK: FailureKind.LOCAL,
        pycurl.E_BAD_FUNCTION_ARGUMENT: FailureKind.LOCAL,
        pycurl.E_UNKNOWN_OPTION: FailureKind.LOCAL,
        pycurl.E_NOT_BUILT_IN: FailureKind.LOCAL,
        pycurl.E_SSL_ENGINE_INITFAILED: FailureKind.LOCAL,
    }
)
"""Any other code means that what came back is not the HTTP we asked for."""

_OUR_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_LINUX_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """What all attempts have in common."""

    rules: DestinationRules
    attempt_timeout: timedelta
    connect_timeout: timedelta
    idle_connection: timedelta
    http2: bool
    proxy: Proxy | None = None


class _HandedOver:
    """libcurl works on a duplicate of the socket that it is given; this one goes once that has been made."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor


class AttemptSlot:
    """One libcurl handle and the buffers of the attempt that it makes."""

    __slots__ = (
        "_attempt_timeout",
        "_blocked",
        "_body",
        "_body_size",
        "_dialled",
        "_forbidden",
        "_head",
        "_is_afresh",
        "_local_fault",
        "_proxied",
        "_proxy",
        "_repeats",
        "_rules",
        "_spent",
        "_url",
        "_waits",
        "handle",
        "trust",
    )

    def __init__(self, settings: SlotSettings, trust: Trust) -> None:
        """Prepare a handle.

        Raises:
            pycurl.error: when libcurl does not take a certificate or an option.
        """
        self.trust = trust
        self._rules = settings.rules
        self._proxy = settings.proxy
        self._proxied = False
        self._forbidden = False
        self._url = ""
        self._waits = False
        self._is_afresh = False  # on a connection of its own, whatever is there
        self._repeats = 0  # of the present attempt, where libcurl had given up
        self._attempt_timeout = settings.attempt_timeout
        self._spent = 0.0  # of the attempt's time, before libcurl had it
        self._head = BytesIO()
        self._body: list[bytes] = []
        self._body_size = 0
        self._blocked = False
        self._dialled = False
        self._local_fault = ""
        self.handle: Any = pycurl.Curl()
        self._set_manners(settings)
        if trust.authorities:
            self.handle.setopt(pycurl.CAINFO_BLOB, trust.authorities)
        elif authorities := system_authorities():
            self.handle.setopt(pycurl.CAINFO, authorities)
        if trust.client_certificate:
            self.handle.setopt(pycurl.SSLCERT_BLOB, trust.client_certificate)
            self.handle.setopt(pycurl.SSLKEY_BLOB, trust.client_key or trust.client_certificate)

    @property
    def url(self) -> str:
        """Where the last attempt went."""
        return self._url

    @property
    def spoke_http2(self) -> bool:
        """Whether the last attempt was answered on a connection that carries many at a time."""
        return bool(self.handle.getinfo(pycurl.INFO_HTTP_VERSION) == pycurl.CURL_HTTP_VERSION_2_0)

    @property
    def had_connection(self) -> bool:
        """Whether the last attempt went over a connection that was there."""
        return int(self.handle.getinfo(pycurl.NUM_CONNECTS)) == 0

    @property
    def is_tls(self) -> bool:
        """Whether the last attempt went to an https URL."""
        return self._url.startswith("https:")

    @property
    def is_direct(self) -> bool:
        """Whether the last attempt went to the receiver itself, and as nobody in particular."""
        return not self._proxied and not self.trust.client_certificate

    @property
    def port(self) -> int:
        """The port that the last attempt dialled."""
        return int(self.handle.getinfo(pycurl.PRIMARY_PORT))

    @property
    def looks_up(self) -> bool:
        """Whether the name of the present attempt is still being looked up, as far as can be seen."""
        return bool(self.handle.getinfo(pycurl.NAMELOOKUP_TIME) == 0)

    def prepare(
        self,
        url: str,
        headers: list[str],
        body: bytes,
        *,
        waits: bool = False,
        spent: float = 0.0,
    ) -> None:
        """Make ready for an attempt; one that `waits` shares a connection that is being opened.

        Over HTTP/1.1 that would be to wait for the answer of the attempt that has opened it. Of its time so many
        seconds are `spent`.

        Raises:
            ValueError: a header line holds what would end it: not even a fault of our own makes two of one.
        """
        text = "\n".join(headers)
        if "\r" in text or "\0" in text or text.count("\n") >= max(1, len(headers)):
            raise ValueError("a header line holds a character that would end it")
        handle = self.handle
        if url != self._url:
            handle.setopt(pycurl.URL, url)
            if self._proxy is not None:
                self._choose_route(url, self._proxy)
            self._url = url
        if waits is not self._waits:
            handle.setopt(pycurl.PIPEWAIT, int(waits))
            self._waits = waits
        self._spend(spent)
        self._choose_connection(afresh=False)
        self._repeats = 0
        handle.setopt(pycurl.HTTPHEADER, headers)
        handle.setopt(pycurl.POSTFIELDS, body)
        self._clear()

    def prepare_afresh(self, message: str) -> bool:
        """Make ready for the same attempt once more, if there is reason; say whether.

        It is where libcurl has tried six connections that it had kept, and not a byte came back on any: a receiver
        that starts anew has ended them all at once. The next one is new. Where attempts share connections that would
        be one for each: there the few that are left are tried, and then all share a new one. The attempt's time goes
        on.
        """
        most = _SHARED_REPEATS if self._waits else 1
        if self._repeats >= most or not message.startswith(_ONLY_DEAD_FOUND):
            return False
        self._spend(self._spent + self.handle.getinfo(pycurl.TOTAL_TIME))
        self._repeats += 1
        self._choose_connection(afresh=not self._waits)
        self._clear()
        return True

    def _spend(self, seconds: float) -> None:
        if seconds != self._spent:
            left = self._attempt_timeout - timedelta(seconds=seconds)
            self.handle.setopt(pycurl.TIMEOUT_MS, _milliseconds(left))
            self._spent = seconds

    def _choose_connection(self, *, afresh: bool) -> None:
        if afresh is not self._is_afresh:
            self.handle.setopt(pycurl.FRESH_CONNECT, int(afresh))
            self._is_afresh = afresh

    def _clear(self) -> None:
        """Forget the answer before."""
        self._head.seek(0)
        self._head.truncate()
        self._body_size = 0
        if self._body:
            self._body = []
        self._blocked = False
        self._dialled = False
        self._local_fault = ""

    def answer(self, code: int, message: str) -> Answer:
        """Return what the attempt came to, `code` being libcurl's result."""
        handle = self.handle
        duration = handle.getinfo(pycurl.TOTAL_TIME) + self._spent
        address = handle.getinfo(pycurl.PRIMARY_IP) or None
        head = self._head.getvalue()
        if self._has_whole_head(code, head):
            status = handle.getinfo(pycurl.RESPONSE_CODE)
            if status >= 200:
                return Answer(
                    status=status,
                    failure=None,
                    retry_after=_retry_after(head) if status in {429, 503} else None,
                    snippet=b"".join(self._body)[:SNIPPET_BYTES],
                    address=address,
                    duration=duration,
                )
        return Answer(
            status=None,
            failure=self._failure(code),
            address=address,
            duration=duration,
            detail=self._local_fault or message,
        )

    def close(self) -> None:
        """Give the handle back."""
        self.handle.close()

    def _has_whole_head(self, code: int, head: bytes) -> bool:
        """Say whether the answer's head came to its end; a trailer may stand behind it when all went well."""
        return self._body_size > 0 or head.endswith(b"\r\n\r\n") or (code == 0 and b"\r\n\r\n" in head)

    def _failure(self, code: int) -> FailureKind:
        if self._proxied and (failure := self._proxys_failure(code)) is not None:
            return failure
        if code == pycurl.E_OPERATION_TIMEDOUT:
            if self.handle.getinfo(pycurl.REQUEST_SIZE) > 0:
                return FailureKind.TIMEOUT
            resolved = self.handle.getinfo(pycurl.NAMELOOKUP_TIME) > 0
            return FailureKind.CONNECT_TIMEOUT if resolved else FailureKind.UNRESOLVED
        if code == pycurl.E_COULDNT_CONNECT:
            if self._local_fault or self.handle.getinfo(pycurl.OS_ERRNO) in _OUR_ERRNOS:
                return FailureKind.LOCAL
            if self._blocked and not self._dialled:
                return FailureKind.BLOCKED
        return _FAILURE_KINDS.get(code, FailureKind.PROTOCOL)

    def _proxys_failure(self, code: int) -> FailureKind | None:
        """Say what came of the tunnel; None when it is there, or when what went wrong is told by `code` alone."""
        if self._forbidden or self._local_fault:
            return None
        answered = self.handle.getinfo(pycurl.HTTP_CONNECTCODE)
        if answered == 407:
            return FailureKind.PROXY
        if answered == 403:
            return FailureKind.BLOCKED
        if answered >= 300:
            return FailureKind.CONNECT  # 502, 503, 504: it did not reach the receiver
        if code == pycurl.E_COULDNT_RESOLVE_PROXY:
            return FailureKind.PROXY
        asked = self.handle.getinfo(pycurl.REQUEST_SIZE) > 0  # a tunnel that was there before answers nothing
        if code in {pycurl.E_COULDNT_CONNECT, pycurl.E_OPERATION_TIMEDOUT} and not answered and not asked:
            connected = self.handle.getinfo(pycurl.CONNECT_TIME) > 0
            return FailureKind.CONNECT_TIMEOUT if connected else FailureKind.PROXY
        return None

    # ------------------------------------------------------------------ preparation

    def _choose_route(self, url: str, proxy: Proxy) -> None:
        """Go through the proxy or not. What it is asked for is judged before, as far as the URL tells."""
        try:
            target = parse_callback_url(url, port_required=False)
            self._proxied = proxy.carries(target.host)
            self._forbidden = False
            if self._proxied:
                self._rules.check_for_proxy(target)
        except InvalidValueError:
            self._proxied = self._forbidden = True
        self.handle.setopt(pycurl.PROXY, proxy.address if self._proxied else "")

    def _set_manners(self, settings: SlotSettings) -> None:
        handle = self.handle
        both = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
        handle.setopt(pycurl.PROTOCOLS, both)
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.FOLLOWLOCATION, 0)
        handle.setopt(pycurl.PROXY, "")  # not even one that the environment names
        handle.setopt(pycurl.NOPROXY, "")
        if settings.proxy is not None:
            handle.setopt(pycurl.HTTPPROXYTUNNEL, 1)
            handle.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
            handle.setopt(pycurl.USERAGENT, "firmcast")  # what the proxy sees; a push has its own
            if settings.proxy.user:
                handle.setopt(pycurl.PROXYUSERNAME, settings.proxy.user.encode())
                handle.setopt(pycurl.PROXYPASSWORD, settings.proxy.password.encode())
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.PATH_AS_IS, 1)
        handle.setopt(pycurl.TIMEOUT_MS, _milliseconds(settings.attempt_timeout))
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(settings.connect_timeout))
        handle.setopt(pycurl.MAXAGE_CONN, max(1, int(settings.idle_connection.total_seconds())))
        handle.setopt(pycurl.SSL_VERIFYPEER, 1)
        handle.setopt(pycurl.SSL_VERIFYHOST, 2)
        handle.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        http = pycurl.CURL_HTTP_VERSION_2TLS if settings.http2 else pycurl.CURL_HTTP_VERSION_1_1
        handle.setopt(pycurl.HTTP_VERSION, http)
        handle.setopt(pycurl.HEADERFUNCTION, self._head.write)
        handle.setopt(pycurl.WRITEFUNCTION, self._take_body)
        handle.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        """Open a socket for the very address that libcurl is about to dial, if it is permitted."""
        family, _, _, target = address
        if family not in {AF_INET, AF_INET6} or not self._may_dial(target[0], target[1]):
            self._blocked = True
            return pycurl.SOCKET_BAD
        self._dialled = True
        try:
            return _HandedOver(socket(family, SOCK_STREAM).detach())
        except OSError as error:  # no descriptor is left: that is not the receiver's fault
            self._local_fault = str(error)
            return pycurl.SOCKET_BAD

    def _may_dial(self, address: str, port: int) -> bool:
        if self._proxied:  # the operator named it, wherever it is
            return not self._forbidden
        return self._rules.permits(address, port)

    def _take_body(self, data: bytes) -> int:
        """Keep a part of the answer's body; to take fewer bytes than offered ends the attempt."""
        self._body_size += len(data)
        if len(self._body) < SNIPPET_BYTES:
            self._body.append(data[:SNIPPET_BYTES])
        return len(data) if self._body_size <= ANSWER_BYTES else 0


def system_authorities() -> str:
    """Return the file of certificate authorities that this machine trusts; libcurl's own guess suits few systems."""
    paths = ssl.get_default_verify_paths()
    for candidate in (paths.cafile, paths.openssl_cafile, *_LINUX_AUTHORITIES):
        if candidate and Path(candidate).is_file():
            return candidate
    return ""


def _retry_after(head: bytes) -> str | None:
    for line in reversed(head.split(b"\n")):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"retry-after":
            return value.strip().decode("latin-1")
    return None


def _milliseconds(duration: timedelta) -> int:
    return max(1, int(duration.total_seconds() * 1000))
