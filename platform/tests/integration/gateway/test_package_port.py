"""Packages by HTTP and HTTPS, asked for by clients that are not ours."""

import asyncio
import hashlib
import os
import resource
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser

import httpx2
import pytest
from aiocoap.numbers.codes import Code

from firmcast.db.postgres import PostgresDatabase
from firmcast.errors import StartError, StoreError
from firmcast.firmware.chunks import FirmwareChunks
from firmcast.firmware.model import FirmwarePackage
from firmcast.firmware.package_cache import PackageCache
from firmcast.gateway.package_port.certificate import package_certificate
from firmcast.lwm2m.firmware_update import Protocol
from firmcast.rest.certificates import make_certificate
from firmcast.rest.handshakes import HandshakeEnd
from firmcast.settings import GatewaySettings, Settings, UpgradeSettings
from firmcast.upgrades.limits import limits_of

PACKAGE = bytes(range(256)) * 1000
SIZE = len(PACKAGE)


@pytest.fixture
async def served(world):
    """Start the gateway anew with a port for HTTP, and return where that is."""

    async def serve(**settings):
        await world.stop()
        return await serve_packages(world, **settings)

    return serve


async def serve_packages(world, **settings):
    world.settings = world.settings.model_copy(update={"package_port": 0, **settings})
    world.limits = limits_of(UpgradeSettings(), world.settings)
    await world.start()
    return world.gateway.package_url(Protocol.HTTP)


class Offered:
    """A device that is told an address, and fetches nothing by itself."""

    def __init__(self, world, device, known, package: FirmwarePackage, task) -> None:
        self.world, self.device, self.known, self.package, self.task = world, device, known, package, task

    @property
    def uri(self) -> str:
        return self.device.addresses[-1]

    async def progress(self):
        upgrade = await self.world.device_upgrade(self.task)
        return self.world.gateway.progress(upgrade.device_upgrade_id)

    async def until_reached(self, reached: int) -> None:
        """Wait until so much is known to have arrived: that is told a moment after the device has it."""
        upgrade = await self.world.device_upgrade(self.task)
        await self.world.eventually(
            lambda: self.world.gateway.progress(upgrade.device_upgrade_id) == (reached, self.package.size)
        )


@pytest.fixture
def offer(world, make_device):
    async def offered(content: bytes = PACKAGE, protocols=(0, 2)) -> Offered:
        known = await world.add_device()
        device = await make_device("device-1", world.server)
        device.values["/5/0/8"] = list(protocols)

        async def wait_for_ever(uri: str) -> None:
            await asyncio.get_running_loop().create_future()

        device._fetch = wait_for_ever
        package = await world.add_package(content)
        await device.register()
        task = await world.upgrade(package, known)
        await device.until(lambda: bool(device.addresses))
        return Offered(world, device, known, package, task)

    return offered


async def test_a_package_is_fetched_whole_and_the_progress_is_known(world, served, offer) -> None:
    url = await served()
    offered = await offer()
    assert offered.uri.startswith(f"{url}/fw/")
    async with httpx2.AsyncClient() as client:
        head = await client.head(offered.uri)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(SIZE))
        assert (await offered.progress())[0] == 0
        whole = await client.get(offered.uri)
    assert whole.content == PACKAGE
    digest = hashlib.sha256(PACKAGE)
    assert {name: head.headers[name] for name in head.headers if name != "date"} == {
        "content-type": "application/octet-stream",
        "content-length": str(SIZE),
        "etag": f'"{digest.hexdigest()}"',
        "accept-ranges": "bytes",
        "cache-control": "private, no-transform",
        "repr-digest": head.headers["repr-digest"],
    }
    assert whole.headers.get("content-encoding") is None
    await offered.until_reached(SIZE)


