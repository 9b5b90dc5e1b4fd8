"""Every method of both clients, called once and more against a platform over HTTPS: none is left out."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.simulator.device import DeviceSpec
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profiles import PROFILES
from firmcast.simulator.timing import QUICK
from firmcast_sdk import (
    AccessDeniedError,
    AsyncNorthboundClient,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NorthboundClient,
    NotFoundError,
    NotifyType,
    NotReachedError,
    RetryPolicy,
    ThrottledError,
    TransportOptions,
)
from firmcast_sdk.client import (
    DataConfig,
    DeviceConfig,
    DeviceStatus,
    ExecuteType,
    FileType,
    Listing,
    NodeType,
    OperateType,
    OperationStatus,
    Policy,
    RegisteredDeviceInfo,
    Sort,
    SubOperationStatus,
)

CALLBACK = "https://127.0.0.1:9443/pushes"
KINDS = (NorthboundClient, AsyncNorthboundClient)


class Traced:
    """A client of either kind behind one face, all of whose calls are awaited; keeps the names of the methods."""

    def __init__(self, client):
        self.client = client
        self.called = set()

    def __getattr__(self, name):
        method = getattr(self.client, name)
        self.called.add(name)

        async def call(*arguments, **keywords):
            if inspect.iscoroutinefunction(method):
                return await method(*arguments, **keywords)
            return await asyncio.to_thread(self._call, method, *arguments, **keywords)

        return call

    @staticmethod
    def _call(method, *arguments, **keywords):
        given = method(*arguments, **keywords)
        return list(given) if isinstance(given, Listing) else given

    async def all(self, name, *arguments, **keywords):
        """The items of a list."""
        if isinstance(self.client, NorthboundClient):
            return await getattr(self, name)(*arguments, **keywords)
        self.called.add(name)
        return [item async for item in getattr(self.client, name)(*arguments, **keywords)]

    async def first(self, name, **keywords):
        """The first item of what goes on for ever."""
        self.called.add(name)
        following = getattr(self.client, name)(**keywords)
        if isinstance(self.client, NorthboundClient):
            return await asyncio.to_thread(next, iter(following))
        return await anext(aiter(following))


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
async def client(request, served):
    served.credentials = await served.manage("POST", "/v1/applications", json={"name": "client"})
    made = request.param(
        served.url,
        app_id=served.credentials["application_id"],
        secret=served.credentials["secret"],
        options=TransportOptions(verify=served.data / "tls/authority.pem"),
        logout_on_close=True,
    )
    traced = Traced(made)
    yield traced
    await traced.close()


async def feed(client):
    page = await client.read_events(from_beginning=True)
    assert await client.first("events", from_beginning=True) == page.events[0]


async def upload(served, version):
    query = {
        "application_id": served.credentials["application_id"],
        "name": "image.bin",
        "version": version,
        "model": "WM1",
        "manufacturer": "Acme",
        "device_type": "WaterMeter",
    }
    made = await served.manage("POST", "/v1/firmware", params=query, content=version.encode() * 100)
    return made["package_id"]


async def authentication(client):
    await client.login()
    await client.refresh()
    await client.logout()


async def subscriptions(client):
    await client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
    made = await client.create_subscription(NotifyType.DEVICE_ADDED, CALLBACK)
    assert await client.subscription(made.subscription_id) == made
    with pytest.raises(ConflictError):
        await client.create_subscription(NotifyType.DEVICE_ADDED, CALLBACK)
    with pytest.raises(InvalidRequestError) as refused:
        await client.create_subscription(NotifyType.DEVICE_DELETED, "https://127.0.0.1/no-port")
    assert refused.value.reason
    assert made in await client.all("subscriptions", notify_type=NotifyType.DEVICE_ADDED)
    await client.delete_subscription(made.subscription_id)
    with pytest.raises(NotFoundError):
        await client.delete_subscription(made.subscription_id)
    await client.create_subscription(NotifyType.DEVICE_DELETED, CALLBACK)
    await client.delete_subscriptions(notify_type=NotifyType.DEVICE_DELETED)
    await client.create_subscription(NotifyType.DEVICE_ADDED, CALLBACK)
    await client.delete_subscriptions(everything=True)
    assert await client.all("subscriptions", page_size=1) == []


async def refreshed(client, served, device_id):
    """A device takes another code once it has come, and while it is away."""
    with pytest.raises(ConflictError) as never_came:
        await client.refresh_device(device_id, verify_code="code-33")
    assert never_came.value.code == "100610"
    virtual = DeviceSpec(endpoint_name="client-3", profile=PROFILES["push"])
    async with Fleet(server=("127.0.0.1", served.coap_port), devices=[virtual], timing=QUICK) as fleet:
        await fleet.registered()
        assert (await client.device_activation(device_id)).activated is True
        with pytest.raises(ConflictError) as online:
            await client.refresh_device(device_id, verify_code="code-33")
        assert online.value.code == "100611"
    changed = await client.refresh_device(device_id, verify_code="code-33", timeout_seconds=90)
    assert (changed.verify_code, changed.timeout) == ("code-33", 90)


async def devices(client, served):
    """Register three devices, of which two stay; gives their ids."""
    info = RegisteredDeviceInfo(device_type="WaterMeter", model="WM1", manufacturer_name="Acme")
    first = await client.register_device("client-1", verify_code="code-1", timeout_seconds=0, device_info=info)
    second = await client.register_device("client-2", timeout_seconds=60, psk="ab" * 8, device_name="meter 2")
    third = await client.register_device("client-3")
    with pytest.raises(ConflictError):
        await client.register_device("client-1", verify_code="code-1")
    assert (first.timeout, second.timeout, second.psk) == (0, 60, "ab" * 8)
    await refreshed(client, served, third.device_id)
    assert (await client.device_activation(first.device_id)).activated is False
    await client.modify_device(
        first.device_id,
        name="meter 1",
        manufacturer_id="Acme",
        manufacturer_name="Acme",
        device_type="WaterMeter",
        model="WM1",
        protocol_type="LWM2M",
        device_config=DeviceConfig(data_config=DataConfig(data_aging_time=30)),
    )
    read = await client.device(first.device_id)
    assert (read.device_info.name, read.device_info.model, read.device_info.node_id) == ("meter 1", "WM1", "client-1")
    assert read.create_time.tzinfo is not None
    ids = [first.device_id, second.device_id, third.device_id]
    assert [one.device_id for one in await client.all("devices", sort=Sort.ASC, page_size=2)] == ids
    since = datetime.now(UTC) - timedelta(hours=1)
    found = await client.all(
        "devices", status=DeviceStatus.OFFLINE, node_type=NodeType.GATEWAY, start_time=since, page_size=1
    )
    assert {one.device_id for one in found} == set(ids)
    await client.delete_device(third.device_id)
    with pytest.raises(NotFoundError):
        await client.device(third.device_id)
    with pytest.raises(NotFoundError):
        await client.delete_device(third.device_id)
    return ids[:2]


async def device_groups(client, device_ids):
    """Make two groups, of which one stays with all devices in it; gives its name."""
    made = await client.create_device_group("north", description="the north", max_dev_num=10, device_ids=device_ids[:1])
    other = await client.create_device_group("south")
    with pytest.raises(ConflictError):
        await client.create_device_group("north")
    read = await client.device_group(made.id)
    assert (read.name, read.max_dev_num, read.cur_dev_num) == ("north", 10, 1)
    assert {one.id for one in await client.all("device_groups", page_size=1)} == {made.id, other.id}
    assert (await client.modify_device_group(made.id, name="farNorth")).name == "farNorth"
    await client.add_to_device_group(made.id, device_ids)
    assert set(await client.all("device_group_members", made.id, page_size=1)) == set(device_ids)
    await client.remove_from_device_group(made.id, device_ids[1:])
    assert await client.all("device_group_members", made.id) == device_ids[:1]
    await client.add_to_device_group(made.id, device_ids[1:])
    await client.delete_device_group(other.id)
    with pytest.raises(NotFoundError):
        await client.device_group(other.id)
    return "farNorth"


async def packages(client, served):
    """Upload two packages, of which one stays; gives its id."""
    kept, deleted = await upload(served, "1.1.0"), await upload(served, "1.2.0")
    assert (await client.package(kept)).version == "1.1.0"
    found = await client.all("packages", file_type=FileType.FIRMWARE, page_size=1)
    assert {one.file_id for one in found} == {kept, deleted}
    assert [one.file_id for one in await client.all("packages", version="1.2.0")] == [deleted]
    await client.delete_package(deleted)
    with pytest.raises(NotFoundError):
        await client.package(deleted)
    return kept


async def upgrades(client, package_id, device_ids, group):
    created = await client.create_firmware_upgrade(package_id, devices=device_ids[:1], idempotency_key="once")
    again = await client.create_firmware_upgrade(package_id, devices=device_ids[:1], idempotency_key="once")
    assert again == created
    with pytest.raises(InvalidRequestError):
        await client.create_firmware_upgrade(package_id, devices=device_ids, idempotency_key="once")
    policy = Policy(execute_type=ExecuteType.DEVICE_ONLINE, retry_type=True, retry_times=2)
    by_group = await client.create_firmware_upgrade(
        package_id,
        device_groups=[group],
        device_type="WaterMeter",
        model="WM1",
        manufacturer_name="Acme",
        policy=policy,
    )
    with pytest.raises(InvalidRequestError) as software:
        await client.create_software_upgrade(package_id, devices=device_ids)
    assert (software.value.code, software.value.status) == ("120015", 400)
    with pytest.raises(InvalidRequestError) as nobody:
        await client.create_firmware_upgrade(package_id)
    assert nobody.value.code == "123022"
    task = await client.operation(created)
    assert (task.operate_type, task.sta_result.total) == (OperateType.FIRMWARE, 1)
    assert {one.operation_id for one in await client.all("operations", page_size=1)} == {created, by_group}
    assert await client.all("operations", operation_status=OperationStatus.SUCCESS) == []
    (share,) = await client.all("sub_operations", created)
    assert share.device_id == device_ids[0]
    assert await client.all("sub_operations", created, status=SubOperationStatus.SUCCESS) == []
    with pytest.raises(NotFoundError):
        await client.operation("none")


async def test_every_method(client, served):
    await authentication(client)
    await subscriptions(client)
    device_ids = await devices(client, served)
    await feed(client)
    group = await device_groups(client, device_ids)
    package_id = await packages(client, served)
    await upgrades(client, package_id, device_ids, group)
    await client.close()
    surface = {name for name, _ in inspect.getmembers(type(client.client), inspect.isfunction) if name[0] != "_"}
    assert client.called == surface
    tokens = await served.manage("GET", f"/v1/applications/{served.credentials['application_id']}")
    assert tokens["application_id"] == served.credentials["application_id"]


async def test_what_the_platform_refuses_has_its_class(client, served):
    other = await served.manage("POST", "/v1/applications", json={"name": "other"})
    with pytest.raises(AccessDeniedError):
        await client.all("devices", app_id=other["application_id"])
    with pytest.raises(InvalidRequestError):
        await client.all("packages", page_size=10_000)
    options = TransportOptions(verify=served.data / "tls/authority.pem")
    stranger = NorthboundClient(served.url, app_id="nobody", secret="word", options=options)
    with stranger, pytest.raises(AuthenticationError):
        await asyncio.to_thread(stranger.login)
    untrusting = NorthboundClient(served.url, app_id="nobody", secret="word", retry=RetryPolicy(tries=1))
    with untrusting, pytest.raises(NotReachedError, match="certificate"):
        await asyncio.to_thread(untrusting.login)


async def test_many_tasks_share_one_client_and_its_token(served):
    made = await served.manage("POST", "/v1/applications", json={"name": "many"})
    async with served.client(made) as client:
        names = [f"many-{number}" for number in range(60)]
        registered = await asyncio.gather(*(client.register_device(name) for name in names))
        assert len({one.device_id for one in registered}) == 60
        listing = client.devices(page_size=7)
        assert await listing.total() == 60
        assert {device.device_info.node_id async for device in listing} == set(names)


async def test_a_throttled_application_is_told_and_waits_when_it_may(served):
    await served.stop()
    served.environment = {"FIRMCAST_REST__THROTTLE_CALLS": "3", "FIRMCAST_REST__THROTTLE_PERIOD": "2"}
    await served.start()
    made = await served.manage("POST", "/v1/applications", json={"name": "hasty"})
    arguments = {
        "app_id": made["application_id"],
        "secret": made["secret"],
        "options": TransportOptions(verify=served.tls),
    }
    async with AsyncNorthboundClient(served.url, **arguments, retry=RetryPolicy(tries=1)) as client:
        for _ in range(2):  # the login was the first of three calls
            await client.devices().total()
        with pytest.raises(ThrottledError) as caught:
            await client.devices().total()
    assert caught.value.retry_after is not None
    assert timedelta() < caught.value.retry_after <= timedelta(seconds=2)
    async with AsyncNorthboundClient(served.url, **arguments) as client:
        for _ in range(5):
            assert await client.devices().total() == 0
