"""Does for blocking calls what the session decides: sends, waits, lets one thread renew the token. Decides nothing."""

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, assert_never

from firmcast_sdk import _clock
from firmcast_sdk.client.address import PlatformAddress
from firmcast_sdk.client.call import Call, Following, Paging, Reply, Request
from firmcast_sdk.client.following import EventFeed
from firmcast_sdk.client.listing import Listing
from firmcast_sdk.client.retry import RetryPolicy
from firmcast_sdk.client.session import Failed, Renew, Send, Session, Steps, Wait
from firmcast_sdk.client.transport import (
    TransportOptions,
    client_arguments,
    http_library,
    lower_case,
    request_arguments,
    too_late,
    too_long,
    transport_error,
)
from firmcast_sdk.errors import ClientClosedError, ClientError, TransportError

Result = TypeVar("Result")
Item = TypeVar("Item")


class BlockingSender:
    """What every blocking client has beside the calls of the sections."""

    def __init__(
        self,
        base_url: str,
        *,
        app_id: str,
        secret: str,
        options: TransportOptions | None = None,
        retry: RetryPolicy | None = None,
        logout_on_close: bool = False,
        clock: Callable[[], datetime] = _clock.now,
    ) -> None:
        self._options = options or TransportOptions()
        address = PlatformAddress.parse(base_url)
        self._session = Session(app_id=app_id, secret=secret, policy=retry or RetryPolicy(), clock=clock)
        library = http_library()
        arguments = client_arguments(address, self._options)
        self._no_answer: type[Exception] = library.RequestError
        self._make_http: Callable[[], Any] = lambda: library.Client(**arguments)
        self._http = self._make_http()
        self._inherited: list[object] = []
        self._logout_on_close = logout_on_close
        self._renewing = threading.Lock()
        self._closed = threading.Event()
        _tell_forked(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; ends the token first if the client was made with `logout_on_close`.

        Never raises. Calls that wait for their next try end in ClientClosedError; closing twice does nothing.
        """
        if self._closed.is_set():
            return
        if self._logout_on_close:
            with suppress(ClientError):  # the token ends by itself too
                self.logout()
        self._closed.set()
        self._http.close()

    def login(self) -> None:
        """Log in now, whatever the token; no call needs this, but it shows at once whether the credentials are good.

        Raises:
            AuthenticationError: they are not.
            AccessDeniedError: the application is frozen.

        Source: contract page, section 2.
        """
        with self._renewing:
            self._run(self._session.login())

    def refresh(self) -> None:
        """Get another token now, by the refresh token or else by a login; calls do so by themselves in time.

        Raises:
            AuthenticationError: neither is accepted.

        Source: contract page, section 2.
        """
        with self._renewing:
            self._run(self._session.refresh())

    def logout(self) -> None:
        """End the token, if there is one; the next call logs in again.

        Source: contract page, section 2.
        """
        with self._renewing:
            self._run(self._session.logout())

    def _begin_anew(self) -> None:
        """In a forked child: the parent's connections must not be touched, not even to close them; the token holds."""
        self._inherited.append(self._http)
        self._http = self._make_http()
        self._renewing = threading.Lock()
        closed, self._closed = self._closed.is_set(), threading.Event()
        if closed:
            self._closed.set()

    def _call(self, call: Call[Result]) -> Result:
        return self._run(self._session.call(call))

    def _listing(self, paging: Paging[Item]) -> Listing[Item]:
        return Listing(paging, self._call)

    def _follow(self, following: Following) -> EventFeed:
        return EventFeed(following, self._call)

    def _run(self, steps: Steps[Result]) -> Result:
        answer: Reply | Failed | None = None
        while True:
            if self._closed.is_set():
                raise ClientClosedError("the client is closed")
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: Result = end.value
                return result
            answer = None
            match step:
                case Send():
                    answer = self._send(step.request)
                case Wait():
                    self._closed.wait(step.duration.total_seconds())
                case Renew():
                    with self._renewing:
                        self._run(self._session.renewal(step))
                case _:
                    assert_never(step)

    def _send(self, request: Request) -> Reply | Failed:
        try:
            return self._exchange(request)
        except TransportError as error:
            return Failed(error=error)
        except RuntimeError as error:
            # The HTTP library says so when it was closed between two steps.
            if not self._closed.is_set():
                raise
            raise ClientClosedError("the client is closed") from error
        except self._no_answer as error:
            failure = transport_error(request, error)
            failure.__cause__ = error
            return Failed(error=failure)

    def _exchange(self, request: Request) -> Reply:
        total = self._options.total_timeout
        ends = None if total is None else _clock.monotonic() + total / timedelta(seconds=1)
        body = bytearray()
        with self._http.stream(**request_arguments(request)) as response:
            for part in response.iter_raw():
                body += part
                if len(body) > self._options.largest_answer:
                    raise too_long(response.status_code, self._options.largest_answer)
                if ends is not None and _clock.monotonic() > ends:
                    raise too_late(request)
            return Reply(status=response.status_code, body=bytes(body), headers=lower_case(response.headers))


def _tell_forked(sender: BlockingSender) -> None:
    if not hasattr(os, "register_at_fork"):
        return  # this system does not fork
    known = weakref.ref(sender)

    def begin_anew() -> None:
        living = known()
        if living is not None:
            living._begin_anew()  # noqa: SLF001 -- of the same module

    os.register_at_fork(after_in_child=begin_anew)
