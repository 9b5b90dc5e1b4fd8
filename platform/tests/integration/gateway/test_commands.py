"""Each order does to a device, in the format that it speaks, what its name says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiocoap.numbers.codes import Code

from firmcast.coap.events import Event, NotificationReceived, TransferProgress
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.static_bodies import StaticBody
from firmcast.coap.udp import UdpEndpoint
from firmcast.devices.model import Registration
from firmcast.gateway import commands
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.device_link import DeviceLink, DeviceRefusedError, DeviceSilentError
from firmcast.gateway.live_devices import LiveDevice, LiveDevices
from firmcast.ids import DeviceId, RegistrationId
from firmcast.lwm2m.paths import FIRMWARE_STATE
from firmcast.profiles.driving import DriverChoices
from firmcast.upgrades.model import ResourcesReported

OUTCOMES = Path(__file__).resolve().parents[4] / "docs/explanation/outcomes.md"
TLV = 11542
SENML_CBOR = 112
PACKAGE = bytes(range(256)) * 18
START = datetime(2026, 1, 1, tzinfo=UTC)

MakeLink = Callable[..., Awaitable[Any]]


@pytest.fixture
async def udp() -> AsyncIterator[SimpleNamespace]:
    events: list[Event] = []
    parameters = TransmissionParameters(ack_timeout=0.05, max_retransmit=1)
    endpoint = await UdpEndpoint.open("127.0.0.1", 0, on_event=events.append, parameters=parameters)
    yield SimpleNamespace(endpoint=endpoint, events=events)
    endpoint.close()


@pytest.fixture
def link_to(udp: SimpleNamespace) -> Callable[..., DeviceLink]:
    windows = AwakeWindows(
        LiveDevices(), window=60.0, clock=udp.endpoint.now, on_awake=lambda _: None, on_asleep=lambda _: None
    )

    def link(device: Any, port: int | None = None, objects: str = "") -> DeviceLink:
        registration = Registration(
            registration_id=RegistrationId("0123456789abcdef" * 2),
            device_id=DeviceId("d1"),
            endpoint_name="device-1",
            host="127.0.0.1",
            port=device.port if port is None else port,
            lifetime_seconds=60,
            binding="U",
            queue_mode=False,
            lwm2m_version="1.1",
            objects=objects,
            registered_at=START,
            updated_at=START,
            expires_at=START + timedelta(seconds=60),
        )
        return DeviceLink(udp.endpoint, LiveDevice(registration), windows)

    return link


@pytest.mark.parametrize("formats", [(TLV,), (SENML_CBOR,), (SENML_CBOR, TLV), ()])
async def test_inspect_reads_everything_in_whatever_format(make_device, link_to, formats) -> None:
    device = await make_device()
    device.object_formats = formats
    device.values.update({"/5/0/3": 2, "/5/0/5": 8, "/5/0/1": "coap://x/fw/t", "/5/0/8": [0, 2]})
    told = await commands.inspect(link_to(device))
    assert told == ResourcesReported(
        state=2, result=8, firmware_version="1.0", package_uri="coap://x/fw/t", protocols=(0, 2), delivery_method=2
    )
    assert device.seen[:2] == [("OBSERVE", "/5/0/3"), ("OBSERVE", "/5/0/5")]


async def test_the_format_that_worked_is_asked_for_first_the_next_time(make_device, link_to) -> None:
    device = await make_device()
    device.object_formats = (SENML_CBOR,)
    link = link_to(device)
    await commands.inspect(link)
    assert device.seen.count(("GET", "/5/0")) == 2
    await commands.inspect(link)
    assert device.seen.count(("GET", "/5/0")) == 3


async def test_observations_bring_notifications_under_the_token_of_the_registration(make_device, link_to, udp) -> None:
    device = await make_device()
    link = link_to(device)
    await commands.inspect(link)
    await commands.inspect(link)
    await device.change("/5/0/3", 1)
    async with asyncio.timeout(5):
        while not any(isinstance(event, NotificationReceived) for event in udp.events):
            await asyncio.sleep(0)
    (notified,) = [event for event in udp.events if isinstance(event, NotificationReceived)]
    assert (notified.token, notified.payload) == (link.device.token(FIRMWARE_STATE), b"1")


async def test_a_device_that_cannot_be_observed_and_has_no_version_is_inspected_all_the_same(
    make_device, link_to
) -> None:
    device = await make_device()
    device.refuse = {("GET", path): Code.NOT_FOUND for path in ("/3/0/3", "/5/0/3", "/5/0/5")}
    told = await commands.inspect(link_to(device))
    assert (told.state, told.result, told.firmware_version) == (0, 0, None)


LINKS = {"complete, without it": "</1/0>,</3/0>", "complete": "</1/0>,</3/0>,</5/0>", "a part": "</1/0>", "none": ""}
READS = {"4.04, and nothing else told": Code.NOT_FOUND, "another error": Code.METHOD_NOT_ALLOWED}


def rows_of_absence() -> list[list[str]]:
    """Return the cells of the page's table of what makes a state absent, without its head."""
    section = OUTCOMES.read_text().split("The state is *absent*")[1].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.strip().splitlines()[2:]]


