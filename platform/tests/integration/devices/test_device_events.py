"""What is told of devices: in order, without a gap, and only what is news."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.db.statement import portable
from firmcast.devices import activations, registrations, use_cases
from firmcast.devices.model import DeviceDetails, NewRegistration, RegistrationUpdate
from firmcast.devices.store import devices as device_store
from firmcast.errors import ConflictError
from firmcast.events import use_cases as events
from firmcast.events.log import EventLog
from firmcast.events.model import (
    Binding,
    DeviceAdded,
    DeviceBound,
    DeviceDeleted,
    DeviceDescription,
    DeviceInfoChanged,
    Reachability,
    type_of,
)
from firmcast.ids import ApplicationId, RegistrationId

ONLINE = DeviceInfoChanged(changed=DeviceDescription(reachability=Reachability.ONLINE))
OFFLINE = DeviceInfoChanged(changed=DeviceDescription(reachability=Reachability.OFFLINE))
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def changed(**facts):
    return DeviceInfoChanged(changed=DeviceDescription(**facts))


async def told_of(database, device):
    """Everything told of a device, in order, after a look at its numbers."""
    found = await database.read(events.of_device, device.device_id)
    assert [event.sequence for event in found] == list(range(1, len(found) + 1))
    assert {(event.task_id, event.device_upgrade_id, event.synthesised) for event in found} <= {(None, None, False)}
    return found


async def news(database, device, after):
    return [event.fact for event in (await told_of(database, device))[after:]]


async def release(_tx, _device_id, _now):
    return None


async def test_a_new_device_is_told_with_all_that_is_known(database, event_log, application_id, now):
    details = DeviceDetails(name="cellar meter", model="W1", attributes={"location": "cellar", "end_user": "u"})
    device = await database.write(use_cases.create, application_id, "node", "node", now, details=details, log=event_log)
    (event,) = await told_of(database, device)
    assert event.application_id == application_id
    assert event.occurred_at == now
    assert event.fact == DeviceAdded(
        device=DeviceDescription(
            endpoint_name="node",
            name="cellar meter",
            manufacturer_id="",
            manufacturer_name="",
            device_type="",
            model="W1",
            protocol_type="",
            location="cellar",
            mute="",
            is_secure="",
            firmware_version="",
            reachability=Reachability.NEVER_REGISTERED,
        )
    )


async def test_a_device_that_is_refused_is_not_told(database, event_log, application_id, devices, now):
    with pytest.raises(ConflictError):
        await database.write(use_cases.create, application_id, "node-0", "", now, log=event_log)
    assert len(await told_of(database, devices["node-0"])) == 1


async def test_the_first_registration_binds_and_later_ones_only_bring_it_back(database, event_log, devices, told, now):
    device = devices["node-0"]
    first = (await database.write(registrations.register, [told("node-0")], now, log=event_log))["node-0"]
    bound, online = await news(database, device, after=1)
    assert isinstance(bound, DeviceBound)
    assert (bound.binding, bound.device.reachability) == (Binding.SUCCEEDED, Reachability.ONLINE)
    assert online == ONLINE
    later = now + timedelta(seconds=5)
    removed = await database.write(registrations.remove, [first.registration_id], later, log=event_log)
    assert removed == {first.registration_id: device.device_id}
    await database.write(registrations.register, [told("node-0")], later, log=event_log)
    assert await news(database, device, after=3) == [OFFLINE, ONLINE]


async def test_registering_again_and_updating_are_no_news(database, event_log, devices, told, now):
    device = devices["node-0"]
    await database.write(registrations.register, [told("node-0"), told("node-0", port=2)], now, log=event_log)
    before = len(await told_of(database, device))
    again = await database.write(registrations.register, [told("node-0", port=3)], now, log=event_log)
    update = RegistrationUpdate(registration_id=again["node-0"].registration_id, host="h", port=9)
    await database.write(registrations.refresh, [update], now)
    assert len(await told_of(database, device)) == before == 3


async def test_a_device_that_comes_back_before_it_was_missed_is_no_news(database, event_log, devices, told, now):
    device = devices["node-0"]
    await database.write(registrations.register, [told("node-0", lifetime_seconds=10)], now, log=event_log)
    overdue = now + timedelta(seconds=60)
    await database.write(registrations.register, [told("node-0")], overdue, log=event_log)
    assert await database.write(registrations.expire, overdue, log=event_log) == []
    assert await news(database, device, after=3) == []


async def test_a_lifetime_that_passes_is_told_as_of_its_end(database, event_log, devices, told, now):
    batch = [told("node-0", lifetime_seconds=10), told("node-1", lifetime_seconds=20), told("node-2")]
    await database.write(registrations.register, batch, now, log=event_log)
    noticed = now + timedelta(seconds=200)
    assert len(await database.write(registrations.expire, noticed, log=event_log)) == 2
    assert await database.write(registrations.expire, noticed, log=event_log) == []
    for name, seconds in (("node-0", 10), ("node-1", 20)):
        last = (await told_of(database, devices[name]))[-1]
        assert (last.fact, last.occurred_at) == (OFFLINE, now + timedelta(seconds=seconds))
    assert (await news(database, devices["node-2"], after=1))[-1] == ONLINE


async def test_a_registration_that_is_unknown_ends_without_a_word(database, event_log, devices, now):
    assert await database.write(registrations.remove, [RegistrationId("x")], now, log=event_log) == {}
    assert len(await told_of(database, devices["node-0"])) == 1


async def test_many_registrations_are_one_append(database, application_id, event_log, told, now):
    names = [f"meter-{number}" for number in range(300)]
    for name in names:
        await database.write(use_cases.create, application_id, name, name, now, log=event_log)
    batches = []

    async def note(_tx, written):
        batches.append([type_of(event.fact) for event, _ in written])

    log = EventLog(encode=lambda _event: b"{}", projections=[note])
    made = await database.write(registrations.register, [told(name) for name in names], now, log=log)
    assert [len(batch) for batch in batches] == [600]
    ids = [registration.registration_id for registration in made.values()]
    await database.write(registrations.remove, ids, now, log=log)
    assert [len(batch) for batch in batches] == [600, 300]


async def test_an_increment_holds_what_changed_and_nothing_else(database, event_log, application_id, now):
    details = DeviceDetails(name="a", model="m", attributes={"location": "cellar", "mute": "TRUE"})
    device = await database.write(use_cases.create, application_id, "n", "n", now, details=details, log=event_log)

    async def modify(**said):
        change = DeviceDetails(**said)
        await database.write(use_cases.modify, application_id, device.device_id, change, now, log=event_log)

    await modify(name="b", model="m", attributes={"mute": "FALSE", "location": "cellar"})
    await modify(name="", device_type="WaterMeter", attributes={"is_secure": "true"})
    await modify(name="", attributes={"end_user": "somebody", "region": "north"})
    await modify()
    assert await news(database, device, after=1) == [
        changed(name="b", mute="FALSE"),
        changed(name="", device_type="WaterMeter", is_secure="true"),
    ]


async def test_another_endpoint_name_is_told_and_another_code_is_not(database, event_log, application_id, devices, now):
    device = devices["node-0"]
    for name in (None, "node-0", "renamed"):
        await database.write(
            use_cases.refresh_credentials,
            application_id,
            device.device_id,
            now,
            log=event_log,
            endpoint_name=name,
            verification_code="c",
            activation_seconds=60,
        )
    assert await news(database, device, after=1) == [changed(endpoint_name="renamed")]


async def test_a_version_is_told_where_it_is_news(database, event_log, devices, now):
    first, second = devices["node-0"], devices["node-1"]
    a, b = first.device_id, second.device_id
    for versions in ({a: "1.0", b: "1.0"}, {a: "1.0", b: "1.1"}, {a: "1.0"}, {}):
        await database.write(use_cases.record_firmware_versions, versions, now, log=event_log)
    await database.write(use_cases.record_firmware_versions, {"unknown": "9"}, now, log=event_log)
    assert await news(database, first, after=1) == [changed(firmware_version="1.0")]
    assert await news(database, second, after=1) == [changed(firmware_version="1.0"), changed(firmware_version="1.1")]


async def test_that_it_is_deleted_is_the_last_of_a_device(database, event_log, application_id, devices, told, now):
    device = devices["node-0"]
    made = await database.write(registrations.register, [told("node-0")], now, log=event_log)
    await database.write(use_cases.delete, application_id, device.device_id, now, log=event_log, release=release)
    ids = [made["node-0"].registration_id]
    assert await database.write(registrations.remove, ids, now, log=event_log) == {}
    assert (await news(database, device, after=1))[-1] == DeviceDeleted()


async def test_a_device_that_does_not_come_in_time_is_told_once(database, event_log, application_id, told, now):
    async def make(name, seconds):
        return await database.write(
            use_cases.create, application_id, name, name, now, activation_seconds=seconds, log=event_log
        )

    late, patient, here = await make("late", 60), await make("patient", 0), await make("here", 60)
    await database.write(registrations.register, [told("here")], now, log=event_log)
    end = now + timedelta(seconds=60)
    assert await database.read(activations.next_end) == end
    assert await database.write(activations.expire, end, 10, log=event_log) == 0
    past = end + timedelta(microseconds=1)
    assert await database.write(activations.expire, past, 10, log=event_log) == 1
    assert await database.write(activations.expire, past, 10, log=event_log) == 0
    assert await database.read(activations.next_end) is None
    last = (await told_of(database, late))[-1]
    assert isinstance(last.fact, DeviceBound)
    assert (last.fact.binding, last.fact.device.reachability) == (Binding.EXPIRED, Reachability.NEVER_REGISTERED)
    assert (last.fact.device.endpoint_name, last.occurred_at) == ("late", end)
    assert len(await told_of(database, patient)) == 1
    assert len(await told_of(database, here)) == 3
    again = await make_again(database, event_log, application_id, past)
    assert again.device_id == late.device_id
    assert [type(fact) for fact in await news(database, late, after=2)] == [DeviceAdded]
    assert await database.read(activations.next_end) == past + timedelta(seconds=60)


async def make_again(database, event_log, application_id, moment):
    return await database.write(
        use_cases.create, application_id, "late", "late", moment, activation_seconds=60, log=event_log
    )


async def test_those_who_did_not_come_are_told_in_batches(database, event_log, application_id, now):
    for number in range(5):
        await database.write(
            use_cases.create, application_id, f"n{number}", "", now, activation_seconds=1 + number, log=event_log
        )
    past = now + timedelta(hours=1)
    counts = [await database.write(activations.expire, past, 2, log=event_log) for _ in range(4)]
    assert counts == [2, 2, 1, 0]


def coming(name):
    return NewRegistration(
        endpoint_name=name,
        host="192.0.2.9",
        port=5683,
        lifetime_seconds=10,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="</5/0>",
    )


STEPS = st.lists(
    st.tuples(st.sampled_from(["register", "remove", "refresh", "expire", "version", "modify"]), st.integers(0, 2)),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_whatever_happens_online_and_offline_take_turns(tmp_path_factory, open_sqlite_store, steps):
    async def check():
        database = await open_sqlite_store(tmp_path_factory.mktemp("told") / "store.db")
        log = EventLog(encode=lambda _event: b"{}")
        application_id = ApplicationId("app")
        made = {
            name: await database.write(
                use_cases.create, application_id, name, name, BEGIN, activation_seconds=0, log=log
            )
            for name in ("a", "b")
        }
        last: dict[str, RegistrationId] = {}
        moment = BEGIN
        for step, number in steps:
            moment += timedelta(seconds=4 * number)
            name = "ab"[number % 2]
            known = [last[name]] if name in last else []
            match step:
                case "register":
                    batch = [coming("a"), coming("b")][: 1 + number % 2]
                    found = await database.write(registrations.register, batch, moment, log=log)
                    last |= {key: one.registration_id for key, one in found.items()}
                case "remove":
                    await database.write(registrations.remove, known, moment, log=log)
                case "refresh":
                    updates = [RegistrationUpdate(registration_id=one, host="h", port=1) for one in known]
                    await database.write(registrations.refresh, updates, moment)
                case "expire":
                    await database.write(registrations.expire, moment, 1 + number, log=log)
                case "version":
                    versions = {made[name].device_id: str(number)}
                    await database.write(use_cases.record_firmware_versions, versions, moment, log=log)
                case "modify":
                    said = DeviceDetails(name=str(number))
                    await database.write(use_cases.modify, application_id, made[name].device_id, said, moment, log=log)
        for device in made.values():
            facts = [event.fact for event in await told_of(database, device)]
            assert isinstance(facts[0], DeviceAdded)
            turns = [fact.changed.reachability for fact in facts[1:] if isinstance(fact, DeviceInfoChanged)]
            turns = [turn for turn in turns if turn is not None]
            assert turns[:1] in ([], [Reachability.ONLINE])
            assert all(before is not after for before, after in pairwise(turns))
            assert sum(isinstance(fact, DeviceBound) for fact in facts) == bool(turns)
            for field in ("name", "firmware_version"):
                said = [getattr(fact.changed, field) for fact in facts[1:] if isinstance(fact, DeviceInfoChanged)]
                said = [one for one in said if one is not None]
                assert all(before != after for before, after in pairwise(said))
        await database.close()

    asyncio.run(check())


@pytest.mark.only_sqlite
@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (device_store.EXPIRE_ACTIVATIONS, [0, 10]),
        (device_store.NEXT_ACTIVATION_END, []),
    ],
)
async def test_no_look_for_devices_that_did_not_come_walks_through_all(database, statement, arguments):
    async def plan(tx):
        return [row[3] for row in await tx.fetch(portable(f"EXPLAIN QUERY PLAN {statement.sqlite}"), *arguments)]

    steps = await database.read(plan)
    assert any("device_by_activation_end" in step for step in steps), steps
    assert not any(step == "SCAN device" for step in steps), steps
