"""What nodes tell each other comes back as it was, and what has another shape is not believed."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.db.columns import to_column
from firmcast.db.port import Channel
from firmcast.db.sharing import SharedChannels
from firmcast.devices.model import CommandKind, DeviceCommand, RegistrationMoved
from firmcast.ids import (
    ApplicationId,
    CommandId,
    DeviceId,
    DeviceUpgradeId,
    EventId,
    GatewayId,
    MessageId,
    RegistrationId,
    SubscriptionId,
    partition_of,
)
from firmcast.platform_store import SHARED
from firmcast.push.doubts import Doubt
from firmcast.push.gone_watch import Said
from firmcast.push.model import Delivery
from firmcast.push.replay.model import Told

MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
TOLD = Told(
    event_id=EventId(9), subscription_id=SubscriptionId("subscription"), device_id=DeviceId("device"), sequence=3
)
MOVED = RegistrationMoved(
    device_id=DeviceId("device"), registration_id=RegistrationId("registration"), gateway=GatewayId("a/1"), epoch=4
)

COMMAND = DeviceCommand(
    command_id=CommandId(1),
    device_id=DeviceId("device"),
    device_upgrade_id=DeviceUpgradeId("upgrade"),
    kind=CommandKind.PROBE,
    transfer_token="token",
)
DELIVERY = Delivery(
    event_id=EventId(5),
    subscription_id=SubscriptionId("subscription"),
    application_id=ApplicationId("application"),
    device_id=DeviceId("device"),
    sequence=1,
    message_id=MessageId("message"),
    occurred_at=MOMENT,
    synthesised=False,
    body=b"{}",
)
DOUBT = Doubt(SubscriptionId("subscription"), 3, DeviceId("device"), Said.GONE, MOMENT)
TO_OTHERS = {
    "new_deliveries": (DELIVERY, (5, partition_of(DeviceId("device")))),
    "deliveries_again": (DELIVERY, (5, partition_of(DeviceId("device")))),
    "subscriptions": ("subscription", "subscription"),
    "applications": ("application", "application"),
    "new_events": (5, 5),
    "upgrades": (MOMENT, MOMENT),
    "activations_awaited": (MOMENT, MOMENT),
    "sleepers_awaited": ("device", "device"),
    "replays_changed": (7, 7),
    "lanes_unblocked": (("subscription", "device"), ("subscription", "device")),
    "callbacks_held": (("subscription", to_column(MOMENT)), ("subscription", to_column(MOMENT))),
    "callbacks_doubted": (DOUBT, DOUBT),
    "deliveries_withdrawn": (TOLD, TOLD),
    "device_keys_changed": ("endpoint", "endpoint"),
    "registrations_moved": (MOVED, MOVED),
    "gateways_left": ("a/1", "a/1"),
    "device_commands": (COMMAND, "device"),
    "clients_forgotten": ("device", "device"),
    "awake_windows_changed": ("device", "device"),
}
"""Of each channel an item that is announced, and what another node hears of it."""

CHANNELS = SharedChannels(SHARED)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_each_channel_has_an_example_here() -> None:
    assert set(TO_OTHERS) == {shared.channel for shared in SHARED}


@pytest.mark.parametrize("channel", TO_OTHERS)
def test_what_is_told_comes_back_as_it_was(channel: str) -> None:
    item, heard = TO_OTHERS[channel]
    [(told, text)] = CHANNELS.texts([(Channel(channel), [item, item])])
    read = CHANNELS.read(told, text)
    assert read is not None
    assert set(read[1]) == {heard}, "some are told once, however often they are announced"


@given(channel=st.sampled_from(sorted(TO_OTHERS)), said=ANYTHING)
def test_what_has_another_shape_is_not_believed(channel: str, said: object) -> None:
    example = TO_OTHERS[channel][1]
    for text in (msgspec.json.encode(said), msgspec.json.encode([said])):
        try:
            read = CHANNELS.read(channel, text.decode())
        except msgspec.DecodeError:
            continue
        assert read is not None
        for item in read[1]:
            assert type(item) is type(example)
            if isinstance(item, tuple) and isinstance(example, tuple):
                assert list(map(type, item)) == list(map(type, example))


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("new_deliveries", "[[5, 64]]"),
        ("new_deliveries", "[[-5, 1]]"),
        ("new_deliveries", "[[9223372036854775808, 1]]"),
        ("new_deliveries", "[[5, 1, 0]]"),
        ("subscriptions", '["a\\u0000b"]'),
        ("callbacks_held", '[["subscription", 253402300800000000]]'),
    ],
)
def test_what_no_store_could_hold_is_not_believed(channel: str, text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        CHANNELS.read(channel, text)
