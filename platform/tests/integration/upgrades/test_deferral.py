"""A device that puts its installation off is told of while it does, and can be stopped and forgotten."""

import pytest

from firmcast.devices import commands
from firmcast.devices.model import CommandKind
from firmcast.errors import ConflictError
from firmcast.settings import UpgradeSettings
from firmcast.upgrades import use_cases
from firmcast.upgrades.limits import limits_of
from firmcast.upgrades.model import ResourcesReported, Tally
from firmcast.upgrades.rules import wording

PAUSE = UpgradeSettings().deferral_pause


@pytest.fixture
async def deferring(bench):
    """One device that has the package and has put its installation off."""
    device_id = bench.device_ids[0]
    bench.deferred = await bench.create(device_id)
    await bench.settle()
    await bench.come(device_id)
    await bench.answer(device_id)
    await bench.tell(device_id, ResourcesReported(state=2, result=0))
    await bench.answer(device_id)
    await bench.tell(device_id, ResourcesReported(state=2, result=11))
    return bench


async def share_of(bench):
    (share,) = await bench.shares(bench.deferred)
    return share


async def test_it_is_told_of_and_told_again(deferring):
    share = await share_of(deferring)
    assert (share.tally, share.description) == (Tally.PROCESSING, wording.DEFERRED)
    await deferring.pass_time(seconds=PAUSE.total_seconds())
    device_id = share.device_id
    await deferring.answer(device_id, state=2, result=11, package_uri=f"coap://host/fw/{share.transfer_token}")
    (order,) = await deferring.database.read(commands.waiting, [device_id])
    assert order.kind is CommandKind.EXECUTE
    assert (await share_of(deferring)).description == ""


async def test_it_can_be_stopped(deferring):
    await deferring.stop(deferring.deferred)
    share = await share_of(deferring)
    assert (share.tally, share.description) == (Tally.STOPPED, wording.STOPPED)
    (order,) = await deferring.database.read(commands.waiting, [share.device_id])
    assert order.kind is CommandKind.RESET


async def test_a_device_that_installs_is_stopped_when_it_puts_that_off(deferring):
    device_id = deferring.device_ids[0]
    await deferring.tell(device_id, ResourcesReported(state=3, result=0))
    await deferring.stop(deferring.deferred)
    assert (await share_of(deferring)).tally is Tally.PROCESSING
    with pytest.raises(ConflictError):
        await deferring.database.write(
            use_cases.release_device, device_id, deferring.now, log=deferring.log, limits=limits_of(UpgradeSettings())
        )
    await deferring.tell(device_id, ResourcesReported(state=2, result=11))
    assert (await share_of(deferring)).tally is Tally.STOPPED
