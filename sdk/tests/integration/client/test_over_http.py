"""Both clients against a small real server that keeps tokens, devices and tasks the way the contract says."""

import asyncio
import ssl
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from firmcast_sdk import (
    AccessDeniedError,
    AsyncNorthboundClient,
    ClientExtraMissingError,
    NorthboundClient,
    NotFoundError,
    NotifyType,
    NotReachedError,
    RetryPolicy,
    TransportError,
    TransportOptions,
)

ONCE = RetryPolicy(tries=1)
CALLBACK = "https://app.example:9443/pushes"


def test_the_blocking_client(base_url, small_platform):
    with NorthboundClient(base_url, app_id="app", secret="word") as client:
        client.subscribe(NotifyType.FW_UPGRADE_STATE_CHANGE, CALLBACK)
        assert client.register_device("n1").device_id == "id-n1"
        created = [client.create_firmware_upgrade("f", devices=["d"]) for _ in range(5)]
        assert [task.operation_id for task in client.operations(page_size=2)] == created
        with pytest.raises(NotFoundError):
            client.operation("none")
    assert small_platform.callbacks == [CALLBACK]
    assert small_platform.logins == 1


async def test_the_asynchronous_client(base_url, small_platform):
    async with AsyncNorthboundClient(base_url, app_id="app", secret="word") as client:
        await client.login()
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
        created = [await client.create_firmware_upgrade("f", devices=["d"]) for _ in range(5)]
        assert [task.operation_id async for task in client.operations(page_size=2)] == created
        with pytest.raises(NotFoundError):
            await client.operation("none")
    assert small_platform.logins == 1


def test_one_login_for_many_threads_also_after_the_token_was_taken_away(base_url, small_platform):
    with NorthboundClient(base_url, app_id="app", secret="word") as client:
        for logins in (1, 2):
            failures = []

            def call(failures=failures):
                try:
                    client.create_firmware_upgrade("f", devices=["d"])
                except Exception as error:
                    failures.append(error)

            threads = [threading.Thread(target=call) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert failures == []
            assert small_platform.logins == logins
            with small_platform.lock:
                small_platform.token = "taken away"
    assert len(small_platform.operations) == 16


async def test_one_login_for_many_tasks_also_after_the_token_was_taken_away(base_url, small_platform):
    async with AsyncNorthboundClient(base_url, app_id="app", secret="word") as client:
        for logins in (1, 2):
            await asyncio.gather(*(client.create_firmware_upgrade("f", devices=["d"]) for _ in range(8)))
            assert small_platform.logins == logins
            small_platform.token = "taken away"
    assert len(small_platform.operations) == 16


def test_a_wrong_secret(base_url):
    with NorthboundClient(base_url, app_id="app", secret="guess") as client, pytest.raises(AccessDeniedError):
        client.login()


def test_nobody_there(serve_wsgi, small_platform):
    with serve_wsgi(small_platform) as url:
        pass
    options = TransportOptions(connect_timeout=timedelta(seconds=5))
    with (
        NorthboundClient(url, app_id="app", secret="word", options=options, retry=ONCE) as client,
        pytest.raises(NotReachedError),
    ):
        client.login()


async def test_a_plain_server_behind_https(base_url):
    options = TransportOptions(verify=ssl.create_default_context())
    url = base_url.replace("http:", "https:")
    async with AsyncNorthboundClient(url, app_id="app", secret="word", options=options, retry=ONCE) as client:
        with pytest.raises(NotReachedError):
            await client.login()


def test_a_custom_authority_and_a_client_certificate(serve_wsgi, small_platform, certificates):
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificates / "server.pem")
    server_side.load_verify_locations(certificates / "authority.pem")
    server_side.verify_mode = ssl.CERT_REQUIRED
    known = TransportOptions(verify=certificates / "authority.pem", client_certificate=str(certificates / "client.pem"))
    nameless = TransportOptions(verify=certificates / "authority.pem")
    trusting_nobody = TransportOptions(client_certificate=str(certificates / "client.pem"))
    with serve_wsgi(small_platform, server_side) as url:
        with NorthboundClient(url, app_id="app", secret="word", options=known) as client:
            client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
        for options in (nameless, trusting_nobody):
            with (
                NorthboundClient(url, app_id="app", secret="word", options=options, retry=ONCE) as client,
                pytest.raises(TransportError),
            ):
                client.login()
    assert small_platform.logins == 1


def test_without_the_http_library_all_but_the_client_works():
    program = """
import sys
sys.modules["httpx2"] = None
import firmcast_sdk, firmcast_sdk.testing
firmcast_sdk.Receiver()
try:
    firmcast_sdk.NorthboundClient("http://127.0.0.1:1", app_id="a", secret="s")
except firmcast_sdk.ClientExtraMissingError:
    print("told")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("told\n", "")
    assert issubclass(ClientExtraMissingError, Exception)
