"""What a receiver does with good and bad pushes, the same through ASGI and WSGI."""

import asyncio
import base64
import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from firmcast_sdk import (
    FirmwareState,
    FirmwareStateChanged,
    FirmwareUpgradeEnded,
    MemoryDeliveryStore,
    Outcome,
    PushKey,
    Receiver,
    SoftwareState,
    Standing,
)
from firmcast_sdk.testing import Platform, reordered

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"t" * 24).decode()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(params=["asgi", "wsgi"])
def platform_for(request):
    """Makes a platform that pushes at a receiver through one of its two interfaces."""
    return lambda receiver, **options: Platform(
        **{request.param: getattr(receiver, request.param)}, clock=lambda: NOW, **options
    )


@pytest.fixture
def seen():
    return []


@pytest.fixture(params=["sync", "async"])
def receiver(request, seen):
    """A receiver that writes down every event, with handlers of either kind."""
    receiver = Receiver(clock=lambda: NOW)
    if request.param == "sync":
        handler = seen.append
    else:

        async def handler(event):
            await asyncio.sleep(0)
            seen.append(event)

    receiver.on_firmware_state(handler)
    receiver.on_firmware_result(handler)
    receiver.on_software_state(handler)
    receiver.on_software_result(handler)
    return receiver


def test_a_whole_upgrade_arrives_in_order(platform_for, receiver, seen):
    platform = platform_for(receiver)
    answers = platform.send_all(platform.firmware_upgrade("device-1", Outcome.FAILED))
    assert [(answer.status, answer.json()) for answer in answers] == [(200, {"result": "accepted"})] * 5
    assert [event.state for event in seen[:4]] == [
        FirmwareState.DOWNLOADING,
        FirmwareState.DOWNLOADED,
        FirmwareState.UPDATING,
        FirmwareState.IDLE,
    ]
    assert isinstance(seen[4], FirmwareUpgradeEnded)
    assert seen[4].outcome is Outcome.FAILED
    assert [event.sequence for event in seen] == [1, 2, 3, 4, 5]


def test_software_events_arrive(platform_for, receiver, seen):
    platform = platform_for(receiver)
    pushes = [platform.software_state("d", state) for state in SoftwareState]
    platform.send_all([*pushes, platform.software_result("d")])
    assert [event.state for event in seen[:-1]] == list(SoftwareState)
    assert seen[-1].outcome is Outcome.SUCCEEDED


def test_a_repeated_push_is_answered_without_its_handler(platform_for, receiver, seen):
    platform = platform_for(receiver)
    push = platform.firmware_state("d", FirmwareState.DOWNLOADING)
    answers = platform.send_all([push, push.again(), push.replayed()])
    assert [answer.json()["result"] for answer in answers] == ["accepted", "duplicate", "duplicate"]
    assert len(seen) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_and_doubled_upgrade_never_goes_back(platform_for, receiver, seen, seed):
    platform = platform_for(receiver)
    pushes = platform.firmware_upgrade("d")
    answers = platform.send_all(reordered([*pushes, *pushes], seed=seed))
    assert {answer.status for answer in answers} == {200}
    sequences = [event.sequence for event in seen]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == 5


def test_a_step_that_was_overtaken_is_answered_without_its_handler(platform_for, receiver, seen, caplog):
    platform = platform_for(receiver)
    first, second, third = platform.firmware_upgrade("d")[:3]
    results = [answer.json()["result"] for answer in platform.send_all([first, third, second, third.again()])]
    assert results == ["accepted", "accepted", "superseded", "duplicate"]
    assert [event.sequence for event in seen] == [1, 3]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "device_id='d', sequence=2" in caplog.text


def test_a_replay_is_handled_again_when_that_is_wished(platform_for, seen):
    receiver = Receiver(replays="handle")
    receiver.on_firmware_state(seen.append)
    platform = platform_for(receiver)
    first, second = platform.firmware_upgrade("d")[:2]
    pushes = [first, second, first.replayed(), second.replayed(), first.again()]
    results = [answer.json()["result"] for answer in platform.send_all(pushes)]
    assert results == ["accepted"] * 4 + ["duplicate"]
    assert [(event.sequence, event.replay) for event in seen] == [(1, False), (2, False), (1, True), (2, True)]


