"""What a device sends unasked (LwM2M Send, POST /dp) is evidence by itself: no observation and no read is needed."""

import cbor2
import pytest
from aiocoap.numbers.codes import Code

from firmcast.errors import StoreError
from firmcast.events.model import Outcome

PACKAGE = bytes(range(256)) * 40
SENML_JSON, SENML_CBOR = 110, 112
DONE = cbor2.dumps([{-2: "/5/0/", 0: "3", 2: 0}, {0: "5", 2: 1}, {-2: "/", 0: "3/0/3", 3: "2.0"}])
DONE_AS_JSON = b'[{"bn":"/5/0/","n":"3","v":0},{"n":"5","v":1},{"bn":"","n":"/3/0/3","vs":"2.0"}]'
FAILED = cbor2.dumps([{-2: "/5/0/", 0: "3", 2: 0}, {0: "5", 2: 8}])


@pytest.fixture
async def known(world):
    return await world.add_device()


@pytest.fixture
async def device(world, known, make_device):
    return await make_device("device-1", world.server)


def silent_after_the_reboot(device, pack: bytes, content_format: int) -> None:
    """Have a device that was told to install come back, let nobody read or observe it, and send `pack` once."""

    async def execute(path: str) -> Code:
        if path == "/5/0/2":
            device.spawn(install())
        return Code.CHANGED

    async def install() -> None:
        await device.change("/5/0/3", 3)
        device.refuse = {("GET", path): Code.METHOD_NOT_ALLOWED for path in ("/5/0", "/3/0/3", *device.values)}
        await device.reboot()
        await device.until_seen("GET", "/5/0/3")
        assert (await device.request(Code.POST, "/dp", pack, content_format=content_format)).code is Code.CHANGED

    device.on_execute = execute


@pytest.mark.parametrize(
    ("pack", "content_format", "end"),
    [
        (DONE, SENML_CBOR, ["3", "0", "succeeded"]),
        (DONE_AS_JSON, SENML_JSON, ["3", "0", "succeeded"]),
        (FAILED, SENML_CBOR, ["3", "0", "failed"]),
    ],
)
async def test_what_is_sent_after_the_reboot_ends_an_upgrade(world, known, device, pack, content_format, end) -> None:
    silent_after_the_reboot(device, pack, content_format)
    package = await world.add_package(PACKAGE)
    await device.register()
    task = await world.upgrade(package, known)
    told = await world.until_told(known, "succeeded", "failed", any_of=True)
    assert [one.removeprefix("*") for one in told] == ["1", "2", *end]
    upgrade = await world.device_upgrade(task)
    assert upgrade.current_version == ("1.0" if upgrade.outcome is Outcome.FAILED else "2.0")


SENSELESS = (
    (b"\xff", SENML_CBOR),
    (cbor2.dumps({0: "/5/0/3", 2: 1}), SENML_CBOR),
    (cbor2.dumps([{0: "/5/0/3", 2: "one"}]), SENML_CBOR),
    (cbor2.dumps([{0: "/5/0", 2: 1}]), SENML_CBOR),
    (b'[{"n":"/5/0/3","v":', SENML_JSON),
    (b"1", 0),
    (b"", SENML_CBOR),
)


async def test_what_makes_no_sense_is_refused_and_changes_nothing(world, known, device) -> None:
    package = await world.add_package(PACKAGE)
    await device.register()
    device.on_uri = accept
    await world.upgrade(package, known)
    await device.until_seen("PUT", "/5/0/1")
    for pack, content_format in SENSELESS:
        answer = await device.request(Code.POST, "/dp", pack, content_format=content_format)
        assert answer.code is Code.BAD_REQUEST, pack
    assert await world.told(known) == []


async def test_other_objects_are_passed_over(world, known, device) -> None:
    package = await world.add_package(PACKAGE)
    await device.register()
    device.on_uri = accept
    await world.upgrade(package, known)
    await device.until_seen("PUT", "/5/0/1")
    pack = cbor2.dumps(
        [{-2: "/3303/0/", 0: "5700", 2: 21.5}, {-2: "/3/0/19", 3: "E"}, {-2: "/5/1/3", 2: 3}, {-2: "/5/0/3", 2: 1}]
    )
    assert (await device.request(Code.POST, "/dp", pack, content_format=SENML_CBOR)).code is Code.CHANGED
    # It is answered once it is in the store.
    assert await world.told(known) == ["1"]
    only_others = cbor2.dumps([{0: "/3303/0/5700", 2: 21.5}])
    assert (await device.request(Code.POST, "/dp", only_others, content_format=SENML_CBOR)).code is Code.CHANGED


async def test_who_is_not_registered_is_not_found(world, known, device, make_device) -> None:
    stranger = await make_device("device-1", world.server)
    assert (await stranger.request(Code.POST, "/dp", DONE, content_format=SENML_CBOR)).code is Code.NOT_FOUND
    await device.register()
    assert (await stranger.request(Code.POST, "/dp", DONE, content_format=SENML_CBOR)).code is Code.NOT_FOUND
    assert (await device.request(Code.POST, "/dp", DONE, content_format=SENML_CBOR)).code is Code.CHANGED
    await device.deregister()
    assert (await device.request(Code.POST, "/dp", DONE, content_format=SENML_CBOR)).code is Code.NOT_FOUND


async def accept(_uri: str) -> Code:
    return Code.CHANGED


async def test_a_broken_store_says_that_nothing_was_kept(world, known, device) -> None:
    await device.register()
    world.gateway._intake._end(StoreError("broken"))
    answer = await device.request(Code.POST, "/dp", DONE, content_format=SENML_CBOR)
    assert (answer.code, answer.opt.max_age) == (Code.SERVICE_UNAVAILABLE, 60)
