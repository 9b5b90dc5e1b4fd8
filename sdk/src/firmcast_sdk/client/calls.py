"""Pure: each call of the northbound API is a request record and a function that reads its answer."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from firmcast_sdk.errors import UnexpectedAnswerError, make_northbound_error
from firmcast_sdk.wire import authentication, devices, headers, operations, packages, subscriptions
from firmcast_sdk.wire.authentication import TokenResponse
from firmcast_sdk.wire.decoding import WireError, decode_struct
from firmcast_sdk.wire.encoding import encode_request
from firmcast_sdk.wire.errors import decode_error
from firmcast_sdk.wire.notifications import NotifyType
from firmcast_sdk.wire.queries import encode_query

Result = TypeVar("Result")
Item = TypeVar("Item")
StructType = TypeVar("StructType", bound=msgspec.Struct)
PageType = TypeVar(
    "PageType",
    bound=devices.DeviceList | packages.PackageList | operations.OperationList | operations.SubOperationList,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, relative to the base URL; `query` without the question mark."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Result]):
    """A request and how its answer is read; `parse` raises NorthboundError or UnexpectedAnswerError."""

    request: Request
    parse: Callable[[Reply], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """One page of a list and the number of all."""

    items: tuple[Item, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging(Generic[Item]):
    """A list that comes in pages, numbered from 0."""

    page_size: int
    call: Callable[[int], Call[Page[Item]]]

    def is_last(self, page_no: int, page: Page[Item]) -> bool:
        """Whether nothing can follow `page`."""
        return not page.items or (page_no + 1) * self.page_size >= page.total


def authorised(request: Request, *, app_id: str, access_token: str) -> Request:
    """`request` with the headers that prove who calls."""
    proof = {headers.APP_KEY: app_id, headers.AUTHORIZATION: f"{headers.BEARER} {access_token}"}
    return replace(request, headers={**request.headers, **proof})


def login(app_id: str, secret: str) -> Call[TokenResponse]:
    """Get a token; needs none."""
    body = encode_query(authentication.LoginRequest(app_id=app_id, secret=secret)).encode()
    request = Request(
        method="POST", path=authentication.LOGIN_PATH, headers={headers.CONTENT_TYPE: headers.FORM}, body=body
    )
    return Call(request=request, parse=_reader(TokenResponse))


def refresh(app_id: str, secret: str, refresh_token: str) -> Call[TokenResponse]:
    """Get another token; needs none but the refresh token."""
    body = authentication.RefreshRequest(app_id=app_id, secret=secret, refresh_token=refresh_token)
    return _post(authentication.REFRESH_PATH, body, _reader(TokenResponse))


def subscribe(notify_type: NotifyType, callback_url: str) -> Call[None]:
    """Have pushes of one type sent to a callback URL."""
    body = subscriptions.ManagementSubscribeRequest(notify_type=notify_type, callback_url=callback_url)
    return _post(subscriptions.MANAGEMENT_SUBSCRIBE_PATH, body, _nothing)


def register_device(request: devices.RegisterDeviceRequest) -> Call[devices.RegisterDeviceResponse]:
    """Register a device."""
    return _post(devices.DEVICE_CREDENTIALS_PATH, request, _reader(devices.RegisterDeviceResponse))


def refresh_device(device_id: str, request: devices.RefreshDeviceRequest) -> Call[devices.RefreshDeviceResponse]:
    """Give a device another verification code."""
    path = _fill(devices.DEVICE_CREDENTIAL_PATH, device_id=device_id)
    return _post(path, request, _reader(devices.RefreshDeviceResponse), method="PUT")


def device_activation(device_id: str) -> Call[devices.DeviceActivation]:
    """Ask whether a device ever came."""
    path = _fill(devices.DEVICE_CREDENTIAL_PATH, device_id=device_id)
    return Call(request=Request(method="GET", path=path), parse=_reader(devices.DeviceActivation))


def device(device_id: str) -> Call[devices.Device]:
    """Read one device."""
    path = _fill(devices.DEVICE_PATH, device_id=device_id)
    return Call(request=Request(method="GET", path=path), parse=_reader(devices.Device))


def device_pages(query: devices.DeviceQuery | None) -> Paging[devices.Device]:
    """List devices; `page_no` of `query` is not used."""
    asked = devices.DeviceQuery() if query is None else query
    size = asked.page_size or 100

    def call(page_no: int) -> Call[Page[devices.Device]]:
        paged = msgspec.structs.replace(asked, page_no=page_no, page_size=size)
        return _get(devices.DEVICES_PATH, paged, _page(devices.DeviceList, lambda page: page.devices))

    return Paging(page_size=size, call=call)


def modify_device(device_id: str, request: devices.ModifyDeviceRequest) -> Call[None]:
    """Change a device."""
    return _post(_fill(devices.DEVICE_PATH, device_id=device_id), request, _nothing, method="PUT")


def delete_device(device_id: str) -> Call[None]:
    """Delete a device."""
    path = _fill(devices.DEVICE_PATH, device_id=device_id)
    return Call(request=Request(method="DELETE", path=path), parse=_nothing)


def package(file_id: str) -> Call[packages.Package]:
    """Read one version package."""
    path = _fill(packages.PACKAGE_PATH, file_id=file_id)
    return Call(request=Request(method="GET", path=path), parse=_reader(packages.Package))


def package_pages(query: packages.PackageQuery | None) -> Paging[packages.Package]:
    """List version packages; `page_no` of `query` is not used."""
    asked = packages.PackageQuery() if query is None else query
    size = asked.page_size or packages.LARGEST_PAGE_SIZE

    def call(page_no: int) -> Call[Page[packages.Package]]:
        paged = msgspec.structs.replace(asked, page_no=page_no, page_size=size)
        return _get(packages.PACKAGES_PATH, paged, _page(packages.PackageList, lambda page: page.data))

    return Paging(page_size=size, call=call)


def delete_package(file_id: str) -> Call[None]:
    """Delete a version package."""
    path = _fill(packages.PACKAGE_PATH, file_id=file_id)
    return Call(request=Request(method="DELETE", path=path), parse=_nothing)


def create_firmware_upgrade(request: operations.CreateUpgradeRequest) -> Call[str]:
    """Create a firmware upgrade task; the result is its id."""
    read = _reader(operations.CreateUpgradeResponse)
    return _post(operations.FIRMWARE_UPGRADE_PATH, request, lambda reply: read(reply).operation_id)


def operation(operation_id: str) -> Call[operations.Operation]:
    """Read one upgrade task."""
    path = _fill(operations.OPERATION_PATH, operation_id=operation_id)
    return Call(request=Request(method="GET", path=path), parse=_reader(operations.Operation))


def operation_pages(query: operations.OperationQuery | None) -> Paging[operations.Operation]:
    """List upgrade tasks; `page_no` of `query` is not used."""
    asked = operations.OperationQuery() if query is None else query
    size = asked.page_size or operations.LARGEST_PAGE_SIZE

    def call(page_no: int) -> Call[Page[operations.Operation]]:
        paged = msgspec.structs.replace(asked, page_no=page_no, page_size=size)
        return _get(operations.OPERATIONS_PATH, paged, _page(operations.OperationList, lambda page: page.data))

    return Paging(page_size=size, call=call)


def sub_operation_pages(
    operation_id: str, status: operations.SubOperationStatus | None
) -> Paging[operations.SubOperation]:
    """List a task's devices, all or those of one status."""
    size = operations.LARGEST_PAGE_SIZE
    path = _fill(operations.SUB_OPERATIONS_PATH, operation_id=operation_id)

    def call(page_no: int) -> Call[Page[operations.SubOperation]]:
        query = operations.SubOperationQuery(sub_operation_status=status, page_no=page_no, page_size=size)
        return _get(path, query, _page(operations.SubOperationList, lambda page: page.data))

    return Paging(page_size=size, call=call)


