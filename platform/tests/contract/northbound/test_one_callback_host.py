"""Callbacks of one application at one host and port, where the operator wants it: section 4 of the contract page."""

import pytest

from firmcast.settings import RestSettings
from firmcast.subscriptions import use_cases

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
MANAGEMENT = "/iodm/app/sub/v1.1.0/subscribe"
CONFLICT = "The host field of the callbackUrl is in conflict with existing callbackUrl."


@pytest.fixture
def rest_settings():
    return RestSettings(throttle_calls=0, one_callback_host=True)


async def subscribe(caller, notify_type, callback):
    return await caller.call("POST", SUBSCRIPTIONS, {"notifyType": notify_type, "callbackUrl": callback})


@pytest.mark.parametrize("second", ["https://192.0.2.7:8099/b", "https://192.0.2.7:8099/", "http://192.0.2.7:8099/a"])
async def test_another_path_at_the_same_host_and_port_is_taken(caller, second):
    assert (await subscribe(caller, "deviceAdded", "https://192.0.2.7:8099/a")).status_code == 201
    assert (await subscribe(caller, "deviceDeleted", second)).status_code == 201


@pytest.mark.parametrize("second", ["https://192.0.2.7:8100/a", "https://192.0.2.8:8099/a", "https://h:8099/a"])
async def test_another_host_or_port_is_refused_and_nothing_is_kept_of_it(world, caller, refused, second):
    managed = {"notifyType": "fwUpgradeResultNotify", "callbackurl": "https://192.0.2.7:8099/a"}
    await caller.call("POST", MANAGEMENT, managed)
    refused(await subscribe(caller, "deviceAdded", second), 403, "100234", CONFLICT)
    assert (await world.database.read(use_cases.listed, caller.application_id))[1] == 1
    assert (await caller.call("DELETE", SUBSCRIPTIONS)).status_code == 204
    assert (await subscribe(caller, "deviceAdded", second)).status_code == 201


async def test_a_conflict_of_the_type_comes_first(caller, refused):
    await subscribe(caller, "deviceAdded", "https://192.0.2.7:8099/a")
    answer = await subscribe(caller, "deviceAdded", "https://192.0.2.8:8099/a")
    refused(answer, 409, "100227", "The resource is conflicted.")


async def test_other_applications_have_hosts_of_their_own(world, caller):
    await subscribe(caller, "deviceAdded", "https://192.0.2.7:8099/a")
    other = await world.login("other")
    assert (await subscribe(other, "deviceAdded", "https://192.0.2.8:8099/a")).status_code == 201


async def test_the_management_subscription_may_move_anywhere(caller):
    await subscribe(caller, "deviceAdded", "https://192.0.2.7:8099/a")
    managed = {"notifyType": "fwUpgradeResultNotify", "callbackurl": "https://192.0.2.8:8099/a"}
    assert (await caller.call("POST", MANAGEMENT, managed)).status_code == 200
