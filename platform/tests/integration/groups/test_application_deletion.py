"""An application that is deleted leaves no group and no device behind."""

from firmcast.application_deletion import ApplicationDeletion
from firmcast.applications import use_cases as applications
from firmcast.audit.model import administrator
from firmcast.db.page import Page
from firmcast.devices import use_cases as devices
from firmcast.firmware.files import FirmwareFiles
from firmcast.groups import store
from firmcast.groups import use_cases as groups
from firmcast.sealing import Sealer


async def test_groups_and_devices_go_with_their_application(database, make_devices, now, tmp_path):
    sealer = Sealer(b"k" * 32)
    doomed = (await database.write(applications.create, "doomed", sealer, now)).application_id
    spared = (await database.write(applications.create, "spared", sealer, now)).application_id
    ids = await make_devices(1200, doomed)
    theirs = await make_devices(1, spared, "theirs")
    group = await database.write(groups.create, doomed, "north", now, device_ids=ids[:1000])
    kept = await database.write(groups.create, spared, "north", now, device_ids=theirs)
    files = FirmwareFiles(tmp_path / "firmware", database)
    await ApplicationDeletion(database, files).delete(doomed, administrator("me"), now)
    assert await database.read(devices.listed, doomed, now=now) == ([], 0)
    assert await database.read(store.members, group.group_id, Page()) == []
    assert await database.read(groups.listed, doomed) == ([], 0)
    assert (await database.read(devices.listed, spared, now=now))[1] == 1
    assert await database.read(groups.listed, spared) == ([kept], 1)
