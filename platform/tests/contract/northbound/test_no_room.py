"""While there is no room, new work is refused in the contract's form, and everything else is answered."""

import pytest

from firmcast.db.metrics import StoreMetrics
from firmcast.db.room import Room
from firmcast.metrics import Metrics
from firmcast_sdk.wire import errors as wire

FLOOR, MOST_WAITING = 1000, 10
CREATE = "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"


class Surroundings:
    """What the room is found in."""

    free = 10 * FLOOR
    waiting = 0
    now = 0.0


@pytest.fixture
def surroundings():
    return Surroundings()


@pytest.fixture
def room(surroundings, tmp_path):
    """Return the real thing, with a disk and a queue that a test sets."""
    it = Room(
        folder=tmp_path,
        floor=FLOOR,
        waiting=lambda: surroundings.waiting,
        most_waiting=MOST_WAITING,
        metrics=StoreMetrics(Metrics(), lambda: surroundings.now),
        free=lambda _folder: surroundings.free,
    )
    return it.require


def lack(surroundings, what: str) -> None:
    if what == "space":
        surroundings.free = FLOOR - 1
    else:
        surroundings.waiting = MOST_WAITING


@pytest.mark.parametrize(("what", "seconds"), [("space", "60"), ("turns", "2")])
async def test_applications_begin_nothing_and_see_everything(world, caller, surroundings, what, seconds) -> None:
    package = (await world.upload(caller))["package_id"]
    device = await world.register(caller)
    lack(surroundings, what)
    surroundings.now += 2
    task = {"fileId": package, "targets": {"devices": [device]}}
    refused = await caller.call("POST", CREATE, task)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, seconds)
    assert refused.json()["error_code"] == wire.UPGRADE_INTERNAL_ERROR.code
    refused = await caller.call("POST", "/iocm/app/reg/v1.1.0/deviceCredentials", {"nodeId": "n"})
    assert (refused.status_code, set(refused.json())) == (503, {"error_code", "error_desc"})
    assert (await caller.call("GET", f"/iocm/app/dm/v1.4.0/devices/{device}")).status_code == 200
    wanted = {"notifyType": "deviceAdded", "callbackUrl": "https://192.0.2.7:8099/a"}
    assert (await caller.call("POST", "/iocm/app/sub/v1.2.0/subscriptions", wanted)).status_code == 201
    surroundings.free, surroundings.waiting = 10 * FLOOR, 0
    surroundings.now += 2
    assert (await caller.call("POST", CREATE, task)).status_code == 200


@pytest.mark.parametrize(("what", "code"), [("space", "store_full"), ("turns", "store_busy")])
async def test_operators_upload_nothing(world, caller, surroundings, what, code) -> None:
    lack(surroundings, what)
    begun = {"application_id": caller.application_id, "name": "a.bin", "version": "2", "size": 8}
    for path, body in (("/v1/firmware/uploads", begun), ("/v1/firmware?application_id=x&version=1", b"bytes")):
        answer = await world.manage("POST", path, body)
        assert (answer.status_code, answer.json()["error_code"]) == (503, code)
    assert (await world.manage("GET", "/v1/firmware")).status_code == 200


async def test_the_disk_is_looked_at_once_a_second(room, surroundings) -> None:
    room()
    surroundings.free = 0
    room()
    surroundings.now += 1
    with pytest.raises(Exception, match="1000 bytes"):
        room()
