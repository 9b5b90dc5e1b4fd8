"""A way that a device refused is in the store: whoever goes on with the upgrade knows of it."""

from firmcast.devices import commands
from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import TransferWay
from firmcast.upgrades.model import CommandFailed, CommandFailure, RefusedWay, ResourcesReported, SessionRenewed

LISTED = {"state": 0, "firmware_version": "1.0", "protocols": (0,), "delivery_method": 2}
REFUSAL = "4.00 bad request to the write of /5/0/1"


async def test_a_refused_way_is_stored_and_the_next_one_ordered(bench):
    device_id = bench.device_ids[0]
    task = await bench.create(device_id)
    await bench.settle()
    await bench.tell(device_id, SessionRenewed(newly_registered=True))
    await bench.answer(device_id, result=0, **LISTED)
    (order,) = await bench.database.read(commands.waiting, [device_id])
    assert order.kind is CommandKind.TRANSFER_BY_URI
    refused = CommandFailed(
        command_id=order.command_id,
        failure=CommandFailure.REJECTED,
        description=REFUSAL,
        resources=ResourcesReported(state=0, result=9),
    )
    await bench.tell(device_id, refused)
    await bench.tell(device_id, SessionRenewed(newly_registered=False))
    await bench.answer(device_id, result=9, **LISTED)
    (order,) = await bench.database.read(commands.waiting, [device_id])
    assert order.kind is CommandKind.TRANSFER_BY_WRITE
    (share,) = await bench.shares(task)
    assert share.evidence.refused_ways == (RefusedWay(way=TransferWay.COAP, answer=f"{REFUSAL}, result 9"),)