def test_a_push_with_a_number_alone_is_known_by_it(platform_for, receiver, seen):
    platform = platform_for(receiver)
    push = replace(platform.firmware_state("d", FirmwareState.IDLE), event_id="")
    assert [platform.send(push).json()["result"] for _ in range(2)] == ["accepted", "duplicate"]


def test_another_device_goes_its_own_way(platform_for, receiver, seen):
    platform = platform_for(receiver)
    pushes = [*reversed(platform.firmware_upgrade("d")[:2]), *platform.firmware_upgrade("e")[:2]]
    assert [platform.send(push).json()["result"] for push in pushes] == [
        "accepted",
        "superseded",
        "accepted",
        "accepted",
    ]


def test_a_callback_test_is_answered_without_a_handler(platform_for, seen):
    receiver = Receiver(secrets=[SECRET], clock=lambda: NOW)
    receiver.on_firmware_state(seen.append)
    platform = platform_for(receiver, secrets=[SECRET])
    push = platform.callback_test()
    answer = platform.send(push)
    assert (answer.status, answer.json()["result"]) == (200, "tested")
    assert platform.send(push.forged()).status == 401
    assert seen == []


def test_without_deduplication_every_copy_is_handled(platform_for, seen):
    receiver = Receiver(deduplicate=False)
    receiver.on_firmware_state(seen.append)
    platform = platform_for(receiver)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    platform.send_all([push, push.again()])
    assert [event.attempt for event in seen] == [1, 2]


def test_a_failing_handler_makes_the_platform_come_again(platform_for, seen, caplog):
    receiver = Receiver()

    @receiver.on_firmware_state
    def fail_once(event: FirmwareStateChanged) -> None:
        seen.append(event)
        if len(seen) == 1:
            raise ZeroDivisionError("secret detail")

    platform = platform_for(receiver)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    with caplog.at_level(logging.ERROR):
        first = platform.send(push)
    assert (first.status, first.json()["error"]) == (500, "handler_failed")
    assert b"secret detail" not in first.body
    assert "ZeroDivisionError" in caplog.text
    assert platform.send(push.again()).json() == {"result": "accepted"}
    assert platform.send(push.again()).json() == {"result": "duplicate"}
    assert [event.attempt for event in seen] == [1, 2]


@pytest.mark.parametrize("failure", [StopIteration, StopAsyncIteration, KeyError, asyncio.TimeoutError])
def test_whatever_a_handler_raises_is_answered(platform_for, failure, caplog):
    receiver = Receiver()

    def handler(event):
        raise failure

    receiver.on_firmware_state(handler)
    platform = platform_for(receiver)
    assert platform.send(platform.firmware_state("d", FirmwareState.IDLE)).status == 500
    assert caplog.records


def test_an_event_without_a_handler_is_ignored_on_purpose(platform_for):
    platform = platform_for(Receiver())
    answer = platform.send(platform.firmware_result("d"))
    assert (answer.status, answer.json()["result"]) == (200, "ignored")


def test_an_unknown_type_is_ignored_on_purpose(platform_for, receiver, seen):
    platform = platform_for(receiver)
    push = platform.firmware_result("d").with_body(b'{"notifyType":"somethingNew","x":1}')
    answer = platform.send(push)
    assert (answer.status, answer.json()["result"]) == (200, "ignored")
    assert seen == []


FIELDS = {
    "notifyType": "fwUpgradeStateChangeNotify",
    "deviceId": "d",
    "appId": "a",
    "operationId": "o",
    "subOperationId": "s",
    "step": "1",
    "stepDesc": "downloading",
}


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        (b"", "empty_body", None),
        (b"  \r\n", "empty_body", None),
        (b"not json", "not_json", None),
        (b"[1]", "not_an_object", None),
        (b"{}", "missing_field", "notifyType"),
        (msgspec.json.encode({k: v for k, v in FIELDS.items() if k != "step"}), "missing_field", "step"),
        (msgspec.json.encode(FIELDS | {"deviceId": ["d"]}), "wrong_type", "deviceId"),
        (msgspec.json.encode(FIELDS | {"notifyType": {}}), "wrong_type", "notifyType"),
        (msgspec.json.encode(FIELDS | {"step": "9"}), "invalid_value", "step"),
        (b"[" * 50_000, "not_json", None),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(platform_for, receiver, seen, body, error, field):
    platform = platform_for(receiver)
    answer = platform.send(platform.firmware_result("d").with_body(body))
    assert answer.status == 400
    assert (answer.json()["error"], answer.json().get("field")) == (error, field)
    assert seen == []


