"""A virtual device and an independent server over real UDP: each scenario tells exactly what is notified, in order."""

import asyncio
import gc
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from aiocoap.numbers.codes import Code

from firmcast.clock import SystemClock
from firmcast.lwm2m.content import decode_content
from firmcast.lwm2m.firmware_update import FirmwareUpdateState, UpdateResult
from firmcast.lwm2m.paths import DELIVERY_METHOD, FIRMWARE_INSTANCE, FIRMWARE_STATE, PROTOCOL_SUPPORT, Path
from firmcast.lwm2m.registration import parse_register
from firmcast.lwm2m.values import integer_at, integers_at
from firmcast.simulator.device import VirtualDevice
from firmcast.simulator.timing import QUICK
from firmcast.simulator.transport import Transport

PACKAGE = Random(5).randbytes(5_000)
"""What `start_device` takes for intact."""
STATE, RESULT, VERSION = "/5/0/3", "/5/0/5", "/3/0/3"

StartDevice = Callable[..., Awaitable[VirtualDevice]]


async def test_what_a_device_says_when_it_registers(server: Any, start_device: StartDevice) -> None:
    device = await start_device(lifetime=120)
    registered = await server.registration()
    request = parse_register(registered.query, registered.payload)
    assert registered.query == ("ep=node-1", "lt=120", "lwm2m=1.1", "b=U")
    assert registered.payload == b"</>;rt=oma.lwm2m;ct=112,</1/0>,</3/0>,</5/0>"
    assert request.objects.paths == (Path.of(1, 0), Path.of(3, 0), Path.of(5, 0))
    await device.until(lambda status: status.registered)
    await device.close()
    assert server.deregistered == ["node-1"]
    assert not device.status.registered


@pytest.mark.parametrize("name", ["plain", "pull", "zephyr", "anjay", "small-blocks"])
async def test_a_package_fetched_by_the_device(server: Any, start_device: StartDevice, name: str) -> None:
    server.served.content = PACKAGE
    device = await start_device(name)
    before = await server.registration()
    await server.observe(before)
    assert await server.write_uri(before) is Code.CHANGED
    assert await server.reported(2) == [(STATE, "1"), (STATE, "2")]
    assert await server.execute(before) is Code.CHANGED
    after = await server.registration(2)
    assert after.port != before.port
    assert after.endpoint_name == before.endpoint_name
    result = "0" if device.spec.profile.forgets_state_on_reboot else "1"
    assert await server.outcome(after) == ("0", result, "2.0.0")
    assert server.reports == [(STATE, "1"), (STATE, "2"), (STATE, "3")]
    assert server.deregistered == []
    assert server.served.sizes == {16 << device.spec.profile.block_szx}
    assert server.served.blocks == sorted(set(server.served.blocks))
    status = device.status
    assert (status.updates_succeeded, status.updates_failed, status.bytes_received) == (1, 0, len(PACKAGE))
    assert (status.received, status.total, status.registrations) == (len(PACKAGE), len(PACKAGE), 2)


@pytest.mark.parametrize(
    ("name", "szx", "shown"),
    [("push", 6, []), ("anjay-push", 6, []), ("push-shown", 6, [(STATE, "1")]), ("push", 3, []), ("push", 0, [])],
)
async def test_a_package_written_by_the_server(
    server: Any, start_device: StartDevice, name: str, szx: int, shown: list[tuple[str, str]]
) -> None:
    device = await start_device(name, block_szx=szx)
    before = await server.registration()
    await server.observe(before)
    assert await server.write_package(before, PACKAGE) is Code.CHANGED
    assert await server.reported(len(shown) + 1) == [*shown, (STATE, "2")]
    assert await server.execute(before) is Code.CHANGED
    after = await server.registration(2)
    assert await server.outcome(after) == ("0", "1", "2.0.0")
    assert server.reports == [*shown, (STATE, "2"), (STATE, "3")]
    assert device.status.bytes_received == len(PACKAGE)