@pytest.mark.parametrize(("listed", "is_known", "read"), list(product(LINKS, (True, False), READS)))
async def test_a_state_is_absent_as_the_page_says(make_device, link_to, listed, is_known, read) -> None:
    row = next(
        row
        for row in rows_of_absence()
        if row[0] in ("any", listed)
        and row[1] in ("any", "yes" if is_known else "no")
        and row[2] in ("any", read, read.split(",")[0])
    )
    device = await make_device()
    device.values = {"/3/0/3": "1.0"}
    device.refuse = {("GET", f"/5/0{end}"): READS[read] for end in ("", "/1", "/3", "/5", "/8", "/9")}
    link = link_to(device, objects=LINKS[listed])
    link.device.choices = DriverChoices(has_firmware_object=is_known)
    if row[3].startswith("absent"):
        assert await commands.inspect(link) == ResourcesReported(firmware_version="1.0")
        assert (("GET", "/5/0") in device.seen) is ("nothing more" not in row[3])
    else:
        with pytest.raises(DeviceRefusedError) as refused:
            await commands.inspect(link)
        assert "failed: refused" in row[3]
        assert refused.value.description == "4.05 method not allowed to the read of /5/0/3"
        assert refused.value.resources == ResourcesReported(firmware_version="1.0")


async def test_links_without_the_object_are_not_believed_of_a_device_that_tells_its_state(make_device, link_to) -> None:
    device = await make_device()
    told = await commands.inspect(link_to(device, objects=LINKS["complete, without it"]))
    assert (told.state, told.result) == (0, 0)


async def test_a_device_that_has_the_half_of_the_object_is_not_taken_for_one_without(make_device, link_to) -> None:
    device = await make_device()
    device.refuse = {("GET", path): Code.NOT_FOUND for path in ("/5/0", "/5/0/3")}
    with pytest.raises(DeviceRefusedError):
        await commands.inspect(link_to(device))


async def test_a_device_that_is_busy_is_taken_for_silent(make_device, link_to) -> None:
    device = await make_device()
    device.refuse = {("GET", "/5/0"): Code.SERVICE_UNAVAILABLE}
    with pytest.raises(DeviceSilentError):
        await commands.inspect(link_to(device))


async def test_nobody_there_is_silence(make_device, link_to) -> None:
    device = await make_device()
    port = device.port
    await device.power_off()
    with pytest.raises(DeviceSilentError):
        await commands.probe(link_to(device, port))


async def test_probe_reads_version_state_and_result(make_device, link_to) -> None:
    device = await make_device()
    device.values.update({"/5/0/3": 3})
    assert await commands.probe(link_to(device)) == ResourcesReported(state=3, result=0, firmware_version="1.0")
    assert device.seen == [("GET", "/3/0/3"), ("GET", "/5/0/3"), ("GET", "/5/0/5")]


async def test_the_address_of_a_package_is_written_as_it_is(make_device, link_to) -> None:
    device = await make_device()
    written = []

    async def on_uri(uri: str) -> Code:
        written.append(uri)
        return Code.CHANGED

    device.on_uri = on_uri
    told = await commands.transfer_by_uri(link_to(device), "coap://127.0.0.1:5683/fw/t", may_be_repeat=False)
    assert (written, told) == (["coap://127.0.0.1:5683/fw/t"], ResourcesReported())
    assert device.seen == [("PUT", "/5/0/1")]


async def test_an_address_that_an_earlier_try_wrote_is_left_alone(make_device, link_to) -> None:
    device = await make_device()
    device.values.update({"/5/0/3": 1, "/5/0/1": "coap://127.0.0.1:5683/fw/t"})
    told = await commands.transfer_by_uri(link_to(device), "coap://127.0.0.1:5683/fw/t", may_be_repeat=True)
    assert told.state == 1
    assert ("PUT", "/5/0/1") not in device.seen


async def test_a_repeated_address_is_written_where_the_earlier_try_did_not_arrive(make_device, link_to) -> None:
    device = await make_device()
    device.values["/5/0/1"] = "coap://elsewhere/"
    await commands.transfer_by_uri(link_to(device), "coap://127.0.0.1:1/fw/t", may_be_repeat=True)
    assert ("PUT", "/5/0/1") in device.seen


