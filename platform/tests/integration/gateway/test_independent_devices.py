"""Every way of transfer with every ending, told by a device on aiocoap whose codecs and blocks are not ours."""

import pytest
from aiocoap_device import SENML_CBOR, TLV

PACKAGE = bytes(range(256)) * 10
"""Two whole blocks of 1024 bytes and half of a third."""
PULL, PUSH = 0, 1
FORMATS = {"tlv": (TLV,), "senml": (SENML_CBOR,), "text": ()}


@pytest.fixture
async def upgraded(world, make_device):
    """Upgrade a device that is as a test says, and return it with what was told of it."""

    async def upgrade(method: int, formats: str, **attributes: object):
        known = await world.add_device()
        device = await make_device("device-1", world.server)
        device.values["/5/0/9"] = method
        device.object_formats = FORMATS[formats]
        for name, value in attributes.items():
            setattr(device, name, value)
        package = await world.add_package(PACKAGE)
        await device.register()
        task = await world.upgrade(package, known)
        told = await world.until_told(known, "succeeded", "failed", any_of=True)
        return device, told, await world.device_upgrade(task)

    return upgrade


@pytest.mark.parametrize("formats", FORMATS)
@pytest.mark.parametrize(("method", "first"), [(PULL, "1"), (PUSH, "*1")])
async def test_a_success(upgraded, method, first, formats) -> None:
    device, told, upgrade = await upgraded(method, formats)
    assert told == [first, "2", "3", "0", "succeeded"]
    assert device.packages == [PACKAGE]
    assert (len(device.locations), upgrade.current_version) == (2, "2.0")


@pytest.mark.parametrize(("method", "first", "formats"), [(PULL, "1", "senml"), (PUSH, "*1", "text")])
async def test_a_package_that_is_not_intact(upgraded, method, first, formats) -> None:
    _, told, upgrade = await upgraded(method, formats, expected_package=b"another")
    assert told == [first, "0", first, "0", "failed"]
    assert upgrade.description == "Integrity check failure for new downloaded package"


@pytest.mark.parametrize("state", [2, 0])
@pytest.mark.parametrize(("method", "first", "formats"), [(PULL, "1", "tlv"), (PUSH, "*1", "senml")])
async def test_an_install_that_fails(upgraded, method, first, formats, state) -> None:
    device, told, upgrade = await upgraded(method, formats, fails_into=state)
    assert told == [first, "2", "3", str(state), "failed"]
    assert device.seen.count(("POST", "/5/0/2")) == 1
    assert upgrade.description == "Firmware update failed"


@pytest.mark.parametrize("exponent", [0, 3, 5])
async def test_a_package_written_in_the_blocks_that_the_device_wants(upgraded, exponent) -> None:
    device, told, _ = await upgraded(PUSH, "tlv", own_block_exponent=exponent)
    assert told == ["*1", "2", "3", "0", "succeeded"]
    assert device.packages == [PACKAGE]
    assert device.block_exponents[0] == 6
    assert set(device.block_exponents[1:]) == {exponent}


@pytest.mark.parametrize("exponent", [0, 4])
async def test_a_package_fetched_in_the_blocks_that_the_device_wants(upgraded, exponent) -> None:
    device, told, _ = await upgraded(PULL, "senml", fetched_exponent=exponent)
    assert told == ["1", "2", "3", "0", "succeeded"]
    assert device.packages == [PACKAGE]
