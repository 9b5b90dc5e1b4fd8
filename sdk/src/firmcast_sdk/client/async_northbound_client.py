"""The asynchronous sender: sends what the session asks for, decides nothing. Its twin has the same methods."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar, assert_never

from firmcast_sdk import _clock
from firmcast_sdk.client import calls
from firmcast_sdk.client.calls import Call, Paging, Reply, Request
from firmcast_sdk.client.session import Renew, Renewal, Send, Session, Token
from firmcast_sdk.client.transport import TransportOptions, client_arguments, http_library, request_arguments
from firmcast_sdk.errors import TransportError
from firmcast_sdk.wire.devices import (
    Device,
    DeviceActivation,
    DeviceQuery,
    ModifyDeviceRequest,
    RefreshDeviceRequest,
    RefreshDeviceResponse,
    RegisterDeviceRequest,
    RegisterDeviceResponse,
)
from firmcast_sdk.wire.notifications import NotifyType
from firmcast_sdk.wire.operations import (
    CreateUpgradeRequest,
    Operation,
    OperationQuery,
    SubOperation,
    SubOperationStatus,
)
from firmcast_sdk.wire.packages import Package, PackageQuery

Result = TypeVar("Result")
Item = TypeVar("Item")


class AsyncNorthboundClient:
    """Calls the northbound API from an event loop; logs in by itself at the first call and keeps the token fresh.

        async with AsyncNorthboundClient("https://platform.example:8743", app_id="…", secret="…") as client:
            await client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, "https://app.example:9443/pushes")

    One client may be used by many tasks of one event loop. Every method raises NorthboundError (or one of its
    kinds) when the platform refuses, TransportError when no answer came, UnexpectedAnswerError when the answer makes
    no sense.

    Raises:
        ClientExtraMissingError: when the HTTP library is not installed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        app_id: str,
        secret: str,
        options: TransportOptions | None = None,
        clock: Callable[[], datetime] = _clock.now,
    ) -> None:
        library = http_library()
        self._no_answer: type[Exception] = library.RequestError
        self._http = library.AsyncClient(**client_arguments(base_url, options or TransportOptions()))
        self._session = Session(app_id=app_id, secret=secret, clock=clock)
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def login(self) -> None:
        """Log in now, whatever the token; no call needs this, but it shows at once whether the credentials are good."""
        async with self._renewing:
            await self._renew(self._session.login())

    async def subscribe(self, notify_type: NotifyType, callback_url: str) -> None:
        """Have pushes of one type sent to a callback URL (scheme, host, port and path)."""
        await self._call(calls.subscribe(notify_type, callback_url))

    async def register_device(self, request: RegisterDeviceRequest) -> RegisterDeviceResponse:
        """Register a device."""
        return await self._call(calls.register_device(request))

    async def refresh_device(self, device_id: str, request: RefreshDeviceRequest) -> RefreshDeviceResponse:
        """Give a device another verification code."""
        return await self._call(calls.refresh_device(device_id, request))

    async def device_activation(self, device_id: str) -> DeviceActivation:
        """Ask whether a device ever came."""
        return await self._call(calls.device_activation(device_id))

    async def device(self, device_id: str) -> Device:
        """Read one device."""
        return await self._call(calls.device(device_id))

    async def modify_device(self, device_id: str, request: ModifyDeviceRequest) -> None:
        """Change a device; what is None stays as it is."""
        await self._call(calls.modify_device(device_id, request))

    async def delete_device(self, device_id: str) -> None:
        """Delete a device."""
        await self._call(calls.delete_device(device_id))

    async def package(self, file_id: str) -> Package:
        """Read one version package."""
        return await self._call(calls.package(file_id))

    async def delete_package(self, file_id: str) -> None:
        """Delete a version package."""
        await self._call(calls.delete_package(file_id))

    async def create_firmware_upgrade(self, request: CreateUpgradeRequest) -> str:
        """Create a firmware upgrade task; the result is its id."""
        return await self._call(calls.create_firmware_upgrade(request))

    async def operation(self, operation_id: str) -> Operation:
        """Read one upgrade task."""
        return await self._call(calls.operation(operation_id))

    def devices(self, query: DeviceQuery | None = None) -> AsyncIterator[Device]:
        """Go through the devices, page by page."""
        return self._walk(calls.device_pages(query))

    def packages(self, query: PackageQuery | None = None) -> AsyncIterator[Package]:
        """Go through the version packages, page by page."""
        return self._walk(calls.package_pages(query))

    def operations(self, query: OperationQuery | None = None) -> AsyncIterator[Operation]:
        """Go through the upgrade tasks, page by page."""
        return self._walk(calls.operation_pages(query))

    def sub_operations(
        self,
        operation_id: str,
        status: SubOperationStatus | None = None,
    ) -> AsyncIterator[SubOperation]:
        """Go through a task's devices, all or those of one status."""
        return self._walk(calls.sub_operation_pages(operation_id, status))

    async def _walk(self, paging: Paging[Item]) -> AsyncIterator[Item]:
        page_no = 0
        while True:
            page = await self._call(paging.call(page_no))
            for item in page.items:
                yield item
            if paging.is_last(page_no, page):
                return
            page_no += 1

    async def _call(self, call: Call[Result]) -> Result:
        course = self._session.course(call)
        answer: Reply | Token | None = None
        try:
            while True:
                step = next(course) if answer is None else course.send(answer)
                match step:
                    case Send():
                        answer = await self._send(step.request)
                    case Renew():
                        async with self._renewing:
                            answer = await self._renew(self._session.renewal(step.refused))
                    case _:
                        assert_never(step)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _renew(self, renewal: Renewal) -> Token:
        reply: Reply | None = None
        try:
            while True:
                step = next(renewal) if reply is None else renewal.send(reply)
                reply = await self._send(step.request)
        except StopIteration as end:
            token: Token = end.value
            return token

    async def _send(self, request: Request) -> Reply:
        try:
            response = await self._http.request(**request_arguments(request))
        except self._no_answer as error:
            raise TransportError(f"{request.method} {request.path}: {str(error) or type(error).__name__}") from error
        return Reply(status=response.status_code, body=response.content)