async def test_a_package_written_in_one_message(server: Any, start_device: StartDevice) -> None:
    await start_device("push-shown", expected_digest=hashlib.sha256(b"small").hexdigest())
    device = await server.registration()
    await server.observe(device)
    assert await server.write_package(device, b"small") is Code.CHANGED
    assert await server.reported(2) == [(STATE, "1"), (STATE, "2")]


async def test_a_fetched_package_that_fails_its_check(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    await start_device("corrupting")
    device = await server.registration()
    await server.observe(device)
    await server.write_uri(device)
    assert await server.reported(3) == [(STATE, "1"), (STATE, "0"), (RESULT, "5")]
    assert await server.execute(device) is Code.METHOD_NOT_ALLOWED
    assert await server.outcome(device) == ("0", "5", "1.0.0")


async def test_a_written_package_that_fails_its_check(server: Any, start_device: StartDevice) -> None:
    await start_device("push")
    device = await server.registration()
    await server.observe(device)
    assert await server.write_package(device, PACKAGE[:-1] + b"!") is Code.CHANGED
    assert await server.reported(1) == [(RESULT, "5")]
    assert await server.write_package(device, PACKAGE) is Code.CHANGED
    assert await server.reported(3) == [(RESULT, "5"), (RESULT, "0"), (STATE, "2")]


@pytest.mark.parametrize(("name", "state"), [("anjay-failing", "2"), ("zephyr-failing", "0")])
async def test_a_failed_install(server: Any, start_device: StartDevice, name: str, state: str) -> None:
    server.served.content = PACKAGE
    device = await start_device(name)
    registered = await server.registration()
    await server.observe(registered)
    await server.write_uri(registered)
    await server.reported(2)
    await server.execute(registered)
    assert (await server.reported(5))[2:] == [(STATE, "3"), (STATE, state), (RESULT, "8")]
    assert await server.outcome(registered) == (state, "8", "1.0.0")
    assert len(server.registrations) == 1
    assert (device.status.updates_succeeded, device.status.updates_failed) == (0, 1)


async def test_an_update_without_a_reboot(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    await start_device("no-reboot", notifies_confirmable=True)
    device = await server.registration()
    await server.observe(device)
    await server.write_uri(device)
    await server.reported(2)
    await server.execute(device)
    assert (await server.reported(6))[3:] == [(STATE, "0"), (RESULT, "1"), (VERSION, "2.0.0")]
    assert len(server.registrations) == 1


async def test_a_device_that_hangs_until_its_power_is_cut(server: Any, start_device: StartDevice) -> None:
    device = await start_device("hanging")
    registered = await server.registration()
    await server.observe(registered)
    await server.write_package(registered, PACKAGE)
    await server.execute(registered)
    assert (await server.reported(3))[2:] == [(STATE, "3")]
    assert await server.write_uri(registered, "") is Code.METHOD_NOT_ALLOWED
    device.reboot()
    assert await server.outcome(await server.registration(2)) == ("0", "8", "1.0.0")


async def test_a_reboot_asked_for_by_the_server(server: Any, start_device: StartDevice) -> None:
    await start_device()
    before = await server.registration()
    assert await server.execute(before, "/3/0/4") is Code.CHANGED
    after = await server.registration(2)
    assert after.port != before.port


@pytest.mark.parametrize("turns", range(6))
async def test_a_device_that_is_ended_while_it_reboots_leaves_no_socket(start_device: StartDevice, turns: int) -> None:
    device = await start_device()
    await device.until(lambda status: status.registered)
    device.reboot()
    for _ in range(turns):
        await asyncio.sleep(0)
    await device.close(deregister=False)
    assert device.address is None
    assert not device.status.registered


async def test_a_name_that_no_session_can_carry_leaves_no_socket() -> None:
    with pytest.raises(ValueError, match="an identity has one byte at least"):
        await Transport.open(
            "127.0.0.1",
            identity="",
            key=bytes(16),
            on_event=lambda _event: None,
            clock=SystemClock().monotonic,
            parameters=QUICK.transmission,
            random=Random(1),
        )
    gc.collect()  # A socket that is left fails the test here, since warnings are errors.


async def test_an_address_that_leads_nowhere(server: Any, start_device: StartDevice) -> None:
    await start_device()
    device = await server.registration()
    await server.observe(device)
    assert await server.write_uri(device, f"coap://127.0.0.1:{server.port}/no/such") is Code.CHANGED
    assert await server.reported(3) == [(STATE, "1"), (STATE, "0"), (RESULT, "7")]
    assert await server.write_uri(device, "ftp://127.0.0.1/fw") is Code.BAD_REQUEST
    assert (await server.reported(4))[3:] == [(RESULT, "9")]


async def test_a_server_that_does_not_serve_is_given_up(server: Any, start_device: StartDevice) -> None:
    await start_device(timing=replace(QUICK, download_patience=0.2, download_retry_delay=0.05))
    device = await server.registration()
    await server.observe(device)
    server.served.on_block = lambda _number: Code.SERVICE_UNAVAILABLE
    await server.write_uri(device)
    assert await server.reported(3) == [(STATE, "1"), (STATE, "0"), (RESULT, "4")]


async def test_a_reset_stops_a_download(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    server.served.on_block = lambda number: Code.SERVICE_UNAVAILABLE if number == 2 else None
    device = await start_device()
    registered = await server.registration()
    await server.observe(registered)
    await server.write_uri(registered)
    await server.reported(1)
    assert await server.write_uri(registered) is Code.BAD_REQUEST
    assert await server.write_uri(registered, "") is Code.CHANGED
    assert await server.reported(2) == [(STATE, "1"), (STATE, "0")]
    server.served.on_block = lambda _number: None
    assert await server.write_uri(registered) is Code.CHANGED
    assert (await server.reported(4))[2:] == [(STATE, "1"), (STATE, "2")]
    assert device.status.updates_failed == 0


async def test_a_written_package_that_stops_coming_is_given_up(server: Any, start_device: StartDevice) -> None:
    await start_device("push-shown", timing=replace(QUICK, upload_patience=0.05))
    device = await server.registration()
    await server.observe(device)
    await server.write_first_block(device, PACKAGE[:1024])
    assert await server.reported(3) == [(STATE, "1"), (STATE, "0"), (RESULT, "4")]


async def test_reads_in_the_formats_that_servers_ask_for(server: Any, start_device: StartDevice) -> None:
    await start_device()
    device = await server.registration()
    for accept in (None, 11542, 112):
        response = await server.request(device, Code.GET, "/5/0", accept=accept)
        assert response.code is Code.CONTENT
        assert response.opt.content_format == (accept or 11542)
        values = decode_content(response.opt.content_format, response.payload, FIRMWARE_INSTANCE)
        assert integer_at(values, FIRMWARE_STATE) == 0
        assert integer_at(values, DELIVERY_METHOD) == 2
        assert integers_at(values, PROTOCOL_SUPPORT) == (0,)
    for path, accept, code in [
        ("/5/0", 0, Code.NOT_ACCEPTABLE),
        ("/9", None, Code.NOT_FOUND),
        ("/a/b", None, Code.NOT_FOUND),
        ("/5/0/0", None, Code.METHOD_NOT_ALLOWED),
    ]:
        assert (await server.request(device, Code.GET, path, accept=accept)).code is code
    assert (await server.request(device, Code.DELETE, "/5/0")).code is Code.METHOD_NOT_ALLOWED
    assert (await server.request(device, Code.PUT, "/5/0/3?pmin=1")).code is Code.CHANGED


async def test_a_stranger_is_sent_away(server: Any, start_device: StartDevice, make_server: Any) -> None:
    await start_device()
    device = await server.registration()
    stranger = await make_server()
    assert (await stranger.request(device, Code.GET, "/5/0/3")).code is Code.UNAUTHORIZED
    assert await stranger.write_package(device, PACKAGE) is Code.UNAUTHORIZED
    assert await server.read(device, "/5/0/3") == "0"


async def test_the_registration_is_kept_alive(server: Any, start_device: StartDevice) -> None:
    device = await start_device(lifetime=1)
    await server.until(lambda seen: seen.updates >= 2)
    assert len(server.registrations) == 1
    assert device.status.registered


async def test_a_server_that_forgot_the_device_is_told_anew(server: Any, start_device: StartDevice) -> None:
    await start_device(lifetime=1)
    registered = await server.registration()
    await server.observe(registered, STATE)
    server.locations.clear()
    again = await server.registration(2)
    assert again.port == registered.port
    await server.write_package(again, PACKAGE)
    await server.observe(again, STATE)
    await server.execute(again)
    await server.registration(3)
    assert server.reports == [(STATE, "3")]


async def test_a_server_that_is_down_is_waited_for(server: Any, start_device: StartDevice) -> None:
    await server.stop()
    device = await start_device()
    await asyncio.sleep(0)
    assert not device.status.registered
    await server.start()
    await server.registration()


async def test_a_report_that_nobody_acknowledges_makes_the_device_look_for_its_server(
    server: Any, start_device: StartDevice
) -> None:
    hasty = replace(QUICK.transmission, ack_timeout=0.01)
    device = await start_device(
        "push-shown", notifies_confirmable=True, timing=replace(QUICK, transmission=hasty, upload_patience=0.1)
    )
    registered = await server.registration()
    await server.observe(registered, STATE)
    await server.write_first_block(registered, PACKAGE[:1024])
    await server.reported(1)
    await server.stop()
    await device.until(lambda status: status.state is FirmwareUpdateState.IDLE)
    await device.until(lambda status: not status.registered)
    await server.start()
    assert await server.outcome(await server.registration(2)) == ("0", "4", "1.0.0")


async def test_a_download_goes_on_where_a_dead_server_left_it(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    reached = asyncio.Event()

    def stall(number: int) -> Code | None:
        if number < 3:
            return None
        reached.set()
        return Code.SERVICE_UNAVAILABLE

    server.served.on_block = stall
    device = await start_device(lifetime=2)
    registered = await server.registration()
    await server.observe(registered)
    await server.write_uri(registered)
    await reached.wait()
    await server.stop()
    server.served.on_block = lambda _number: None
    await server.start()
    await server.observe(await server.registration(2), STATE)
    await server.until(lambda seen: device.status.state is FirmwareUpdateState.DOWNLOADED and seen.reports)
    assert server.served.blocks == [0, 1, 2, 3, 4]
    assert device.status.result is UpdateResult.INITIAL


async def test_a_package_that_changed_meanwhile_is_fetched_from_its_start(
    server: Any, start_device: StartDevice
) -> None:
    server.served.content = PACKAGE[::-1]

    def stall(number: int) -> Code | None:
        if number < 3:
            return None
        server.served.content, server.served.etag = PACKAGE, b"\x02"
        server.served.on_block = lambda _number: None
        return Code.SERVICE_UNAVAILABLE

    server.served.on_block = stall
    await start_device()
    device = await server.registration()
    await server.observe(device)
    await server.write_uri(device)
    assert await server.reported(2) == [(STATE, "1"), (STATE, "2")]
    assert server.served.blocks == [0, 1, 2, 3, 0, 1, 2, 3, 4]


async def test_a_power_cut_in_a_download(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    device = await start_device()

    def cut(number: int) -> Code | None:
        if number < 3:
            return None
        device.reboot()
        return Code.SERVICE_UNAVAILABLE

    server.served.on_block = cut
    before = await server.registration()
    await server.write_uri(before)
    after = await server.registration(2)
    assert after.port != before.port
    assert await server.outcome(after) == ("0", "4", "1.0.0")
    server.served.on_block = lambda _number: None
    await server.observe(after)
    await server.write_uri(after)
    assert await server.reported(3) == [(STATE, "1"), (RESULT, "0"), (STATE, "2")]