def _fill(template: str, **ids: str) -> str:
    """The path with ids in place, each as one segment whatever it holds."""
    return template.format(**{name: quote(value, safe="") for name, value in ids.items()})


def _get(path: str, query: msgspec.Struct, parse: Callable[[Reply], Result]) -> Call[Result]:
    return Call(request=Request(method="GET", path=path, query=encode_query(query)), parse=parse)


def _post(path: str, body: msgspec.Struct, parse: Callable[[Reply], Result], method: str = "POST") -> Call[Result]:
    request = Request(method=method, path=path, headers={headers.CONTENT_TYPE: headers.JSON}, body=encode_request(body))
    return Call(request=request, parse=parse)


def _reader(struct: type[StructType]) -> Callable[[Reply], StructType]:
    def read(reply: Reply) -> StructType:
        _raise_refusal(reply)
        try:
            return decode_struct(struct, reply.body)
        except WireError as error:
            raise UnexpectedAnswerError(str(error), status=reply.status) from error

    return read


def _page(struct: type[PageType], items: Callable[[PageType], tuple[Item, ...]]) -> Callable[[Reply], Page[Item]]:
    read = _reader(struct)

    def parse(reply: Reply) -> Page[Item]:
        page = read(reply)
        return Page(items=items(page), total=page.total_count)

    return parse


def _nothing(reply: Reply) -> None:
    _raise_refusal(reply)


def _raise_refusal(reply: Reply) -> None:
    """Raise what the platform refused with: an error body may come with any status, 200 included."""
    if reply.status < 300 and b"error_code" not in reply.body:
        return
    try:
        refusal = decode_error(reply.body)
    except WireError as error:
        if reply.status < 300:
            return
        raise UnexpectedAnswerError("the error has no error_code", status=reply.status) from error
    raise make_northbound_error(code=refusal.error_code, description=refusal.error_desc, status=reply.status)
