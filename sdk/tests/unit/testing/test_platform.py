"""What the platform for tests sends, and that a right receiver lives through every trouble."""

import asyncio
import base64

import pytest

from firmcast_sdk import (
    CommandStatus,
    FirmwareState,
    Outcome,
    PushMessageReceiver,
    Receiver,
)
from firmcast_sdk.events import Event
from firmcast_sdk.testing import Platform, Trouble, troubled
from firmcast_sdk.wire.notifications import CommandResultCode, DeviceModelAddedNotify

pytest_plugins = ["firmcast_sdk.testing.pytest_plugin"]
SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def receiver(seen):
    receiver = Receiver(secrets=[SECRET])
    for name in (name for name in dir(receiver) if name.startswith("on_")):
        getattr(receiver, name)(seen.append)
    return receiver


@pytest.fixture
def platform(receiver):
    return Platform(wsgi=receiver.wsgi, secrets=[SECRET])


def test_every_kind_of_push_arrives(platform, seen):
    pushes = [
        platform.device_added("d", manufacturer_id="m"),
        platform.device_bound("d"),
        platform.device_bound("e", expired=True),
        platform.device_info_changed("d", fw_version="2.0"),
        platform.device_data("d", "Battery", {"level": 5}),
        platform.firmware_state("d", FirmwareState.DOWNLOADING),
        platform.firmware_result("d", Outcome.FAILED),
        platform.command_status("d", "c", CommandResultCode.TIMEOUT),
        platform.device_deleted("d"),
        platform.push(
            DeviceModelAddedNotify(
                app_id="a", device_type="t", manufacturer_name="n", manufacturer_id="m", model="x", protocol_type="p"
            )
        ),
    ]
    assert {answer.status for answer in platform.send_all(pushes)} == {200}
    assert [type(event).__name__ for event in seen] == [
        "DeviceAdded",
        "DeviceBound",
        "DeviceBindingExpired",
        "DeviceInfoChanged",
        "DeviceDataReported",
        "FirmwareStateChanged",
        "FirmwareUpgradeEnded",
        "CommandStatusChanged",
        "DeviceDeleted",
        "DeviceModelAdded",
    ]
    assert [event.sequence for event in seen] == [1, 2, 1, 3, 4, 5, 6, 7, 8, None]
    assert seen[0].info.manufacturer_id == "m"
    assert seen[7].status is CommandStatus.TIMED_OUT


def test_every_kind_of_event_can_be_listened_to(receiver):
    import typing

    assert set(receiver._handlers) == set(typing.get_args(Event))


@pytest.mark.parametrize("seed", range(10))
def test_in_every_trouble_a_device_never_goes_back_and_ends_where_it_should(platform, seen, trouble, seed):
    pushes = [push for task in ("1", "2") for push in platform.firmware_upgrade("d", task_id=task)]
    platform.send_all(trouble(pushes, seed=seed))
    sequences = [event.sequence for event in seen]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == 10


@pytest.mark.parametrize(
    ("trouble", "lost", "statuses"),
    [
        (Trouble.DUPLICATES, False, {200}),
        (Trouble.LATE_COPIES, False, {200}),
        (Trouble.REPLAYS, False, {200}),
        (Trouble.BAD_SIGNATURES, False, {200, 401}),
        (Trouble.REORDERING, True, {200}),
    ],
)
def test_nothing_is_missed_but_what_was_overtaken(platform, seen, trouble, lost, statuses):
    pushes = platform.firmware_upgrade("d")
    sent = troubled(pushes, trouble, seed=3)
    assert {push.event_id for push in sent} == {push.event_id for push in pushes}
    assert {answer.status for answer in platform.send_all(sent)} == statuses
    assert (len(seen) < 5) is lost


@pytest.mark.parametrize("trouble", [trouble for trouble in Trouble if trouble is not Trouble.REPLAYS])
def test_the_seed_decides(platform, trouble):
    pushes = platform.firmware_upgrade("d")
    assert troubled(pushes, trouble, seed=1) == troubled(pushes, trouble, seed=1)
    if trouble is not Trouble.BAD_SIGNATURES:
        assert len({tuple(troubled(pushes, trouble, seed=seed)) for seed in range(5)}) > 1


def test_what_is_not_signed_cannot_be_forged(receiver):
    platform = Platform(wsgi=receiver.wsgi)
    with pytest.raises(ValueError, match="secrets"):
        platform.send(platform.firmware_result("d").forged())


def test_the_secret_of_the_plugin_is_one(signing_secret):
    receiver = PushMessageReceiver(secrets=[signing_secret])
    platform = Platform(asgi=receiver.asgi, secrets=[signing_secret])
    assert platform.send(platform.device_deleted("d")).status == 200


async def test_many_devices_at_once(seen, receiver):
    platform = Platform(asgi=receiver.asgi, secrets=[SECRET])

    async def upgrade(device_id):
        for push in platform.firmware_upgrade(device_id):
            assert (await platform.send_async(push)).status == 200

    await asyncio.gather(*(upgrade(f"device-{number}") for number in range(20)))
    assert len(seen) == 100
