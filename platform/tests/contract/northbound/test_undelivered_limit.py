"""An application that takes nothing begins nothing: new tasks are refused in the contract's form, and nothing else."""

from datetime import UTC, datetime

import pytest

from firmcast.events.log import EventLog
from firmcast.events.model import EventType, FirmwareStateChanged, NewEvent
from firmcast.ids import DeviceId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push import use_cases as push
from firmcast.subscriptions import use_cases as subscriptions
from firmcast_sdk.wire import errors as wire

LIMIT = 3
CREATE = "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def undelivered_limit() -> int:
    return LIMIT


async def happen(world, caller, count: int) -> None:
    log = EventLog(encode=lambda _event: b"{}", projections=[push.fan_out])
    new_event = NewEvent(
        application_id=caller.application_id,
        device_id=DeviceId("some"),
        task_id=None,
        device_upgrade_id=None,
        occurred_at=NOW,
        synthesised=False,
        fact=FirmwareStateChanged(state=FirmwareUpdateState.IDLE),
    )
    await world.database.write(log.append, [new_event] * count)


async def test_tasks_wait_until_the_application_has_taken_something(world, caller) -> None:
    package = (await world.upload(caller))["package_id"]
    device = await world.register(caller)
    task, key = {"fileId": package, "targets": {"devices": [device]}}, {"idempotency-key": "first"}
    assert (await caller.call("POST", CREATE, task, headers=key)).status_code == 200
    subscription = await world.database.write(
        subscriptions.subscribe, caller.application_id, EventType.FIRMWARE_STATE_CHANGED, "https://192.0.2.7/a", NOW
    )
    await happen(world, caller, LIMIT - 1)
    assert (await caller.call("POST", CREATE, task)).status_code == 200
    await happen(world, caller, 1)
    refused = await caller.call("POST", CREATE, task)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert refused.json()["error_code"] == wire.UPGRADE_INTERNAL_ERROR.code
    assert refused.headers["firmcast-reason"] == "3 deliveries wait for the application, and 3 may"
    # What it has begun already it is told, another application is none of its business, and what happens goes on.
    assert (await caller.call("POST", CREATE, task, headers=key)).status_code == 200
    assert (await caller.call("GET", "/iodm/northbound/v1.5.0/operations")).status_code == 200
    await happen(world, caller, 1)
    other = await world.login()
    package, device = (await world.upload(other))["package_id"], await world.register(other, "another")
    assert (await other.call("POST", CREATE, {"fileId": package, "targets": {"devices": [device]}})).status_code == 200
    await world.database.write(push.discard_subscription, subscription.subscription_id)
    assert (await caller.call("POST", CREATE, task)).status_code == 200
