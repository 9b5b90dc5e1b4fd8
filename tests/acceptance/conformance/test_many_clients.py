"""Two hundred clients at once leave exactly what they made, also when answers are lost and requests repeated."""

import asyncio
import contextlib
import json
import secrets
import ssl

import pytest
from conformance_clients import request_bytes
from conformance_platform import CaseWorld

APPLICATIONS = 20
CLIENTS_OF_EACH = 10
DEVICES_OF_EACH = 3
CREATE = "/iodm/northbound/v1.5.0/operations/firmwareUpgrade"
DEVICES = "/iocm/app/dm/v1.4.0/devices"
CREDENTIALS = "/iocm/app/reg/v1.1.0/deviceCredentials"


class Client:
    """One client with a connection of its own."""

    def __init__(self, address, headers):
        self.address = address
        self.headers = headers
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(*self.address, ssl=self.tls)

    async def call(self, method, path, body=None, *headers):
        self.send(method, path, body, *headers)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        content = await self.reader.readexactly(length)
        assert int(head.split()[1]) < 300, (head, content)
        return json.loads(content) if content else None

    def send(self, method, path, body=None, *headers):
        sent = None if body is None else json.dumps(body).encode()
        self.writer.write(request_bytes(method, path, [*self.headers, *headers], sent))

    def vanish(self):
        self.writer.transport.abort()

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


async def life(client, package):
    """Register devices, delete one, and create one task whose first answer is lost; return the task's id."""
    await client.connect()
    made = []
    for _ in range(DEVICES_OF_EACH):
        node = secrets.token_hex(8)
        made.append(
            (await client.call("POST", CREDENTIALS, {"nodeId": node, "verifyCode": node, "timeout": 0}))["deviceId"]
        )
        assert (await client.call("GET", f"{DEVICES}/{made[-1]}"))["deviceId"] == made[-1]
    await client.call("DELETE", f"{DEVICES}/{made.pop()}")
    order = {"fileId": package, "targets": {"devices": made}}
    key = f"Idempotency-Key: {secrets.token_hex(16)}"
    client.send("POST", CREATE, order, key)
    await client.writer.drain()
    client.vanish()
    await client.connect()
    first = (await client.call("POST", CREATE, order, key))["operationId"]
    assert (await client.call("POST", CREATE, order, key))["operationId"] == first
    assert (await client.call("GET", f"/iodm/northbound/v1.5.0/operations/{first}"))["staResult"]["total"] == len(made)
    await client.close()
    return first


@pytest.mark.timeout(120)
async def test_two_hundred_clients_at_once_leave_exact_counts(platform_of):
    platform = platform_of("plain")
    worlds = [CaseWorld(platform) for _ in range(APPLICATIONS)]
    lives = []
    for world in worlds:
        headers = (f"app_key: {world['app']}", f"Authorization: Bearer {world['token']}")
        lives += [life(Client(platform.address, headers), world["package"]) for _ in range(CLIENTS_OF_EACH)]
    tasks = await asyncio.gather(*lives)
    assert len(set(tasks)) == len(tasks) == APPLICATIONS * CLIENTS_OF_EACH
    for number, world in enumerate(worlds):
        listed = world.call("GET", f"{DEVICES}?pageNo=0&pageSize=1000")
        assert listed["totalCount"] == len(listed["devices"]) == CLIENTS_OF_EACH * (DEVICES_OF_EACH - 1)
        found = world.call("GET", "/iodm/northbound/v1.5.0/operations?pageSize=100")
        ours = tasks[number * CLIENTS_OF_EACH : (number + 1) * CLIENTS_OF_EACH]
        assert found["totalCount"] == CLIENTS_OF_EACH
        assert {task["operationId"] for task in found["data"]} == set(ours)


async def test_logins_at_once_leave_one_token_that_counts(platform_of):
    """A new login ends the older token, after its few seconds of grace: of many at once, all of them work now."""
    platform = platform_of("plain")
    world = CaseWorld(platform)
    form = f"appId={world['app']}&secret={world['secret']}".encode()

    async def log_in():
        client = Client(platform.address, ())
        await client.connect()
        client.writer.write(request_bytes("POST", "/iocm/app/sec/v1.1.0/login", (), form))
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        token = json.loads(await client.reader.readexactly(length))["accessToken"]
        client.headers = (f"app_key: {world['app']}", f"Authorization: Bearer {token}")
        listed = await client.call("GET", f"{DEVICES}?pageNo=0")
        await client.close()
        return token, listed["totalCount"]

    found = await asyncio.gather(*(log_in() for _ in range(20)))
    assert len({token for token, _ in found}) == 20
    assert {count for _, count in found} == {0}