async def test_ranges_are_served_as_the_standard_says(served, offer) -> None:
    await served()
    offered = await offer()
    tag = f'"{offered.package.digest}"'
    async with httpx2.AsyncClient() as client:

        async def ask(method: str = "GET", **fields: str):
            return await client.request(
                method, offered.uri, headers={name.replace("_", "-"): value for name, value in fields.items()}
            )

        part = await ask(range="bytes=100-299")
        assert (part.status_code, part.content) == (206, PACKAGE[100:300])
        assert part.headers["content-range"] == f"bytes 100-299/{SIZE}"
        await offered.until_reached(300)
        rest = await ask(range="bytes=300-", if_range=tag)
        assert (rest.status_code, rest.content) == (206, PACKAGE[300:])
        await offered.until_reached(SIZE)
        assert (await ask(range="bytes=-7")).content == PACKAGE[-7:]
        other = await ask(range="bytes=300-", if_range='"another"')
        assert (other.status_code, other.content) == (200, PACKAGE)
        none = await ask(range=f"bytes={SIZE}-")
        assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{SIZE}")
        assert (await ask(range="pages=1-2")).status_code == 200
        assert (await ask("HEAD", range="bytes=0-1")).status_code == 200
        assert (await ask(if_none_match=tag)).status_code == 304
        assert (await ask(if_match='"another"')).status_code == 412


async def test_several_ranges_come_as_one_multipart_body(served, offer) -> None:
    await served()
    offered = await offer()
    async with httpx2.AsyncClient() as client:
        answer = await client.get(offered.uri, headers={"range": "bytes=0-9, 1000-1999, -5"})
    assert answer.status_code == 206
    assert int(answer.headers["content-length"]) == len(answer.content)
    kind = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(kind + answer.content).get_payload()
    found = [(part["content-range"], part.get_payload(decode=True)) for part in parts]
    assert found == [
        (f"bytes 0-9/{SIZE}", PACKAGE[:10]),
        (f"bytes 1000-1999/{SIZE}", PACKAGE[1000:2000]),
        (f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}", PACKAGE[-5:]),
    ]


async def test_what_is_not_there_or_not_asked_for_rightly_is_refused(world, served, offer) -> None:
    url = await served()
    offered = await offer()
    async with httpx2.AsyncClient() as client:
        for path in ("/fw/unknown", "/fw", "/fw/", f"{offered.uri.removeprefix(url)}/", "/", "/fw/%00%ff", "/v1/docs"):
            assert (await client.get(url + path)).status_code == 404
        refused = await client.post(offered.uri, content=b"x")
        assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
        # Neither a mangled range nor one from another planet costs the package.
        for header in ("bytes=1-2-3", "bytes=" + "9" * 5000 + "-", "bytes=" + "0-0," * 5000):
            assert (await client.get(offered.uri, headers={"range": header})).status_code in {200, 416}


async def test_a_device_may_ask_before_its_answer_to_the_address_has_come_back(world, served, make_device) -> None:
    await served()
    known = await world.add_device()
    device = await make_device("device-1", world.server)
    device.values["/5/0/8"] = [2]
    fetched = []

    async def fetch_first(uri: str) -> Code:
        if uri:
            async with httpx2.AsyncClient() as client:
                fetched.append((await client.get(uri)).content)
            device.values["/5/0/1"] = uri
            device.spawn(device._take(fetched[0]))
        return Code.CHANGED

    device.on_uri = fetch_first
    package = await world.add_package(PACKAGE)
    await device.register()
    await world.upgrade(package, known)
    assert "succeeded" in await world.until_told(known, "succeeded", "failed", any_of=True)
    assert fetched == [PACKAGE]


