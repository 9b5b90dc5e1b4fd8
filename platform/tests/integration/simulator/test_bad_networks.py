"""Virtual devices behind bad networks, over real UDP, and an independent server that knows nothing of them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

from aiocoap.numbers.codes import Code

from firmcast.lwm2m.firmware_update import FirmwareUpdateState, UpdateResult
from firmcast.simulator.device import DeviceSpec, VirtualDevice
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.network import NetworkConditions
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK

PACKAGE = Random(5).randbytes(5_000)
"""What `start_device` takes for intact."""

StartDevice = Callable[..., Awaitable[VirtualDevice]]


async def test_a_package_over_a_line_that_delays_doubles_and_reorders(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    network = NetworkConditions(delay=0.005, jitter=0.01, duplicate=0.5)
    device = await start_device("pull", network=network)
    registered = await server.registration()
    await server.write_uri(registered)
    await device.until(lambda status: status.state is FirmwareUpdateState.DOWNLOADED)
    assert await server.execute(registered) is Code.CHANGED
    await device.until(lambda status: status.updates_succeeded == 1)
    assert device.datagrams.duplicated > 3
    assert device.status.bytes_received == len(PACKAGE)


async def test_a_package_over_a_slow_line_takes_its_time(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    device = await start_device("pull", network=NetworkConditions(bandwidth=25_000.0))
    registered = await server.registration()
    began = asyncio.get_running_loop().time()
    await server.write_uri(registered)
    await device.until(lambda status: status.state is FirmwareUpdateState.DOWNLOADED)
    assert asyncio.get_running_loop().time() - began >= len(PACKAGE) / 25_000


async def test_blocks_that_are_too_large_for_the_network_never_come(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    hasty = replace(QUICK.transmission, ack_timeout=0.01, max_retransmit=1)
    timing = replace(QUICK, transmission=hasty, download_patience=0.05, download_retry_delay=0.01)
    device = await start_device("pull", timing=timing, network=NetworkConditions(mtu=600))
    registered = await server.registration()
    await server.write_uri(registered)
    status = await device.until(lambda status: status.updates_failed == 1)
    assert (status.result, status.received) == (UpdateResult.CONNECTION_LOST, 0)
    assert device.retransmitted > 0
    assert device.datagrams.lost > 0


async def test_an_address_that_changes_in_the_middle_of_a_package(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    device = await start_device("port-changing")
    registered = await server.registration()
    await server.write_uri(registered)
    await device.until(lambda status: status.state is FirmwareUpdateState.DOWNLOADED)
    assert device.address is not None
    assert device.address[1] != registered.port
    assert (device.datagrams.rebindings, device.status.registrations) == (1, 1)


async def test_a_nat_that_forgets_after_some_datagrams(server: Any, start_device: StartDevice) -> None:
    server.served.content = PACKAGE
    device = await start_device("pull", network=NetworkConditions(rebind_after_datagrams=4))
    registered = await server.registration()
    await server.write_uri(registered)
    await device.until(lambda status: status.state is FirmwareUpdateState.DOWNLOADED)
    assert device.datagrams.rebindings > 0
    assert device.status.registrations == 1


async def test_the_same_seed_cuts_the_power_at_the_same_blocks(make_server: Any) -> None:
    async def cut_at(seed: int) -> dict[str, int]:
        server = await make_server()
        server.served.content = PACKAGE
        most: dict[str, int] = {}

        def on_progress(device: VirtualDevice) -> None:
            if device.status.registrations == 1:
                most[device.spec.endpoint_name] = device.status.received

        profile = replace(profile_named("power-cut"), block_szx=2)
        specs = [DeviceSpec(endpoint_name=f"node-{number}", profile=profile) for number in range(4)]
        async with (
            asyncio.timeout(20),
            Fleet(server=server.address, devices=specs, timing=QUICK, seed=seed, on_progress=on_progress) as fleet,
        ):
            await fleet.registered()
            for registered in list(server.registrations):
                await server.write_uri(registered)
            await fleet.until(lambda statistics: statistics.registrations == 8)
        return most

    first = await cut_at(3)
    assert first == await cut_at(3)
    assert len(set(first.values())) > 1
    assert first != await cut_at(4)


async def test_what_is_counted_of_a_fleet(server: Any) -> None:
    server.served.content = PACKAGE
    specs = [
        DeviceSpec(endpoint_name=name, profile=replace(profile_named(name), reboot_delay=0.01), profile_name=name)
        for name in ("pull", "zephyr", "corrupting", "flash-full")
    ]
    async with asyncio.timeout(20), Fleet(server=server.address, devices=specs, timing=QUICK, seed=1) as fleet:
        await fleet.registered()
        for registered in list(server.registrations):
            await server.write_uri(registered)
        await fleet.until(lambda statistics: (statistics.states["2"], statistics.updates_failed) == (2, 2))
        for registered in list(server.registrations):
            await server.execute(registered)
        statistics = await fleet.updated()
    told = statistics.as_dict()
    assert told["results"] == {"1": 2, "2": 1, "5": 1}
    assert told["states"] == {"0": 4, "1": 0, "2": 0, "3": 0}
    assert (told["devices"], told["registrations"], told["seed"], told["retransmissions"]) == (4, 6, 1, 0)
    assert min(told["datagrams"]["sent"], told["datagrams"]["received"]) > 30
    assert told["datagrams"]["bytes_received"] > told["bytes_received"] == 4 * len(PACKAGE)
    assert 0 < told["seconds"] < 20
    assert [status["profile"] for status in told["statuses"]] == ["pull", "zephyr", "corrupting", "flash-full"]
    assert "statuses" not in statistics.as_dict(each=False)