@pytest.mark.parametrize("size", [65_537, 10_000_000])
def test_a_large_body_is_refused(platform_for, receiver, size):
    answer = platform_for(receiver).send(platform_for(receiver).firmware_result("d").with_body(b"x" * size))
    assert (answer.status, answer.json()["error"]) == (413, "body_too_large")


def test_a_body_of_just_the_limit_is_read(platform_for, seen):
    body = msgspec.json.encode(FIELDS)
    receiver = Receiver(size_limit=len(body))
    receiver.on_firmware_state(seen.append)
    platform = platform_for(receiver)
    push = platform.firmware_result("d").with_body(body)
    assert platform.send(push).status == 200
    assert platform.send(push.with_body(body + b" ")).status == 413


@pytest.mark.parametrize("name", ["state_change_pretty", "state_change_spaced", "result_capital_status"])
def test_every_published_form_is_received(platform_for, receiver, seen, golden, name):
    platform = platform_for(receiver)
    push = platform.firmware_result("d").with_body(golden(f"fw_upgrade_{name}.json"))
    assert platform.send(push).status == 200
    assert len(seen) == 1


class TestSignatures:
    @pytest.fixture
    def receiver(self, seen):
        receiver = Receiver(secrets=[OTHER, SECRET], clock=lambda: NOW)
        receiver.on_firmware_state(seen.append)
        return receiver

    def test_a_signed_push_is_taken(self, platform_for, receiver, seen):
        platform = platform_for(receiver, secrets=[SECRET])
        assert platform.send(platform.firmware_state("d", FirmwareState.IDLE)).status == 200
        assert len(seen) == 1

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            (lambda push: push.forged(), "signature_mismatch"),
            (lambda push: push.delayed(timedelta(minutes=6)), "signature_timestamp"),
            (lambda push: push.delayed(-timedelta(minutes=6)), "signature_timestamp"),
        ],
    )
    def test_a_bad_signature_is_refused(self, platform_for, receiver, seen, change, error):
        platform = platform_for(receiver, secrets=[SECRET])
        answer = platform.send(change(platform.firmware_state("d", FirmwareState.IDLE)))
        assert (answer.status, answer.json()["error"]) == (401, error)
        assert seen == []

    def test_an_unsigned_push_is_refused(self, platform_for, receiver, seen):
        platform = platform_for(receiver)
        answer = platform.send(platform.firmware_state("d", FirmwareState.IDLE))
        assert (answer.status, answer.json()["error"]) == (401, "signature_missing")
        assert seen == []

    def test_a_refused_copy_does_not_use_up_the_id(self, platform_for, receiver, seen):
        platform = platform_for(receiver, secrets=[SECRET])
        push = platform.firmware_state("d", FirmwareState.IDLE)
        assert platform.send(push.forged()).status == 401
        assert platform.send(push).json() == {"result": "accepted"}


async def test_the_same_push_twice_at_once_runs_once(seen):
    receiver = Receiver()
    running, go_on = asyncio.Event(), asyncio.Event()

    @receiver.on_firmware_state
    async def slow(event: FirmwareStateChanged) -> None:
        seen.append(event)
        running.set()
        await go_on.wait()

    platform = Platform(asgi=receiver.asgi)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    first = asyncio.create_task(platform.send_async(push))
    await running.wait()
    second = await platform.send_async(push.again())
    assert (second.status, second.json()["error"]) == (503, "in_flight")
    go_on.set()
    assert (await first).status == 200
    assert (await platform.send_async(push.again())).json() == {"result": "duplicate"}
    assert len(seen) == 1


def test_the_same_push_in_two_threads_runs_once(seen):
    receiver = Receiver()
    running, go_on = threading.Event(), threading.Event()

    @receiver.on_firmware_state
    def slow(event: FirmwareStateChanged) -> None:
        seen.append(event)
        running.set()
        go_on.wait(10)

    platform = Platform(wsgi=receiver.wsgi)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(platform.send(push).status))
    thread.start()
    assert running.wait(10)
    assert platform.send(push.again()).status == 503
    go_on.set()
    thread.join(10)
    assert statuses == [200]
    assert len(seen) == 1


