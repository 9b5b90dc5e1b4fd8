"""What is tried again over a real connection, and what never is: counted by the server that misbehaves."""

import asyncio
import socket
import threading
from datetime import timedelta

import pytest

from firmcast_sdk import (
    AsyncNorthboundClient,
    ClientClosedError,
    NorthboundClient,
    NotFoundError,
    NotifyType,
    NotReachedError,
    PlatformFailedError,
    RetryPolicy,
    ThrottledError,
    TransportError,
    TransportOptions,
    UnexpectedAnswerError,
)
from firmcast_sdk.wire import errors
from firmcast_sdk.wire.errors import encode_error

QUICK = RetryPolicy(first_wait=timedelta(milliseconds=2), throttled_wait=timedelta(milliseconds=2))
CREATED = b'{"operationId":"o"}'
CALLBACK = "https://app.example:9443/pushes"


async def test_a_creation_whose_answer_is_lost_is_repeated_under_its_key(tricky, connect):
    tricky.script.extend([tricky.drop(), tricky.drop(), tricky.say(200, CREATED), tricky.say(200, CREATED)])
    async with connect(retry=QUICK) as client:
        assert await client.create_firmware_upgrade("f", devices=["d"]) == "o"
        assert await client.create_firmware_upgrade("f", devices=["d"]) == "o"
    keys = [heard.headers["idempotency-key"] for heard in tricky.heard]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert all(key.isascii() and key.isprintable() and 1 <= len(key) <= 128 for key in keys)


async def test_a_subscription_whose_answer_is_lost_is_not_repeated(tricky, connect):
    tricky.script.append(tricky.drop())
    async with connect(retry=QUICK) as client:
        with pytest.raises(TransportError) as caught:
            await client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
        tricky.script.append(tricky.say(503, encode_error(errors.INTERNAL_ERROR), {"retry-after": "0"}))
        with pytest.raises(PlatformFailedError):
            await client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
    assert not isinstance(caught.value, NotReachedError)
    assert len(tricky.heard) == 2


async def test_reading_changing_and_deleting_are_repeated(tricky, connect):
    async with connect(retry=QUICK) as client:
        tricky.script.extend([tricky.drop(), tricky.say(204)])
        await client.modify_device("d", name="meter")
        tricky.script.extend([tricky.say(502, b"<html>"), tricky.drop(), tricky.say(504), tricky.say(204)])
        await client.delete_device("d")
        tricky.script.extend([tricky.drop(), tricky.say(404, encode_error(errors.DEVICE_NOT_FOUND))])
        await client.delete_device("d")
        tricky.script.append(tricky.say(404, encode_error(errors.DEVICE_NOT_FOUND)))
        with pytest.raises(NotFoundError):
            await client.delete_device("d")
    assert [heard.method for heard in tricky.heard] == ["PUT"] * 2 + ["DELETE"] * 7


async def test_a_throttled_call_waits_and_comes_again(tricky, connect):
    throttled = tricky.say(403, encode_error(errors.THROTTLED), {"retry-after": "0"})
    async with connect(retry=QUICK) as client:
        tricky.script.extend([throttled, throttled, tricky.say()])
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
        tricky.login_script.append(throttled)
        tricky.take_tokens_away()
        await client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
        tricky.script.append(tricky.say(403, encode_error(errors.THROTTLED), {"retry-after": "600"}))
        with pytest.raises(ThrottledError) as caught:
            await client.subscribe(NotifyType.FW_UPGRADE_RESULT, CALLBACK)
    assert caught.value.retry_after == timedelta(minutes=10)
    assert tricky.logins == 2


async def test_nobody_there_is_told_after_the_last_try(tricky, connect):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    waits = []

    def jitter():
        waits.append(1)
        return 0.5

    policy = RetryPolicy(tries=3, first_wait=timedelta(milliseconds=2), jitter=jitter)
    async with connect(f"http://127.0.0.1:{port}", retry=policy) as client:
        with pytest.raises(NotReachedError, match="login"):
            await client.delete_device("d")
    assert len(waits) == 2


async def test_a_platform_that_says_nothing_ends_in_the_read_timeout(tricky, connect):
    tricky.script.append(tricky.hang())
    options = TransportOptions(read_timeout=timedelta(milliseconds=100))
    async with connect(retry=RetryPolicy(tries=1), options=options) as client:
        with pytest.raises(TransportError, match="devices/d"):
            await client.device("d")


async def test_a_platform_that_drips_ends_in_the_total_timeout(tricky, connect):
    tricky.script.append(tricky.drip())
    options = TransportOptions(total_timeout=timedelta(milliseconds=300))
    async with connect(retry=RetryPolicy(tries=1), options=options) as client:
        await client.login()
        with pytest.raises(TransportError, match="total time-out"):
            await client.device("d")


async def test_an_answer_without_an_end_is_not_kept_in_memory(tricky, connect):
    tricky.script.append(tricky.say(200, b" " * 5000))
    async with connect(options=TransportOptions(largest_answer=1000)) as client:
        with pytest.raises(UnexpectedAnswerError, match="longer than 1000 bytes"):
            await client.device("d")


async def test_a_redirect_is_not_followed(tricky, connect):
    tricky.script.append(tricky.say(302, b"", {"location": "http://127.0.0.1:1/elsewhere"}))
    async with connect() as client:
        with pytest.raises(UnexpectedAnswerError) as caught:
            await client.device("d")
    assert caught.value.status == 302


def test_a_thread_that_waits_for_its_next_try_is_let_go_by_closing(tricky, tricky_url):
    answered = threading.Event()

    def answer(_):
        answered.set()
        return tricky.say(403, encode_error(errors.THROTTLED), {"retry-after": "60"})

    tricky.answer = answer
    client = NorthboundClient(tricky_url, app_id="app", secret="word")
    told = []

    def run():
        try:
            client.delete_device("d")
        except ClientClosedError as error:
            told.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    answered.wait(20)
    client.close()
    thread.join(20)
    assert len(told) == 1


async def test_a_task_that_waits_for_its_next_try_is_let_go_by_closing(tricky, tricky_url):
    answered = threading.Event()

    def answer(_):
        answered.set()
        return tricky.say(403, encode_error(errors.THROTTLED), {"retry-after": "60"})

    tricky.answer = answer
    client = AsyncNorthboundClient(tricky_url, app_id="app", secret="word")
    waiting = asyncio.create_task(client.delete_device("d"))
    await asyncio.to_thread(answered.wait, 20)
    await client.close()
    with pytest.raises(ClientClosedError):
        await waiting


@pytest.mark.parametrize(
    "wrong",
    [
        {"connect_timeout": timedelta()},
        {"read_timeout": timedelta(seconds=-1)},
        {"total_timeout": timedelta()},
        {"connections": 0},
        {"largest_answer": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TransportOptions(**wrong)