async def read_head(url: str, uri: str, **fields: str):
    """Ask by hand; return the streams and the head, with little read of what follows."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
    lines = [
        f"GET {uri.removeprefix(url)} HTTP/1.1",
        "Host: x",
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    async with asyncio.timeout(10):
        return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def test_a_device_that_takes_nothing_is_given_up_and_holds_nobody_and_little_memory(world, served, offer) -> None:
    url = await served(package_patience=timedelta(seconds=0.5))
    content = os.urandom(1 << 20) * 8
    offered = await offer(content)
    _reader, stalled, head = await read_head(url, offered.uri)
    assert b"200 OK" in head
    async with httpx2.AsyncClient() as client:
        assert hashlib.sha256((await client.get(offered.uri)).content).digest() == hashlib.sha256(content).digest()
    # What was read of the file for the stalled one is what the connection may hold, and no more.
    held = [connection.transport.get_write_buffer_size() for connection in world.gateway._package_ports._places.taken]
    assert 0 < max(held) <= 1 << 17
    await world.eventually(lambda: not world.gateway._package_ports._places.taken)
    stalled.close()


async def test_connections_beyond_the_limit_are_told_to_come_again(world, served, offer) -> None:
    url = await served(package_connections=2)
    offered = await offer()
    held = [await read_head(url, offered.uri, Range="bytes=0-0") for _ in range(2)]
    async with httpx2.AsyncClient() as client:
        refused = await client.get(offered.uri)
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert int(refused.headers["retry-after"]) > 0
    assert world.metrics.package_no_place.value == 1
    held.pop()[1].close()
    await world.eventually(lambda: len(world.gateway._package_ports._places.taken) < 2)
    async with httpx2.AsyncClient() as client:
        assert (await client.get(offered.uri)).status_code == 200
    held.pop()[1].close()


async def test_there_are_fewer_connections_than_files_may_be_open(world, served, monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (64, 4096))
    await served(package_connections=1000)
    assert world.gateway._package_ports._places.limit == 32
    assert world.gateway._package_ports._handshakes.limit == 16
    monkeypatch.undo()


async def test_the_oldest_of_too_many_answers_to_one_device_gives_way(world, served, offer) -> None:
    url = await served()
    offered = await offer(bytes(1 << 24))
    connections = [await read_head(url, offered.uri) for _ in range(5)]
    first = connections[0][0]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(10):
            await first.readexactly(1 << 24)
    assert len(world.gateway._package_ports._places.taken) == 4
    # A gateway that stops lets nobody wait.
    async with asyncio.timeout(5):
        await world.stop()
    for _reader, writer, _head in connections:
        writer.close()


async def test_a_device_that_is_to_stop_gets_no_more(world, served, offer) -> None:
    url = await served()
    offered = await offer(bytes(1 << 24))
    reader, writer, _head = await read_head(url, offered.uri)
    await world.stop_task(offered.task)
    await offered.device.until(lambda: offered.device.addresses[-1] == "")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(10):
            await reader.readexactly(1 << 24)
    writer.close()
    async with httpx2.AsyncClient() as client:
        assert (await client.get(next(filter(None, offered.device.addresses)))).status_code == 404


async def test_progress_counts_what_the_device_has_acknowledged(world, served, offer) -> None:
    """A device with a small window: the machine would take the whole package at once, the device does not."""
    url = await served()
    content = os.urandom(1 << 20)
    offered = await offer(content)
    port = int(url.rpartition(":")[2])
    with socket.socket() as device:
        device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        device.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(device, ("127.0.0.1", port))
        await loop.sock_sendall(device, f"GET {offered.uri.removeprefix(url)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await loop.sock_recv(device, 1)
        await world.eventually(lambda: any(transfer.reached for transfer in known_transfers(world)))
        reached, size = await offered.progress()
        assert size == len(content)
        assert 0 < reached < len(content) // 8


def known_transfers(world):
    return world.gateway._transfers._by_token.values()


async def test_bytes_that_cannot_be_had_are_no_fault_of_the_device(world, served, offer, monkeypatch) -> None:
    url = await served()
    offered = await offer()
    path = world.files.path_of(offered.package.digest)
    async with httpx2.AsyncClient() as client:
        with path.open("r+b") as file:
            file.truncate(100_000)
        # The head is out before that is known: the end of the connection says that the rest is missing.
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(offered.uri)
        # Asked again, it would be told to fetch what cannot be read, and that would end its upgrade.
        await offered.device.power_off()
        await world.stop()
        await world.start()
        url = world.gateway.package_url(Protocol.HTTP)
        token = offered.uri.rpartition("/")[2]
        assert (await client.get(f"{url}/fw/{token}")).status_code == 500

        async def unreachable(*_arguments):
            raise StoreError("the store is away")

        path.write_bytes(PACKAGE)
        assert (await client.get(f"{url}/fw/{token}")).content == PACKAGE
        monkeypatch.setattr(world.database, "read", unreachable)
        assert (await client.get(f"{url}/fw/{token}")).content == PACKAGE, "what is known needs no store"
        away = await client.get(f"{url}/fw/another")
        assert (away.status_code, "retry-after" in away.headers) == (503, True)
        monkeypatch.undo()


async def test_https_is_served_with_the_certificate_given(world, served, offer, tmp_path) -> None:
    made = make_certificate(tmp_path / "made", ["127.0.0.1"], datetime.now(UTC))
    world.package_certificate = made.certificate, made.key
    await served(package_secure_port=0)
    offered = await offer(protocols=(2, 3))
    assert offered.uri.startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=made.authority)
    async with httpx2.AsyncClient(verify=context) as client:
        assert (await client.get(offered.uri)).content == PACKAGE
        part = await client.get(offered.uri, headers={"range": "bytes=-3"})
        assert (part.status_code, part.content) == (206, PACKAGE[-3:])
    await offered.until_reached(SIZE)


async def test_silent_connections_keep_nobody_from_his_package(world, served, offer, tmp_path) -> None:
    made = make_certificate(tmp_path / "made", ["127.0.0.1"], datetime.now(UTC))
    world.package_certificate = made.certificate, made.key
    await served(package_secure_port=0, package_handshakes=8, package_connections=2)
    offered = await offer(protocols=(2, 3))

    def connect() -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", int(world.gateway.package_url(Protocol.HTTPS).rpartition(":")[2]))
        )

    handshakes = world.gateway._package_ports._handshakes
    crowded_out = world.metrics.package_handshakes[HandshakeEnd.CROWDED_OUT]
    silent = [connect() for _ in range(20)]
    await world.eventually(lambda: crowded_out.value == 12)
    context = ssl.create_default_context(cafile=made.authority)
    async with httpx2.AsyncClient(verify=context) as client:
        assert (await client.get(offered.uri)).content == PACKAGE
    assert (len(handshakes), crowded_out.value) == (7, 13)
    await world.stop()
    world.settings = world.settings.model_copy(update={"package_handshake_patience": timedelta(seconds=0.1)})
    await world.start()
    silent.append(connect())
    stalled = world.metrics.package_handshakes[HandshakeEnd.STALLED]
    await world.eventually(lambda: stalled.value == 1)
    for each in silent:
        each.close()


async def test_ports_that_cannot_be_had_or_certificates_that_are_none_end_the_start(world, served, tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError, match="cannot listen"):
            await served(package_port=taken.getsockname()[1])
    with pytest.raises(StartError, match="needs a certificate"):
        await serve_packages(world, package_secure_port=0)
    nothing = tmp_path / "nothing.pem"
    world.package_certificate = nothing, nothing
    with pytest.raises(StartError, match="cannot be used"):
        await serve_packages(world, package_secure_port=0)
    world.package_certificate = None
    await serve_packages(world, package_secure_port=None)


def test_the_certificate_is_the_operators_own_or_one_for_a_known_host(tmp_path) -> None:
    now = datetime.now(UTC)

    def chosen(**gateway):
        return package_certificate(Settings(data=tmp_path, gateway=GatewaySettings(**gateway)), now)

    assert chosen() is None
    own = {"package_certificate_file": tmp_path / "c", "package_key_file": tmp_path / "k"}
    assert chosen(package_secure_port=0, **own) == (tmp_path / "c", tmp_path / "k")
    made = chosen(package_secure_port=0, host="0.0.0.0", public_host="fw.example.org")
    assert made is not None
    assert made[0].parent == tmp_path / "package-tls"
    for wrong in ({"host": "0.0.0.0"}, {"package_key_file": tmp_path / "k"}):
        with pytest.raises(StartError):
            chosen(package_secure_port=0, **wrong)


async def test_packages_that_are_chunks_in_postgresql_are_served_too(
    empty_postgres_store, tmp_path, make_world, make_device
) -> None:
    database = await PostgresDatabase.open(await empty_postgres_store(), datetime.now(UTC))
    try:
        world = make_world(database)
        cache = PackageCache(tmp_path / "cache", world.clock, limit=1 << 30)
        world.files = FirmwareChunks(database, world.clock, cache)
        url = await serve_packages(world)
        known = await world.add_device()
        package = await world.add_package(PACKAGE * 20)
        task = await world.upgrade(package, known)
        token = (await world.device_upgrade(task)).transfer_token
        async with httpx2.AsyncClient() as client:
            part = await client.get(f"{url}/fw/{token}", headers={"range": "bytes=1000000-3999999"})
        assert (part.status_code, part.content) == (206, (PACKAGE * 20)[1_000_000:4_000_000])
        await world.stop()
    finally:
        await database.close()
