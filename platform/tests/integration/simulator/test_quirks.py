"""Each quirk of a profile as an independent server sees it over real UDP."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import aiocoap
import cbor2
import pytest
from aiocoap.numbers.codes import Code

from firmcast.lwm2m.firmware_update import DeliveryMethod, FirmwareUpdateState, UpdateResult
from firmcast.simulator.device import VirtualDevice
from firmcast.simulator.timing import QUICK

PACKAGE = Random(5).randbytes(5_000)
"""What `start_device` takes for intact: four whole blocks and a part of one."""
STATE, RESULT, VERSION = "/5/0/3", "/5/0/5", "/3/0/3"
IDLE, DOWNLOADING, DOWNLOADED, UPDATING = FirmwareUpdateState

StartDevice = Callable[..., Awaitable[VirtualDevice]]


async def downloaded(server: Any, registered: Any) -> None:
    """Observe a device and let it fetch its package."""
    server.served.content = PACKAGE
    await server.observe(registered)
    assert await server.write_uri(registered) is Code.CHANGED
    await server.until(lambda seen: (STATE, "2") in seen.reports)
    server.reports.clear()


async def test_an_update_put_off_and_told_again(server: Any, start_device: StartDevice) -> None:
    device = await start_device("deferring")
    registered = await server.registration()
    await downloaded(server, registered)
    assert await server.execute(registered) is Code.CHANGED
    assert await server.reported(3) == [(STATE, "3"), (STATE, "2"), (RESULT, "11")]
    assert await server.execute(registered) is Code.CHANGED
    assert await server.outcome(await server.registration(2)) == ("0", "1", "2.0.0")
    assert (device.status.updates_succeeded, device.status.updates_failed) == (1, 0)


@pytest.mark.parametrize("cut", [False, True])
async def test_an_update_put_off_for_a_time(server: Any, start_device: StartDevice, cut: bool) -> None:
    device = await start_device("deferring-a-while", defers_from=DOWNLOADED, defers_for=0.05)
    registered = await server.registration()
    await downloaded(server, registered)
    assert await server.execute(registered) is Code.CHANGED
    assert (await server.reported(1))[0] == (RESULT, "11")
    if cut:
        device.reboot()
        registered = await server.registration(2)
    assert await server.outcome(await server.registration(3 if cut else 2)) == ("0", "1", "2.0.0")


async def test_a_device_that_vanishes_before_it_answers(server: Any, start_device: StartDevice) -> None:
    await start_device("unanswering", boot_time=0.01)
    registered = await server.registration()
    await downloaded(server, registered)
    unanswered = asyncio.ensure_future(server.execute(registered))
    assert await server.outcome(await server.registration(2)) == ("0", "1", "2.0.0")
    assert server.reports == []
    assert not unanswered.done()
    unanswered.cancel()


async def test_a_device_that_reboots_as_soon_as_it_has_answered(server: Any, start_device: StartDevice) -> None:
    await start_device("sudden", reboot_delay=0.0)
    registered = await server.registration()
    await downloaded(server, registered)
    assert await server.execute(registered) is Code.CHANGED
    assert await server.outcome(await server.registration(2)) == ("0", "1", "2.0.0")
    assert server.reports == []


async def test_an_end_that_is_never_notified(server: Any, start_device: StartDevice) -> None:
    await start_device("silent-end")
    registered = await server.registration()
    await downloaded(server, registered)
    await server.execute(registered)
    assert await server.reported(2) == [(RESULT, "1"), (VERSION, "2.0.0")]
    assert await server.outcome(registered) == ("0", "1", "2.0.0")


async def test_a_bad_package_of_which_the_result_alone_is_told(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    device = await start_device("bad-package-untold")
    registered = await server.registration()
    await server.observe(registered)
    await server.write_uri(registered)
    assert await server.reported(1) == [(RESULT, "5")]
    assert await server.outcome(registered) == ("0", "5", "1.0.0")
    assert server.reports == [(RESULT, "5")]
    assert device.status.updates_failed == 1


@pytest.mark.parametrize(("name", "between"), [("state-then-result", ("0", "0")), ("result-then-state", ("3", "1"))])
async def test_state_and_result_with_a_gap(
    server: Any, start_device: StartDevice, name: str, between: tuple[str, str]
) -> None:
    await start_device(name, report_gap=0.3)
    registered = await server.registration()
    await downloaded(server, registered)
    await server.execute(registered)
    await server.reported(2)
    assert (await server.outcome(registered))[:2] == between
    state, result = (STATE, "0"), (RESULT, "1")
    order = [state, result] if name == "state-then-result" else [result, state]
    assert await server.reported(4) == [(STATE, "3"), *order, (VERSION, "2.0.0")]
    assert await server.outcome(registered) == ("0", "1", "2.0.0")


async def test_an_answer_in_a_message_of_its_own(server: Any, start_device: StartDevice) -> None:
    await start_device("separate", answer_delay=0.01)
    registered = await server.registration()
    await downloaded(server, registered)
    assert await server.execute(registered) is Code.CHANGED
    assert await server.outcome(await server.registration(2)) == ("0", "1", "2.0.0")


async def test_a_device_that_serves_nothing_while_it_is_written_to(server: Any, start_device: StartDevice) -> None:
    await start_device("anjay-deaf", timing=replace(QUICK, upload_patience=5.0))
    registered = await server.registration()
    assert await server.write_block(registered, 0, PACKAGE[:1024], more=True) is Code.CONTINUE
    # Non-confirmable: an aiocoap that waits for an acknowledgement sends nothing else meanwhile.
    read = asyncio.ensure_future(server.request(registered, Code.GET, STATE, accept=0, mtype=aiocoap.NON))
    for number in range(1, 5):
        assert not read.done()
        block = PACKAGE[number * 1024 : (number + 1) * 1024]
        code = await server.write_block(registered, number, block, more=number < 4)
        assert code is (Code.CONTINUE if number < 4 else Code.CHANGED)
    assert (await read).payload == b"2"


async def test_a_device_that_is_busy_while_it_is_written_to(server: Any, start_device: StartDevice) -> None:
    device = await start_device("anjay-busy", timing=replace(QUICK, upload_patience=0.3))
    registered = await server.registration()
    assert await server.write_block(registered, 0, PACKAGE[:1024], more=True) is Code.CONTINUE
    assert (await server.request(registered, Code.GET, STATE, accept=0)).code is Code.SERVICE_UNAVAILABLE
    assert await server.write_block(registered, 0, PACKAGE[:1024], more=True) is Code.SERVICE_UNAVAILABLE
    await device.until(lambda status: status.updates_failed == 1)
    assert (await server.request(registered, Code.GET, RESULT, accept=0)).payload == b"4"
    assert await server.write_package(registered, PACKAGE) is Code.CHANGED
    await device.until(lambda status: status.state is DOWNLOADED)


async def test_a_package_written_anew_that_is_taken_for_a_repeat(server: Any, start_device: StartDevice) -> None:
    device = await start_device("zephyr-push", expected_digest=None, block_szx=6, report_gap=0.0)
    registered = await server.registration()
    await server.observe(registered)
    for number in range(3):
        await server.write_block(registered, number, bytes(1024), more=True)
    assert await server.write_package(registered, PACKAGE) is Code.CHANGED
    assert await server.reported(3) == [(STATE, "1"), (STATE, "0"), (RESULT, "5")]
    assert await server.write_package(registered, PACKAGE) is Code.CHANGED
    await device.until(lambda status: status.state is DOWNLOADED)


async def test_the_same_package_written_anew_is_completed_by_what_is_missing(
    server: Any, start_device: StartDevice
) -> None:
    device = await start_device("zephyr-push", block_szx=6)
    registered = await server.registration()
    for number in range(3):
        await server.write_block(registered, number, PACKAGE[number * 1024 : (number + 1) * 1024], more=True)
    assert await server.write_package(registered, PACKAGE) is Code.CHANGED
    assert device.status.state is DOWNLOADED


async def test_a_registration_made_anew_without_a_reboot(server: Any, start_device: StartDevice) -> None:
    await start_device("re-registering")
    registered = await server.registration()
    server.served.content = PACKAGE
    await server.observe(registered)
    await server.write_uri(registered)
    again = await server.registration(2)
    assert again.port == registered.port
    assert await server.outcome(again) == ("2", "0", "1.0.0")


async def test_what_is_sent_unasked_after_a_restart(server: Any, start_device: StartDevice) -> None:
    await start_device("sending")
    registered = await server.registration()
    await downloaded(server, registered)
    await server.execute(registered)
    await server.until(lambda seen: len(seen.sent) == 2)
    content_format, payload = server.sent[1]
    assert content_format == 112
    told = {record[0]: record.get(2, record.get(3)) for record in cbor2.loads(payload)}
    assert told == {"/3/0/3": "2.0.0", "/5/0/3": 0, "/5/0/5": 1}


async def test_a_power_cut_at_a_random_block(server: Any, start_device: StartDevice) -> None:
    device = await start_device("power-cut", delivery=DeliveryMethod.PULL)
    registered = await server.registration()
    server.served.content = PACKAGE
    await server.write_uri(registered)
    after = await server.registration(2)
    assert 0 < len(server.served.blocks) < 5
    assert await server.outcome(after) == ("0", "4", "1.0.0")
    await downloaded(server, after)
    assert device.status.state is DOWNLOADED
    assert device.status.registrations == 2


async def test_a_power_cut_while_a_package_is_written(server: Any, start_device: StartDevice) -> None:
    await start_device("power-cut")
    registered = await server.registration()
    with pytest.raises((aiocoap.error.NetworkError, aiocoap.error.TimeoutError)):
        await server.write_package(registered, PACKAGE)
    after = await server.registration(2)
    assert await server.outcome(after) == ("0", "4", "1.0.0")
    assert await server.write_package(after, PACKAGE) is Code.CHANGED


async def test_a_download_taken_up_again_after_a_power_cut(server: Any, start_device: StartDevice) -> None:
    device = await start_device("power-cut-resuming", boot_time=0.05)
    registered = await server.registration()
    server.served.content = PACKAGE
    await server.write_uri(registered)
    await server.registration(2)
    await device.until(lambda status: status.state is DOWNLOADED)
    assert sorted(set(server.served.blocks)) == [0, 1, 2, 3, 4]
    assert len(server.served.blocks) <= 6, "the block at which the power was cut may be asked for twice"
    assert (device.status.registrations, device.status.bytes_received) == (2, len(PACKAGE))


async def test_a_broken_download_that_begins_again_at_block_0(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE

    def stall(number: int) -> Code | None:
        if number < 3:
            return None
        server.served.on_block = lambda _number: None
        return Code.SERVICE_UNAVAILABLE

    server.served.on_block = stall
    device = await start_device("no-resume")
    registered = await server.registration()
    await server.write_uri(registered)
    await device.until(lambda status: status.state is DOWNLOADED)
    assert server.served.blocks == [0, 1, 2, 0, 1, 2, 3, 4]


async def test_an_object_with_nothing_behind_it(server: Any, start_device: StartDevice) -> None:
    device = await start_device("wakaama", block_szx=6)
    registered = await server.registration()
    assert b"ct=11542" in registered.payload
    await server.observe(registered, STATE, RESULT)
    assert await server.write_package(registered, PACKAGE) is Code.CHANGED
    assert await server.write_uri(registered) is Code.CHANGED
    assert await server.execute(registered) is Code.CHANGED
    assert await server.outcome(registered) == ("1", "0", "1.0.0")
    assert (await server.request(registered, Code.GET, "/5/0/1", accept=0)).code is Code.METHOD_NOT_ALLOWED
    assert (await server.request(registered, Code.GET, "/5/0", accept=112)).code is Code.NOT_ACCEPTABLE
    assert (server.reports, server.served.blocks) == ([], [])
    assert device.status.bytes_received == len(PACKAGE)


async def test_what_anjay_has_beyond_the_first_version_of_the_object(server: Any, start_device: StartDevice) -> None:
    await start_device("anjay")
    registered = await server.registration()
    for path in ("/5/0/6", "/5/0/7"):
        assert (await server.request(registered, Code.GET, path, accept=0)).code is Code.NOT_FOUND
    assert await server.execute(registered, "/5/0/10") is Code.METHOD_NOT_ALLOWED
    await downloaded(server, registered)
    assert await server.read(registered, "/5/0/7") == "2.0.0"
    assert await server.read(registered, "/5/0/11") == "1"
    assert await server.execute(registered, "/5/0/10") is Code.CHANGED
    assert await server.reported(2) == [(STATE, "0"), (RESULT, "10")]


async def test_several_instances_and_a_version_in_the_links(server: Any, start_device: StartDevice) -> None:
    await start_device("several-instances")
    registered = await server.registration()
    assert registered.payload.endswith(b"</5/0>;ver=1.1,</5/1>")
    assert await server.read(registered, "/5/1/3") == "0"
    assert (await server.request(registered, Code.GET, "/5/1/8")).code is Code.NOT_FOUND
    await downloaded(server, registered)
    assert await server.read(registered, "/5/1/3") == "0"


async def test_a_device_with_an_old_story(server: Any, start_device: StartDevice) -> None:
    device = await start_device("stale")
    registered = await server.registration()
    assert await server.read(registered, RESULT) == "4"
    assert await server.read(registered, "/5/0/1") == "coap://192.0.2.1/long/ago"
    device.reboot()
    registered = await server.registration(2)
    assert await server.read(registered, RESULT) == "4"
    await server.observe(registered)
    server.served.content = PACKAGE
    await server.write_uri(registered)
    assert await server.reported(3) == [(STATE, "1"), (RESULT, "0"), (STATE, "2")]
    await server.execute(registered)
    registered = await server.registration(3)
    assert await server.read(registered, "/5/0/1") == server.package_uri
    assert device.status.result is UpdateResult.SUCCESS


@pytest.mark.parametrize(("uri", "result"), [("ftp://a/b", "9"), ("coap://", "7"), (None, "4")])
async def test_an_address_that_is_judged_late(
    server: Any, start_device: StartDevice, uri: str | None, result: str
) -> None:
    await start_device("late-judge")
    registered = await server.registration()
    await server.observe(registered)
    nowhere = f"coap://127.0.0.1:{server.port}/no/such"
    assert await server.write_uri(registered, uri or nowhere) is Code.CHANGED
    assert await server.reported(3) == [(STATE, "1"), (STATE, "0"), (RESULT, result)]


async def test_a_write_elsewhere_does_not_disturb_a_package_that_is_written(
    server: Any, start_device: StartDevice
) -> None:
    device = await start_device("push-shown", delivery=DeliveryMethod.BOTH)
    registered = await server.registration()
    for number in range(5):
        block = PACKAGE[number * 1024 : (number + 1) * 1024]
        await server.write_block(registered, number, block, more=number < 4)
        if number == 2:
            assert await server.write_uri(registered) is Code.BAD_REQUEST
    assert device.status.state is DOWNLOADED
