"""Subscriptions."""

import asyncio
from datetime import UTC, datetime

import pytest

from firmcast.events.model import EventType
from firmcast.ids import ApplicationId, SubscriptionId
from firmcast.subscriptions import use_cases

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATE, ENDED = EventType.FIRMWARE_STATE_CHANGED, EventType.FIRMWARE_UPGRADE_ENDED
A, B = ApplicationId("a"), ApplicationId("b")


@pytest.fixture
def announced(database):
    """The ids that are announced as changed, in order."""
    queue = asyncio.Queue()
    database.listen(use_cases.SUBSCRIPTIONS_CHANGED, lambda items: [queue.put_nowait(item) for item in items])
    return queue


async def test_subscribing_again_keeps_the_id(database, announced):
    first = await database.write(use_cases.subscribe, A, STATE, "https://a:1/", NOW)
    second = await database.write(use_cases.subscribe, A, STATE, "https://a:2/", NOW)
    assert second.subscription_id == first.subscription_id
    assert await database.read(use_cases.by_ids, [first.subscription_id]) == {first.subscription_id: second}
    assert [await announced.get(), await announced.get()] == [first.subscription_id] * 2


async def test_matching_tells_who_wants_what(database):
    wanted = {
        pair: (await database.write(use_cases.subscribe, *pair, "https://a:1/", NOW)).subscription_id
        for pair in [(A, STATE), (A, ENDED), (B, ENDED)]
    }
    asked = [(A, STATE), (B, STATE), (B, ENDED), (ApplicationId("c"), STATE)]
    assert await database.read(use_cases.matching, asked) == {
        (A, STATE): [wanted[A, STATE]],
        (B, STATE): [],
        (B, ENDED): [wanted[B, ENDED]],
        (ApplicationId("c"), STATE): [],
    }
    assert await database.read(use_cases.matching, []) == {}


async def test_only_its_application_ends_a_subscription(database, announced):
    mine = await database.write(use_cases.subscribe, A, STATE, "https://a:1/", NOW)
    theirs = await database.write(use_cases.subscribe, B, STATE, "https://a:1/", NOW)
    both = [mine.subscription_id, theirs.subscription_id, SubscriptionId("unknown")]
    assert await database.write(use_cases.remove, A, both) == [mine.subscription_id]
    assert await database.read(use_cases.all_subscriptions) == [theirs]
    assert [await announced.get() for _ in range(3)] == [both[0], both[1], both[0]]


async def test_the_list_is_filtered(database):
    state = await database.write(use_cases.subscribe, A, STATE, "https://a:1/", NOW)
    ended = await database.write(use_cases.subscribe, A, ENDED, "https://a:1/", NOW)
    await database.write(use_cases.subscribe, B, ENDED, "https://a:1/", NOW)
    found, total = await database.read(use_cases.listed, A)
    assert ({one.subscription_id for one in found}, total) == ({state.subscription_id, ended.subscription_id}, 2)
    assert await database.read(use_cases.listed, A, event_type=ENDED) == ([ended], 1)
