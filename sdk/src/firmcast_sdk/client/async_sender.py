"""Does on an event loop what the session decides: sends, waits, lets one task renew the token. Decides nothing."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar, assert_never

from firmcast_sdk import _clock
from firmcast_sdk.client.address import PlatformAddress
from firmcast_sdk.client.call import Call, Following, Paging, Reply, Request
from firmcast_sdk.client.following import AsyncEventFeed
from firmcast_sdk.client.listing import AsyncListing
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
from firmcast_sdk.errors import ClientClosedError, ClientError

Result = TypeVar("Result")
Item = TypeVar("Item")


class AsyncSender:
    """What every client of an event loop has beside the calls of the sections."""

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
        self._no_answer: type[Exception] = library.RequestError
        self._http = library.AsyncClient(**client_arguments(address, self._options))
        self._logout_on_close = logout_on_close
        self._renewing = asyncio.Lock()
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; ends the token first if the client was made with `logout_on_close`.

        Never raises. Calls that wait for their next try end in ClientClosedError; closing twice does nothing.
        """
        if self._closed.is_set():
            return
        if self._logout_on_close:
            with suppress(ClientError):  # the token ends by itself too
                await self.logout()
        self._closed.set()
        await self._http.aclose()

    async def login(self) -> None:
        """Log in now, whatever the token; no call needs this, but it shows at once whether the credentials are good.

        Raises:
            AuthenticationError: they are not.
            AccessDeniedError: the application is frozen.

        Source: contract page, section 2.
        """
        async with self._renewing:
            await self._run(self._session.login())

    async def refresh(self) -> None:
        """Get another token now, by the refresh token or else by a login; calls do so by themselves in time.

        Raises:
            AuthenticationError: neither is accepted.

        Source: contract page, section 2.
        """
        async with self._renewing:
            await self._run(self._session.refresh())

    async def logout(self) -> None:
        """End the token, if there is one; the next call logs in again.

        Source: contract page, section 2.
        """
        async with self._renewing:
            await self._run(self._session.logout())

    async def _call(self, call: Call[Result]) -> Result:
        return await self._run(self._session.call(call))

    def _listing(self, paging: Paging[Item]) -> AsyncListing[Item]:
        return AsyncListing(paging, self._call)

    def _follow(self, following: Following) -> AsyncEventFeed:
        return AsyncEventFeed(following, self._call)

    async def _run(self, steps: Steps[Result]) -> Result:
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
                    answer = await self._send(step.request)
                case Wait():
                    await self._wait(step.duration)
                case Renew():
                    async with self._renewing:
                        await self._run(self._session.renewal(step))
                case _:
                    assert_never(step)

    async def _wait(self, duration: timedelta) -> None:
        try:
            async with asyncio.timeout(duration.total_seconds()):
                await self._closed.wait()
        except TimeoutError:
            pass

    async def _send(self, request: Request) -> Reply | Failed:
        total = self._options.total_timeout
        try:
            async with asyncio.timeout(None if total is None else total.total_seconds()):
                return await self._exchange(request)
        except TimeoutError as error:
            failure = too_late(request)
            failure.__cause__ = error
            return Failed(error=failure)
        except RuntimeError as error:
            # The HTTP library says so when it was closed between two steps.
            if not self._closed.is_set():
                raise
            raise ClientClosedError("the client is closed") from error
        except self._no_answer as error:
            failure = transport_error(request, error)
            failure.__cause__ = error
            return Failed(error=failure)

    async def _exchange(self, request: Request) -> Reply:
        body = bytearray()
        async with self._http.stream(**request_arguments(request)) as response:
            async for part in response.aiter_raw():
                body += part
                if len(body) > self._options.largest_answer:
                    raise too_long(response.status_code, self._options.largest_answer)
            return Reply(status=response.status_code, body=bytes(body), headers=lower_case(response.headers))
