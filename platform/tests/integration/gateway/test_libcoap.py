"""The commands of libcoap register with the gateway and fetch packages in their own ways; datagrams are lost."""

import asyncio
import shutil

import pytest

from firmcast.coap.codes import Code

KEY = b"0123456789abcdef"
PACKAGE = bytes(range(256)) * 40
LINKS = ",".join(["</>;rt=%22oma.lwm2m%22", *(f"</{number}/0>" for number in (1, 3, 5, *range(3300, 3330)))])
SECURE = ("openssl", "gnutls")


async def libcoap(library: str, name: str, *arguments: str) -> bytes:
    """Run libcoap's client, and return what it says."""
    client = shutil.which(f"coap-client-{library}")
    if client is None:
        pytest.skip(f"coap-client-{library} is not installed (Debian: libcoap3-bin)")
    keys = ("-u", name, "-k", KEY.decode()) if library in SECURE else ()
    process = await asyncio.create_subprocess_exec(
        *(client, *keys, "-B", "30", "-v", "6", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return said


def at(world, library: str) -> str:
    secure = library in SECURE
    port = (world.secure_server if secure else world.server)[1]
    return f"{'coaps' if secure else 'coap'}://127.0.0.1:{port}"


@pytest.mark.parametrize("how", [("-N",), ("-T", ""), ("-b", "64", "-l", "2")], ids=" ".join)
@pytest.mark.parametrize("library", ["notls", *SECURE])
async def test_it_registers(world, library, how) -> None:
    known = await world.add_device(key=KEY if library in SECURE else b"")
    query = "ep=device-1&lt=300&lwm2m=1.1&b=U"
    wording = ("-m", "post", "-t", "40", "-e", LINKS, f"{at(world, library)}/rd?{query}")
    said = await libcoap(library, "device-1", *how, *wording)
    assert b"2.01" in said, said.decode()
    assert world.gateway._live.of(known.device_id) is not None


@pytest.mark.parametrize(("block", "lost"), [("16", "3"), ("1024", "2,6")])
@pytest.mark.parametrize("library", ["notls", *SECURE])
async def test_it_fetches_a_package(world, make_raw, tmp_path, library, block, lost) -> None:
    known = await world.add_device(key=KEY)
    device = await make_raw()
    await device.register()
    await world.upgrade(await world.add_package(PACKAGE), known)
    uri = (await device.until_asked(Code.PUT, "/5/0/1")).payload.decode()
    token = uri.rpartition("/")[2]
    fetched = tmp_path / "fetched"
    said = await libcoap(
        library, "device-1", "-b", block, "-l", lost, "-o", str(fetched), f"{at(world, library)}/fw/{token}"
    )
    assert fetched.read_bytes() == PACKAGE, said.decode()
