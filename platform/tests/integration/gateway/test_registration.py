"""Who registers is in the store when the answer comes, and gone from everywhere when its time is over."""

import asyncio
import contextlib
import socket
from datetime import timedelta

import pytest
from aiocoap.numbers.codes import Code
from aiocoap_device import OBJECT_LINKS

from firmcast.coap.codes import Code as CoapCode
from firmcast.coap.codes import MessageType
from firmcast.devices import registrations
from firmcast.devices import use_cases as devices
from firmcast.devices.model import NewRegistration
from firmcast.events.model import DeviceAdded, DeviceBound, DeviceInfoChanged, Reachability


async def registration_of(world, device):
    found = await world.database.read(registrations.of_devices, [device.device_id], world.clock.now())
    return found.get(device.device_id)


async def test_register_update_and_deregister(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)

    assert await device.register(lifetime=120) is Code.CREATED
    stored = await registration_of(world, known)
    assert device.locations == [("rd", stored.registration_id)]
    assert (stored.host, stored.port) == ("127.0.0.1", device.port)
    assert (stored.lifetime_seconds, stored.lwm2m_version, stored.binding) == (120, "1.1", "U")
    assert "</5/0>" in stored.objects

    assert await device.update("?lt=600") is Code.CHANGED
    assert (await registration_of(world, known)).lifetime_seconds == 600

    assert await device.deregister() is Code.DELETED
    assert await registration_of(world, known) is None
    assert world.gateway.device_count == 0
    assert await device.update() is Code.NOT_FOUND
    assert await device.deregister() is Code.NOT_FOUND


