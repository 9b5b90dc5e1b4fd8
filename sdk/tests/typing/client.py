"""Never run: a type checker judges it, so that both clients keep the types that users see, and refuse what is wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import assert_type

from firmcast_sdk import (
    AsyncNorthboundClient,
    AuthenticationError,
    NorthboundClient,
    NorthboundError,
    NotifyType,
    RetryPolicy,
    TransportOptions,
)
from firmcast_sdk.client import (
    AsyncEventFeed,
    AsyncListing,
    Device,
    DeviceActivation,
    DeviceConfig,
    DeviceGroup,
    DeviceGroupDetails,
    DeviceStatus,
    EventFeed,
    ExecuteType,
    FeedItem,
    FeedPage,
    FileType,
    Listing,
    Operation,
    OperationStatus,
    Package,
    Page,
    Policy,
    RefreshDeviceResponse,
    RegisterDeviceResponse,
    SubOperation,
    SubOperationStatus,
    SubscribableType,
    Subscription,
)

URL = "https://app.example:9443/pushes"


def blocking(client: NorthboundClient) -> None:
    client.login()
    client.refresh()
    client.logout()
    client.subscribe(NotifyType.FW_UPGRADE_RESULT, URL)
    assert_type(client.create_subscription(SubscribableType.APP_AUTHORIZATION, URL), Subscription)
    assert_type(client.create_subscription(NotifyType.DEVICE_ADDED, URL, owner_flag=True), Subscription)
    assert_type(client.subscription("s"), Subscription)
    assert_type(client.subscriptions(notify_type=NotifyType.DEVICE_ADDED), Listing[Subscription])
    client.delete_subscription("s")
    client.delete_subscriptions(everything=True)
    assert_type(client.packages(file_type=FileType.FIRMWARE), Listing[Package])
    assert_type(client.package("p"), Package)
    client.delete_package("p")
    policy = Policy(execute_type=ExecuteType.NOW)
    assert_type(client.create_firmware_upgrade("p", devices=["d"], policy=policy), str)
    assert_type(client.create_software_upgrade("p", device_groups=("north",)), str)
    assert_type(client.operation("o"), Operation)
    assert_type(client.operations(operation_status=OperationStatus.WAIT), Listing[Operation])
    assert_type(client.sub_operations("o", status=SubOperationStatus.FAIL), Listing[SubOperation])
    assert_type(client.register_device("n", timeout_seconds=0), RegisterDeviceResponse)
    assert_type(client.refresh_device("d", verify_code="v"), RefreshDeviceResponse)
    assert_type(client.device_activation("d"), DeviceActivation)
    client.modify_device("d", model="m", device_config=DeviceConfig())
    assert_type(client.device("d"), Device)
    assert_type(client.devices(status=DeviceStatus.ONLINE), Listing[Device])
    client.delete_device("d")
    assert_type(client.create_device_group("north"), DeviceGroup)
    assert_type(client.device_group("g"), DeviceGroupDetails)
    assert_type(client.device_groups(), Listing[DeviceGroupDetails])
    assert_type(client.modify_device_group("g", name="south"), DeviceGroup)
    client.delete_device_group("g")
    assert_type(client.device_group_members("g"), Listing[str])
    assert_type(client.read_events(after="AQAAAAAAAAAA", wait_seconds=5), FeedPage)
    feed = client.events(from_beginning=True, notify_types=[NotifyType.FW_UPGRADE_RESULT])
    assert_type(feed, EventFeed)
    assert_type(next(feed), FeedItem)
    assert_type(feed.cursor, str | None)
    client.add_to_device_group("g", ["d"])
    client.remove_from_device_group("g", ("d",))


def lists(client: NorthboundClient) -> None:
    devices = client.devices(page_size=10)
    assert_type(devices.total(), int)
    assert_type(devices.page_size, int)
    for page in devices.pages():
        assert_type(page, Page[Device])
    for device in client.devices():
        assert_type(device, Device)
    walk: Iterator[Device] = client.devices()
    assert_type(next(walk), Device)


async def asynchronous(client: AsyncNorthboundClient) -> None:
    await client.subscribe(NotifyType.FW_UPGRADE_RESULT, URL)
    assert_type(await client.create_firmware_upgrade("p", devices=["d"], idempotency_key="k"), str)
    assert_type(await client.operation("o"), Operation)
    operations = client.operations()
    assert_type(operations, AsyncListing[Operation])
    assert_type(await operations.total(), int)
    async for page in operations.pages():
        assert_type(page, Page[Operation])
    walk: AsyncIterator[SubOperation] = client.sub_operations("o")
    assert_type(await anext(walk), SubOperation)
    feed = client.events()
    assert_type(feed, AsyncEventFeed)
    assert_type(await anext(feed), FeedItem)


def made() -> None:
    options = TransportOptions(verify="authority.pem", client_certificate=("a.pem", "a.key"), proxy="http://proxy:3128")
    retry = RetryPolicy(tries=2, longest_wait=timedelta(seconds=10), jitter=lambda: 0.5)
    with NorthboundClient("https://p", app_id="a", secret="s", options=options, retry=retry) as client:
        assert_type(client, NorthboundClient)


def told(error: NorthboundError) -> None:
    assert_type(error.code, str)
    assert_type(error.status, int)
    assert_type(error.reason, str)
    assert_type(error.retry_after, timedelta | None)
    kind: type[NorthboundError] = AuthenticationError
    print(kind)


def signatures(client: NorthboundClient, other: AsyncNorthboundClient) -> None:
    read: Callable[[str], Operation] = client.operation
    awaited: Callable[[str], Awaitable[Operation]] = other.operation
    print(read, awaited)


def refused(client: NorthboundClient, other: AsyncNorthboundClient) -> None:
    client.subscribe("fwUpgradeResultNotify", URL)  # type: ignore[arg-type]  # a type is a word of the enumeration
    client.create_firmware_upgrade("p", ["d"])  # type: ignore[call-arg]  # who is upgraded is said by keyword
    client.create_firmware_upgrade("p", device=["d"])  # type: ignore[call-arg]  # no such keyword
    client.devices(status="ONLINE")  # type: ignore[arg-type]
    client.modify_device("d", retries=3)  # type: ignore[call-arg]
    client.operation()  # type: ignore[call-arg]
    print(client.operation("o").state)  # type: ignore[attr-defined]
    print(other.operation("o").status)  # type: ignore[attr-defined]  # it was not awaited
    RetryPolicy(3)  # type: ignore[call-arg]
    TransportOptions(http2=True)  # type: ignore[call-arg]
