"""A subscription whose callback was gone: the wire shows nothing of it, and each way to ask for pushes ends it."""

import pytest

from firmcast.db.page import Page
from firmcast.events.model import EventType
from firmcast.push import standings
from firmcast.push.standing import SubscriptionState

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions"
OLDEST = "/iocm/app/sub/v1.1.0/subscribe"
MANAGEMENT = "/iodm/app/sub/v1.1.0/subscribe"
CALLBACK = "https://192.0.2.7:8099/v1.0.0/messageReceiver"
OTHER = "https://192.0.2.7:8099/other"
STATES, RESULTS = "fwUpgradeStateChangeNotify", "fwUpgradeResultNotify"


async def subscribe(caller, path, notify_type, callback=CALLBACK):
    names = ("notifyType", "callbackurl") if path == MANAGEMENT else ("notifyType", "callbackUrl")
    return await caller.call("POST", path, dict(zip(names, (notify_type, callback), strict=True)))


async def served(world):
    found, _ = await world.database.read(standings.listed, None, None, Page())
    return {each.subscription.subscription_id: each for each in found}


async def disabled(world, caller):
    """Return the ids of two subscriptions, to states and to results, at one callback that is gone."""
    for notify_type in (STATES, RESULTS):
        assert (await subscribe(caller, MANAGEMENT, notify_type)).status_code == 200
    known = await served(world)
    generations = {key: each.subscription.generation for key, each in known.items()}
    await world.database.write(standings.disable, generations, world.clock.now())
    assert await states(world) == [SubscriptionState.DISABLED] * 2
    by_type = {each.subscription.event_type: key for key, each in known.items()}
    return by_type[EventType.FIRMWARE_STATE_CHANGED], by_type[EventType.FIRMWARE_UPGRADE_ENDED]


async def states(world):
    return [each.state for each in (await served(world)).values()]


async def test_the_wire_shows_nothing_of_it(world, caller):
    (one, _) = await disabled(world, caller)
    listed = (await caller.call("GET", SUBSCRIPTIONS)).json()
    assert listed["totalCount"] == 2
    assert {"subscriptionId": one, "notifyType": STATES, "callbackUrl": CALLBACK} in listed["subscriptions"]
    shown = await caller.call("GET", f"{SUBSCRIPTIONS}/{one}")
    assert shown.json() == {"subscriptionId": one, "notifyType": STATES, "callbackUrl": CALLBACK}


@pytest.mark.parametrize(
    ("path", "notify_type", "status"),
    [
        (MANAGEMENT, STATES, 200),
        (SUBSCRIPTIONS, STATES, 409),
        (OLDEST, STATES, 409),
        (SUBSCRIPTIONS, "deviceAdded", 201),
    ],
)
async def test_whoever_subscribes_at_the_callback_is_called_there_again(world, caller, path, notify_type, status):
    """Also where the contract has a second call refused: a client that starts takes that as being subscribed."""
    await disabled(world, caller)
    assert (await subscribe(caller, path, notify_type)).status_code == status
    assert set(await states(world)) == {SubscriptionState.ACTIVE}


async def test_one_that_moves_is_called_where_it_is_now(world, caller):
    (one, other) = await disabled(world, caller)
    assert (await subscribe(caller, MANAGEMENT, STATES, OTHER)).status_code == 200
    known = await served(world)
    assert (known[one].state, known[other].state) == (SubscriptionState.ACTIVE, SubscriptionState.DISABLED)


async def test_another_callback_or_application_ends_nothing(world, caller):
    await disabled(world, caller)
    stranger = await world.login()
    assert (await subscribe(caller, SUBSCRIPTIONS, STATES, OTHER)).status_code == 409
    assert (await subscribe(stranger, MANAGEMENT, STATES)).status_code == 200
    assert (await states(world)).count(SubscriptionState.DISABLED) == 2


async def test_it_can_be_deleted_and_made_anew(world, caller):
    (one, _) = await disabled(world, caller)
    assert (await caller.call("DELETE", f"{SUBSCRIPTIONS}/{one}")).status_code == 204
    made = await subscribe(caller, SUBSCRIPTIONS, STATES, OTHER)
    assert made.status_code == 201
    assert (await served(world))[made.json()["subscriptionId"]].state is SubscriptionState.ACTIVE