async def test_the_first_registration_activates_the_device(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    await device.register()
    found = await world.database.read(devices.find, world.application_id, known.device_id)
    assert found.activated_at is not None


async def test_an_unknown_device_is_forbidden(world, make_device) -> None:
    device = await make_device("nobody", world.server)
    assert await device.register() is Code.FORBIDDEN
    assert world.gateway.device_count == 0


@pytest.mark.parametrize("query", ["?lt=5", "?ep=device-1&lt=soon", "?ep=device-1&ep=device-1"])
async def test_a_registration_that_makes_no_sense_is_a_bad_request(world, make_device, query) -> None:
    await world.add_device()
    device = await make_device("device-1", world.server)
    response = await device.request(Code.POST, f"/rd{query}", b"</5/0>", content_format=40)
    assert response.code is Code.BAD_REQUEST
    assert response.payload


@pytest.mark.parametrize(
    ("code", "path", "answer"),
    [
        (Code.GET, "/rd", Code.METHOD_NOT_ALLOWED),
        (Code.PUT, "/rd/x", Code.METHOD_NOT_ALLOWED),
        (Code.POST, "/rd/x/y", Code.NOT_FOUND),
        (Code.POST, "/rd/nobody", Code.NOT_FOUND),
        (Code.DELETE, "/rd/nobody", Code.NOT_FOUND),
        (Code.GET, "/", Code.NOT_FOUND),
        (Code.GET, "/fw/no-such-token", Code.NOT_FOUND),
        (Code.GET, "/fw", Code.NOT_FOUND),
        (Code.POST, "/dp", Code.NOT_FOUND),
    ],
)
async def test_what_is_not_there_is_answered_all_the_same(world, make_device, code, path, answer) -> None:
    device = await make_device("device-1", world.server)
    assert (await device.request(code, path)).code is answer


async def test_registering_again_replaces_the_former_registration(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    await device.register()
    await device.reboot()
    first, second = device.locations
    assert first != second
    assert (await registration_of(world, known)).registration_id == second[1]
    assert world.gateway.device_count == 1
    device.locations.reverse()
    assert await device.update() is Code.NOT_FOUND


async def test_a_registration_that_the_store_is_slow_to_take_is_answered_at_once(world, make_raw, monkeypatch) -> None:
    """One that is acknowledged first is nobody's if the process dies then, and its device does not ask again."""
    await world.add_device()
    device = await make_raw()
    write = world.database.write

    async def slowly(*args, **kwargs):
        written = await write(*args, **kwargs)
        await asyncio.sleep(0.7)
        return written

    monkeypatch.setattr(world.database, "write", slowly)
    request = device.make(CoapCode.POST, "/rd", OBJECT_LINKS, uri_query=("ep=device-1", "lt=60"), content_format=40)
    answer = await device.answer_to(request)
    assert (answer.code, answer.type) == (CoapCode.CREATED, MessageType.ACK)


async def test_a_device_that_says_the_same_bytes_after_its_farewell_is_registered_anew(world, make_raw) -> None:
    known = await world.add_device()
    device = await make_raw()
    query = ("ep=device-1", "lt=300", "lwm2m=1.0", "b=U")
    request = device.make(Code.POST, "/rd", b"</5/0>", uri_query=query, content_format=40)
    first = await device.answer_to(request, repeats=2)
    assert (await device.answer_to(request)).location_path == first.location_path

    farewell = device.make(Code.DELETE, "/".join(first.location_path))
    assert (await device.answer_to(farewell)).code == Code.DELETED
    assert (await device.answer_to(farewell)).code == Code.DELETED

    second = await device.answer_to(request, repeats=2)
    assert second.location_path != first.location_path
    assert second.location_path == ("rd", (await registration_of(world, known)).registration_id)


async def test_registrations_that_come_together_share_a_commit(world) -> None:
    count = 30
    for number in range(count):
        await world.add_device(f"device-{number}")
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.connect(world.server)
        sender.setblocking(False)
        before = world.database.commits
        for number in range(count):
            # CON POST, Uri-Path rd, Content-Format 40, Uri-Query ep=device-<number>.
            query = f"ep=device-{number}".encode()
            head = b"\x41\x02" + number.to_bytes(2, "big") + bytes((number,)) + b"\xb2rd\x11\x28"
            sender.send(head + bytes((0x30 | len(query),)) + query + b"\xff</5/0>")
        async with asyncio.timeout(20):
            answers = [await asyncio.get_running_loop().sock_recv(sender, 1024) for _ in range(count)]
    # ACK 2.01: what was answered at once stands in the acknowledgement.
    assert {answer[:2] for answer in answers} == {b"\x61\x41"}
    assert world.gateway.device_count == count
    assert world.database.commits - before <= 3


async def test_a_new_address_is_taken_over_from_an_update(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    await device.register()
    was = device.port
    await device.power_off()
    await device.boot()
    assert device.port != was
    assert await device.update() is Code.CHANGED
    stored = await registration_of(world, known)
    assert (stored.registration_id, stored.port) == (device.locations[0][1], device.port)


async def test_a_registration_ends_when_its_lifetime_has_passed(world, make_device) -> None:
    known = await world.add_device()
    other = await world.add_device("device-2")
    device = await make_device("device-1", world.server)
    lasting = await make_device("device-2", world.server)
    await device.register(lifetime=1)
    await lasting.register(lifetime=1)
    assert await lasting.update("?lt=300") is Code.CHANGED
    await world.eventually(lambda: world.gateway.device_count == 1)
    assert await registration_of(world, known) is None
    assert await registration_of(world, other) is not None
    assert await device.update() is Code.NOT_FOUND


async def test_registrations_are_known_again_after_a_restart(world, make_device) -> None:
    await world.add_device()
    device = await make_device("device-1", world.server)
    await device.register()
    await world.stop()
    await world.start()
    assert world.gateway.device_count == 1
    assert await device.update() is Code.CHANGED


async def test_a_registration_that_ran_out_during_a_restart_ends(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    await device.register(lifetime=1)
    await world.stop()
    await world.start()
    await world.eventually(lambda: world.gateway.device_count == 0)
    assert await registration_of(world, known) is None


async def test_a_device_that_was_deleted_is_refused_at_its_next_update(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    await device.register()

    async def release(_tx, _device_id, _now) -> None:
        return None

    await world.database.write(
        devices.delete, world.application_id, known.device_id, world.clock.now(), release=release, log=world.log
    )
    assert await device.update() is Code.NOT_FOUND
    assert world.gateway.device_count == 0
    assert await device.register() is Code.FORBIDDEN


async def turns_of(world, device):
    """Return what was told of whether a device is here."""
    facts = [event.fact for event in await world.stored_events(device)]
    assert [type(fact) for fact in facts[:2]] == [DeviceAdded, DeviceBound][: len(facts)]
    return [fact.changed.reachability for fact in facts if isinstance(fact, DeviceInfoChanged)]


async def test_what_is_told_of_a_device_that_comes_and_goes(world, make_device) -> None:
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    await device.register(lifetime=120)
    await device.update("?lt=600")
    await device.register(lifetime=120)
    assert await turns_of(world, known) == [Reachability.ONLINE]
    await device.deregister()
    assert await turns_of(world, known) == [Reachability.ONLINE, Reachability.OFFLINE]
    await device.register(lifetime=120)
    assert await turns_of(world, known) == [Reachability.ONLINE, Reachability.OFFLINE, Reachability.ONLINE]


async def test_a_lifetime_that_passed_while_nobody_watched_is_told_at_the_start(world) -> None:
    known = await world.add_device()
    await world.stop()
    told = NewRegistration(
        endpoint_name="device-1",
        host="127.0.0.1",
        port=1,
        lifetime_seconds=60,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="</5/0>",
    )
    began = world.clock.now() - timedelta(hours=1)
    await world.database.write(registrations.register, [told], began, log=world.log)
    await world.start()
    async with asyncio.timeout(20), world._changed:
        while Reachability.OFFLINE not in await turns_of(world, known):
            await world._changed.wait()
    assert (await world.stored_events(known))[-1].occurred_at == began + timedelta(seconds=60)
