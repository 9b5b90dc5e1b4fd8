"""An event goes to one subscription at the most, in whatever ways its application has subscribed."""

from datetime import UTC, datetime

import pytest

from firmcast.applications import use_cases as applications
from firmcast.db.page import Page
from firmcast.errors import ConflictError
from firmcast.events.model import (
    DeviceDeleted,
    DeviceDescription,
    DeviceInfoChanged,
    EventType,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    Outcome,
    type_of,
)
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push import use_cases as push
from firmcast.push.model import DeliveryFilter
from firmcast.subscriptions import use_cases as subscriptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = FirmwareUpgradeEnded(
    outcome=Outcome.SUCCEEDED, description="", source_version="1", target_version="2", current_version="2", duration=3
)
FACTS = [
    FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADED),
    ENDED,
    DeviceInfoChanged(changed=DeviceDescription(name="another")),
    DeviceDeleted(),
]


async def test_an_event_has_one_delivery_however_often_its_type_is_subscribed_to(world) -> None:
    for event_type in EventType:
        await world.subscribe("https://192.0.2.7/first", event_type)
        with pytest.raises(ConflictError):
            await world.database.write(
                subscriptions.create, world.application_id, event_type, "https://192.0.2.8/second", NOW
            )
        await world.subscribe("https://192.0.2.9/third", event_type)
    stranger = await world.database.write(applications.create, "stranger", world.sealer, NOW)
    for event_type in EventType:
        await world.database.write(
            subscriptions.subscribe, stranger.application_id, event_type, "https://192.0.2.9/third", NOW
        )
    for fact in FACTS:
        await world.happen("device", fact=fact)
    every, _ = await world.database.read(subscriptions.listed, world.application_id)
    by_type = {it.event_type: it.subscription_id for it in every}
    found, total = await world.database.read(push.pending, DeliveryFilter(), Page())
    assert total == len(FACTS)
    assert {it.subscription_id for it in found} == {by_type[type_of(fact)] for fact in FACTS}
