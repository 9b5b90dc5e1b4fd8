"""Registrations, in batches as the gateway brings them."""

from datetime import timedelta

import pytest

from firmcast.devices import registrations, use_cases
from firmcast.devices.model import DeviceDetails, RegistrationUpdate
from firmcast.ids import RegistrationId


async def test_a_batch_registers_whom_we_know(database, event_log, devices, told, now):
    made = await database.write(
        registrations.register, [told("node-0"), told("stranger"), told("node-1")], now, log=event_log
    )
    assert sorted(made) == ["node-0", "node-1"]
    live = await database.read(registrations.of_devices, [device.device_id for device in devices.values()], now)
    assert live == {registration.device_id: registration for registration in made.values()}
    assert made["node-0"].expires_at == now + timedelta(seconds=300)
    known = await database.read(use_cases.by_endpoint_names, ["node-0", "node-2", "stranger"])
    assert {name: device.activated_at for name, device in known.items()} == {"node-0": now, "node-2": None}


async def test_registering_again_takes_the_place_of_the_former(database, event_log, devices, told, now):
    first = (await database.write(registrations.register, [told("node-0")], now, log=event_log))["node-0"]
    later = now + timedelta(seconds=60)
    again = [told("node-0", port=1), told("node-0", port=2)]
    second = (await database.write(registrations.register, again, later, log=event_log))["node-0"]
    assert second.registration_id != first.registration_id
    assert second.port == 2
    assert await database.read(registrations.live, later) == [second]
    assert await database.write(registrations.remove, [first.registration_id], later, log=event_log) == {}
    assert (await database.read(use_cases.by_endpoint_names, ["node-0"]))["node-0"].activated_at == now


async def test_the_first_registration_must_be_in_time_and_no_later_one(database, event_log, application_id, told, now):
    await database.write(use_cases.create, application_id, "a", "a", now, activation_seconds=60, log=event_log)
    await database.write(use_cases.create, application_id, "b", "b", now, activation_seconds=60, log=event_log)
    await database.write(use_cases.create, application_id, "c", "c", now, activation_seconds=0, log=event_log)
    assert list(
        await database.write(registrations.register, [told("a")], now + timedelta(seconds=60), log=event_log)
    ) == ["a"]
    much_later = now + timedelta(days=900)
    made = await database.write(registrations.register, [told("a"), told("b"), told("c")], much_later, log=event_log)
    assert sorted(made) == ["a", "c"]


async def test_updates_change_what_they_say(database, event_log, devices, told, now):
    made = await database.write(registrations.register, [told("node-0"), told("node-1")], now, log=event_log)
    ids = {name: registration.registration_id for name, registration in made.items()}
    later = now + timedelta(seconds=100)
    updates = [
        RegistrationUpdate(registration_id=ids["node-0"], host="192.0.2.10", port=7000),
        RegistrationUpdate(registration_id=ids["node-1"], host="h", port=1, lifetime_seconds=60, binding="UQ"),
        RegistrationUpdate(registration_id=ids["node-1"], host="h", port=2, objects="</3/0>"),
        RegistrationUpdate(registration_id=RegistrationId("unknown"), host="h", port=1),
    ]
    changed = await database.write(registrations.refresh, updates, later)
    assert sorted(changed) == sorted(ids.values())
    first, second = changed[ids["node-0"]], changed[ids["node-1"]]
    assert (first.host, first.port, first.expires_at) == ("192.0.2.10", 7000, later + timedelta(seconds=300))
    assert (second.port, second.binding, second.objects) == (2, "UQ", "</3/0>")
    assert second.expires_at == later + timedelta(seconds=60)
    assert {one.registration_id: one for one in await database.read(registrations.live, later)} == changed


@pytest.mark.parametrize(
    ("version", "was", "told_now", "is_now"),
    [
        ("1.0", True, None, True),
        ("1.0", True, False, False),
        ("1.0", False, True, True),
        ("1.1", True, None, True),
        ("1.1", True, False, True),
        ("1.1", False, False, False),
        ("1.2", False, True, True),
    ],
)
async def test_an_update_may_change_the_queue_mode(
    database, event_log, devices, told, now, version, was, told_now, is_now
):
    new = told("node-0", lwm2m_version=version, queue_mode=was)
    made = (await database.write(registrations.register, [new], now, log=event_log))["node-0"]
    update = RegistrationUpdate(registration_id=made.registration_id, host="h", port=1, queue_mode=told_now)
    changed = await database.write(registrations.refresh, [update], now)
    assert changed[made.registration_id].queue_mode is is_now
    assert [one.queue_mode for one in await database.read(registrations.live, now)] == [is_now]


