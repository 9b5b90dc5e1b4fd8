"""Device records."""

from datetime import timedelta

import pytest

from firmcast.db.page import Page
from firmcast.devices import commands, registrations, use_cases
from firmcast.devices.model import CommandKind, DeviceDetails, DeviceFilter, NewCommand, Presence
from firmcast.errors import ConflictError, NotFoundError
from firmcast.ids import ApplicationId, DeviceId, DeviceUpgradeId


async def test_a_device_is_found_by_its_owner_only(database, event_log, devices, application_id):
    device = devices["node-0"]
    assert await database.read(use_cases.find, application_id, device.device_id) == device
    with pytest.raises(NotFoundError):
        await database.read(use_cases.find, ApplicationId("other"), device.device_id)
    asked = [device.device_id, DeviceId("unknown")]
    assert await database.read(use_cases.by_ids, application_id, asked) == {device.device_id: device}
    assert await database.read(use_cases.by_ids, ApplicationId("other"), asked) == {}


async def test_versions_are_recorded_where_they_are_news(database, event_log, devices, application_id, now):
    first, second = devices["node-0"].device_id, devices["node-1"].device_id
    later = now + timedelta(seconds=1)
    await database.write(use_cases.record_firmware_versions, {first: "1.0", second: "1.0"}, now, log=event_log)
    await database.write(use_cases.record_firmware_versions, {first: "1.0", second: "1.1"}, later, log=event_log)
    found = await database.read(use_cases.by_ids, application_id, [first, second])
    assert {one: (found[one].firmware_version, found[one].changed_at) for one in found} == {
        first: ("1.0", now),
        second: ("1.1", later),
    }
    await database.write(use_cases.record_firmware_versions, {}, later, log=event_log)


async def test_details_are_laid_over_what_was_said_before(database, event_log, application_id, now):
    details = DeviceDetails(name="a", model="m", attributes={"location": "cellar", "mute": "TRUE"})
    device = await database.write(use_cases.create, application_id, "n", "v", now, details=details, log=event_log)
    change = DeviceDetails(name="b", attributes={"mute": "FALSE"})
    changed = await database.write(use_cases.modify, application_id, device.device_id, change, now, log=event_log)
    assert (changed.name, changed.model) == ("b", "m")
    assert changed.attributes == {"location": "cellar", "mute": "FALSE"}
    assert await database.read(use_cases.find, application_id, device.device_id) == changed


async def test_the_list_is_filtered_by_presence(database, event_log, devices, application_id, told, now):
    await database.write(registrations.register, [told("node-1"), told("node-3")], now, log=event_log)
    found, total = await database.read(
        use_cases.listed, application_id, DeviceFilter(presence=Presence.ONLINE, oldest_first=True), now=now
    )
    assert (sorted(device.endpoint_name for device in found), total) == (["node-1", "node-3"], 2)
    page, total = await database.read(
        use_cases.listed, application_id, DeviceFilter(presence=Presence.OFFLINE), Page(1, 1), now=now
    )
    assert (len(page), total) == (1, 3)
    later = now + timedelta(seconds=300)
    found, total = await database.read(
        use_cases.listed, application_id, DeviceFilter(presence=Presence.ONLINE), now=later
    )
    assert (found, total) == ([], 0)


async def test_deleting_takes_everything_of_the_device_along(database, event_log, devices, application_id, told, now):
    device_id = devices["node-0"].device_id
    await database.write(registrations.register, [told("node-0"), told("node-1")], now, log=event_log)
    orders = [
        NewCommand(
            device_id=devices[name].device_id,
            device_upgrade_id=DeviceUpgradeId(name),
            kind=CommandKind.PROBE,
            transfer_token="",
        )
        for name in ("node-0", "node-1")
    ]
    await database.write(commands.replace, orders, now)

    async def release(_tx, _device_id, _now):
        return None

    await database.write(use_cases.delete, application_id, device_id, now, release=release, log=event_log)
    assert sorted(await database.read(use_cases.by_endpoint_names, list(devices))) == sorted(set(devices) - {"node-0"})
    every_id = [device.device_id for device in devices.values()]
    assert [one.endpoint_name for one in await database.read(registrations.live, now)] == ["node-1"]
    assert [one.device_upgrade_id for one in await database.read(commands.waiting, every_id)] == ["node-1"]


async def test_a_device_that_is_not_let_go_stays(database, event_log, devices, application_id, now):
    device_id = devices["node-0"].device_id

    async def release(_tx, _device_id, _now):
        raise ConflictError("not now")

    with pytest.raises(ConflictError):
        await database.write(use_cases.delete, application_id, device_id, now, release=release, log=event_log)
    assert await database.read(use_cases.find, application_id, device_id) == devices["node-0"]
