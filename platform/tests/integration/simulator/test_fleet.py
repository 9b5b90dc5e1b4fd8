"""Many devices in one process, against an independent server over real UDP."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from firmcast.lwm2m.firmware_update import FirmwareUpdateState, UpdateResult
from firmcast.simulator.device import DeviceSpec, VirtualDevice
from firmcast.simulator.fleet import Fleet
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import profile_named
from firmcast.simulator.timing import QUICK

PACKAGE = b"firmware" * 300
SOON = replace(DeviceProfile(), reboot_delay=0.01)


def specs(count: int, profile: DeviceProfile = SOON) -> list[DeviceSpec]:
    return [DeviceSpec(endpoint_name=f"node-{number}", profile=profile) for number in range(count)]


async def test_a_fleet_registers_upgrades_and_takes_its_leave(server: Any) -> None:
    server.served.content = PACKAGE
    seen: set[str] = set()
    progress: dict[str, int] = {}

    def on_progress(device: VirtualDevice) -> None:
        progress[device.spec.endpoint_name] = device.status.received

    devices = [
        *specs(8),
        DeviceSpec(endpoint_name="corrupting", profile=replace(profile_named("corrupting"), reboot_delay=0.01)),
    ]
    async with (
        asyncio.timeout(30),
        Fleet(
            server=server.address,
            devices=devices,
            timing=QUICK,
            seed=7,
            registering_at_once=3,
            on_change=lambda device: seen.add(device.spec.endpoint_name),
            on_progress=on_progress,
        ) as fleet,
    ):
        assert (await fleet.registered()).registered == 9
        for registered in list(server.registrations):
            await server.write_uri(registered)
        await fleet.until(
            lambda statistics: (
                sum(status.state is FirmwareUpdateState.DOWNLOADED for status in statistics.statuses) == 8
            )
        )
        for registered in list(server.registrations):
            await server.execute(registered)
        statistics = await fleet.updated()
    assert (statistics.updates_succeeded, statistics.updates_failed) == (8, 1)
    assert statistics.bytes_received == 9 * len(PACKAGE)
    assert statistics.registrations == 17
    assert progress == dict.fromkeys(fleet.devices, len(PACKAGE))
    assert seen == set(fleet.devices)
    assert sorted(server.deregistered) == sorted(fleet.devices)
    results = {status.endpoint_name: status.result for status in statistics.statuses}
    assert results["corrupting"] is UpdateResult.INTEGRITY_CHECK_FAILED
    told = json.loads(json.dumps(statistics.as_dict()))
    assert told["updates_succeeded"] == 8
    assert told["statuses"][0]["state"] == 0


async def test_a_fleet_that_is_cut_off_says_nothing(server: Any) -> None:
    fleet = Fleet(server=server.address, devices=specs(3), timing=QUICK)
    async with asyncio.timeout(20), fleet:
        await fleet.registered()
        await fleet.close(deregister=False)
        await fleet.close()
    assert server.deregistered == []
    assert fleet.statistics().registered == 0


def test_two_devices_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="node-0"):
        Fleet(server=("127.0.0.1", 5683), devices=[*specs(1), *specs(1)])