async def test_a_secure_registration_is_its_devices_alone(database, event_log, devices, told, now):
    secure = told("node-0", is_secure=True)
    made = (await database.write(registrations.register, [secure, told("node-0", port=9)], now, log=event_log))[
        "node-0"
    ]
    assert (made.is_secure, made.port, made.identity) == (True, 5683, "node-0")

    def update(identity, port=7000):
        return RegistrationUpdate(registration_id=made.registration_id, host="h", port=port, identity=identity)

    foreign = [update(None), update("node-1")]
    assert await database.write(registrations.refresh, foreign, now) == {}
    assert (await database.write(registrations.refresh, [update("node-0")], now))[made.registration_id].port == 7000
    assert await database.write(registrations.register, [told("node-0")], now, log=event_log) == {}
    assert [one.is_secure for one in await database.read(registrations.live, now)] == [True]
    later = now + timedelta(seconds=301)
    again = await database.write(registrations.register, [told("node-0")], later, log=event_log)
    assert not again["node-0"].is_secure


async def test_a_registration_in_clear_is_not_updated_through_a_session(database, event_log, devices, told, now):
    made = (await database.write(registrations.register, [told("node-0")], now, log=event_log))["node-0"]
    update = RegistrationUpdate(registration_id=made.registration_id, host="h", port=1, identity="node-0")
    assert await database.write(registrations.refresh, [update], now) == {}


async def test_a_registration_ends_with_its_lifetime(database, event_log, devices, told, now):
    batch = [told("node-0", lifetime_seconds=10), told("node-1", lifetime_seconds=20), told("node-2")]
    made = await database.write(registrations.register, batch, now, log=event_log)
    end = now + timedelta(seconds=20)
    assert [one.endpoint_name for one in await database.read(registrations.live, end)] == ["node-2"]
    update = RegistrationUpdate(registration_id=made["node-1"].registration_id, host="h", port=1)
    assert await database.write(registrations.refresh, [update], end) == {}
    expired = await database.write(registrations.expire, end, 1, log=event_log)
    expired += await database.write(registrations.expire, end, 10, log=event_log)
    assert [one.endpoint_name for one in expired] == ["node-0", "node-1"]
    assert await database.write(registrations.expire, end, log=event_log) == []


async def test_live_registrations_come_in_pages(database, event_log, devices, told, now):
    await database.write(registrations.register, [told(name) for name in devices], now, log=event_log)
    seen, after = [], None
    while page := await database.read(registrations.live, now, after, 2):
        assert len(page) <= 2
        seen += page
        after = page[-1].device_id
    assert sorted(one.endpoint_name for one in seen) == sorted(devices)


async def test_removing_tells_whose_they_were(database, event_log, devices, told, now):
    made = await database.write(registrations.register, [told("node-0"), told("node-1")], now, log=event_log)
    removed = await database.write(
        registrations.remove, [made["node-0"].registration_id, RegistrationId("unknown")], now, log=event_log
    )
    assert removed == {made["node-0"].registration_id: devices["node-0"].device_id}
    assert [one.endpoint_name for one in await database.read(registrations.live, now)] == ["node-1"]


async def test_only_a_device_itself_ends_its_registration(database, event_log, devices, told, now):
    coming = [told("node-0", is_secure=True), told("node-1"), told("node-2")]
    made = await database.write(registrations.register, coming, now, log=event_log)
    ids = {name: registration.registration_id for name, registration in made.items()}
    strange = {(ids["node-0"], None), (ids["node-0"], "node-1"), (ids["node-1"], "node-1"), (RegistrationId("x"), None)}
    own = {(ids["node-0"], "node-0"), (ids["node-1"], None)}
    assert await database.write(registrations.leave, strange, now, log=event_log) == {}
    assert len(await database.read(registrations.live, now)) == 3
    ended = await database.write(registrations.leave, own | strange, now, log=event_log)
    assert {name: ended.get((ids[name], identity)) for name, identity in (("node-0", "node-0"), ("node-1", None))} == {
        name: devices[name].device_id for name in ("node-0", "node-1")
    }
    assert [one.endpoint_name for one in await database.read(registrations.live, now)] == ["node-2"]


async def test_a_device_that_must_be_secure_from_now_on_is_not_here_in_clear(
    database, event_log, application_id, devices, told, now
):
    coming = [told("node-0"), told("node-1", is_secure=True)]
    made = await database.write(registrations.register, coming, now, log=event_log)
    ids = [made[name].registration_id for name in ("node-0", "node-1")]
    for name in ("node-0", "node-1"):
        said = DeviceDetails(attributes={"is_secure": "true"})
        device_id = devices[name].device_id
        await database.write(use_cases.modify, application_id, device_id, said, now, log=event_log)
    updates = [
        RegistrationUpdate(registration_id=ids[0], host="h", port=1),
        RegistrationUpdate(registration_id=ids[1], host="h", port=1, identity="node-1"),
    ]
    assert list(await database.write(registrations.refresh, updates, now)) == ids[1:]
    assert await database.write(registrations.register, [told("node-0")], now, log=event_log) == {}


async def test_empty_batches_do_nothing(database, event_log, now):
    assert await database.write(registrations.register, [], now, log=event_log) == {}
    assert await database.write(registrations.refresh, [], now) == {}
    assert await database.write(registrations.remove, [], now, log=event_log) == {}
    assert await database.write(registrations.leave, set(), now, log=event_log) == {}
    assert await database.read(registrations.of_devices, [], now) == {}