async def test_a_push_given_up_by_the_server_may_come_again(seen):
    receiver = Receiver()
    running = asyncio.Event()

    @receiver.on_firmware_state
    async def hang_first(event: FirmwareStateChanged) -> None:
        seen.append(event)
        if len(seen) == 1:
            running.set()
            await asyncio.Event().wait()

    platform = Platform(asgi=receiver.asgi)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    task = asyncio.create_task(platform.send_async(push))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await platform.send_async(push.again())).status == 200


async def test_a_device_stays_taken_while_the_thread_of_a_given_up_request_runs(seen):
    receiver = Receiver()
    running, go_on = threading.Event(), threading.Event()

    @receiver.on_firmware_state
    def slow(event: FirmwareStateChanged) -> None:
        seen.append(event)
        running.set()
        go_on.wait(10)

    platform = Platform(asgi=receiver.asgi)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    task = asyncio.create_task(platform.send_async(push))
    assert await asyncio.to_thread(running.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await platform.send_async(push.again())).status == 503
    go_on.set()
    async with asyncio.timeout(10):
        while (answer := await platform.send_async(push.again())).status == 503:
            await asyncio.sleep(0)
    assert answer.json() == {"result": "duplicate"}
    assert len(seen) == 1


@pytest.mark.parametrize("failure", [ValueError, SystemExit])
async def test_a_thread_that_fails_after_its_request_was_given_up_lets_its_device_go(failure, caplog):
    receiver = Receiver()
    running, go_on = threading.Event(), threading.Event()

    @receiver.on_firmware_state
    def fail(event: FirmwareStateChanged) -> None:
        if event.attempt == 1:
            running.set()
            go_on.wait(10)
            raise failure

    platform = Platform(asgi=receiver.asgi)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    task = asyncio.create_task(platform.send_async(push))
    assert await asyncio.to_thread(running.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    async with asyncio.timeout(10):
        while (answer := await platform.send_async(push.again())).status == 503:
            await asyncio.sleep(0)
    assert answer.json() == {"result": "accepted"}


def test_a_handler_that_waits_for_what_was_cancelled_has_failed(platform_for, caplog):
    receiver = Receiver()

    @receiver.on_firmware_state
    async def wait(event: FirmwareStateChanged) -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    platform = platform_for(receiver)
    answer = platform.send(platform.firmware_state("d", FirmwareState.IDLE))
    assert (answer.status, answer.json()["error"]) == (500, "handler_failed")


class _BrokenStore:
    def __init__(self, broken):
        self.broken = broken
        self.released = []

    def take(self, claim):
        if "take" in self.broken:
            raise OSError("disk")
        return Standing.NEW

    def keep(self, claim):
        if "keep" in self.broken:
            raise OSError("disk")

    def release(self, claim):
        self.released.append(claim.key)
        if "release" in self.broken:
            raise OSError("disk")


@pytest.mark.parametrize(("broken", "calls"), [(["take"], 0), (["keep"], 1), (["keep", "release"], 1)])
def test_a_store_that_fails_never_loses_a_push(platform_for, seen, broken, calls, caplog):
    receiver = Receiver(deduplicate=_BrokenStore(broken))
    receiver.on_firmware_state(seen.append)
    platform = platform_for(receiver)
    answer = platform.send(platform.firmware_state("d", FirmwareState.IDLE))
    assert (answer.status, answer.json()["error"]) == (500, "store_failed")
    assert len(seen) == calls


def test_a_store_is_told_device_and_sequence(platform_for, seen):
    store = _BrokenStore([])
    receiver = Receiver(deduplicate=store)

    def fail(event):
        raise ValueError

    receiver.on_firmware_state(fail)
    platform = platform_for(receiver)
    platform.send(platform.firmware_state("d", FirmwareState.IDLE))
    assert store.released == [PushKey(event_id="d-1", device_id="d", sequence=1)]


def test_one_handler_for_each_kind():
    receiver = Receiver()
    receiver.on_firmware_state(print)
    with pytest.raises(ValueError, match="already set"):
        receiver.on_firmware_state(print)


@pytest.mark.parametrize(
    "options", [{"secrets": ["whsec_"]}, {"secrets": ["whsec_!"]}, {"size_limit": 0}, {"replays": "some"}], ids=str
)
def test_options_without_sense_are_refused(options):
    with pytest.raises(ValueError):
        Receiver(**options)


def test_one_secret_in_place_of_a_list_is_refused():
    with pytest.raises(TypeError):
        Receiver(secrets=SECRET)


def test_memory_needs_a_capacity():
    with pytest.raises(ValueError):
        MemoryDeliveryStore(capacity=0)