async def test_a_refused_address_comes_back_with_state_and_result(make_device, link_to) -> None:
    device = await make_device()
    device.refuse = {("PUT", "/5/0/1"): Code.BAD_REQUEST}
    device.values["/5/0/5"] = 9
    with pytest.raises(DeviceRefusedError) as refused:
        await commands.transfer_by_uri(link_to(device), "ftp://x", may_be_repeat=False)
    assert refused.value.description == "4.00 bad request to the write of /5/0/1"
    assert refused.value.resources == ResourcesReported(state=0, result=9)


async def test_a_package_is_written_block_by_block_with_progress(make_device, link_to, udp) -> None:
    device = await make_device()
    body = StaticBody(PACKAGE, etag=b"12345678")
    await commands.transfer_by_write(link_to(device), body)
    await device.until(lambda: device.packages == [PACKAGE])
    sent = [event.sent for event in udp.events if isinstance(event, TransferProgress)]
    assert sent == [1024, 2048, 3072, 4096]


async def test_execute_is_given_once_and_again_only_to_a_device_that_is_not_at_it(make_device, link_to) -> None:
    device = await make_device()
    device.values["/5/0/3"] = 3
    told = await commands.execute(link_to(device), may_be_repeat=True)
    assert told.state == 3
    assert ("POST", "/5/0/2") not in device.seen
    with pytest.raises(DeviceRefusedError) as refused:
        await commands.execute(link_to(device), may_be_repeat=False)
    assert refused.value.description == "4.05 method not allowed to the execution of /5/0/2"
    assert refused.value.resources == ResourcesReported(state=3, result=0)


@pytest.mark.parametrize(
    ("refused", "way"),
    [
        ((), ("PUT", "/5/0/1")),
        ((("PUT", "/5/0/1"),), ("POST", "/5/0/10")),
        ((("PUT", "/5/0/1"), ("POST", "/5/0/10")), ("PUT", "/5/0/0")),
    ],
)
async def test_reset_finds_the_way_that_the_device_knows(make_device, link_to, refused, way) -> None:
    device = await make_device()
    device.values["/5/0/3"] = 2
    device.refuse = dict.fromkeys(refused, Code.METHOD_NOT_ALLOWED)
    told = await commands.reset(link_to(device))
    assert (told.state, told.result) == (0, 0)
    assert [request for request in device.seen if request[0] != "GET"][-1] == way


async def test_a_reset_knows_what_helped_the_device_before(make_device, link_to) -> None:
    device = await make_device()
    link = link_to(device)
    device.refuse = {("PUT", "/5/0/1"): Code.METHOD_NOT_ALLOWED}
    for _ in range(2):
        device.values["/5/0/3"] = 2
        device.seen.clear()
        assert (await commands.reset(link)).state == 0
    assert [request for request in device.seen if request[0] != "GET"] == [("POST", "/5/0/10")]


async def test_a_device_that_installs_is_left_alone_by_a_reset(make_device, link_to) -> None:
    device = await make_device()
    device.values["/5/0/3"] = 3
    with pytest.raises(DeviceRefusedError) as refused:
        await commands.reset(link_to(device))
    assert refused.value.resources == ResourcesReported(state=3, result=0)
    assert {method for method, _ in device.seen} == {"GET"}


async def test_an_idle_device_forgets_the_address_that_it_was_just_given(make_device, link_to) -> None:
    device = await make_device()
    assert (await commands.reset(link_to(device))).state == 0
    assert [request for request in device.seen if request[0] != "GET"] == [("PUT", "/5/0/1")]


async def test_a_device_that_stays_where_it_is_refuses_the_reset(make_device, link_to) -> None:
    device = await make_device()
    device.values["/5/0/3"] = 2
    device.refuse = dict.fromkeys((("PUT", "/5/0/1"), ("POST", "/5/0/10"), ("PUT", "/5/0/0")), Code.METHOD_NOT_ALLOWED)
    with pytest.raises(DeviceRefusedError) as refused:
        await commands.reset(link_to(device))
    assert refused.value.description.startswith("the device stays in state 2: 4.05 method not allowed to an empty")
    assert refused.value.resources.state == 2


async def test_a_request_follows_a_device_to_its_new_address(make_device, link_to) -> None:
    device = await make_device()
    silent = await make_device("silent")
    asked = asyncio.Event()

    async def never(_path: str, _payload: bytes) -> Code:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    silent.on_write = never
    link = link_to(silent)
    writing = asyncio.create_task(commands.transfer_by_uri(link, "coap://127.0.0.1:1/fw/t", may_be_repeat=False))
    await asked.wait()
    link.device.peer = ("127.0.0.1", device.port)
    link.moved()
    async with asyncio.timeout(5):
        await writing
    assert ("PUT", "/5/0/1") in device.seen
