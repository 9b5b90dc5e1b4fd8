"""From an event in the store to the receiver and back, with a real store and real sockets."""

import asyncio
import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from firmcast.applications import use_cases as applications
from firmcast.clock import SystemClock
from firmcast.db.page import Page
from firmcast.db.statement import portable
from firmcast.errors import NotFoundError, StoreBrokenError
from firmcast.events.model import EventType, FirmwareUpgradeEnded, Outcome
from firmcast.ids import SubscriptionId
from firmcast.push import use_cases as push
from firmcast.push.callbacks import callbacks_of
from firmcast.push.model import DeliveryFilter
from firmcast.push.retry import DeadReason, FailureReason
from firmcast.push.scheduling.concurrency import ConcurrencyPolicy
from firmcast.subscriptions import use_cases as subscriptions

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def status(code: int, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n{lines}\r\n".encode()


def device_of(received) -> str:
    return json.loads(received.body)["deviceId"]


def unused_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


DEVICES = [f"d{number}" for number in range(8)]


async def test_an_event_arrives_signed_and_numbered(world, callback) -> None:
    await world.dispatch()
    await world.subscribe(callback.url())
    (event,) = await world.happen("d1", synthesised=True)
    await world.settled()
    (received,) = callback.requests
    assert received.line == "POST /v1.0.0/messageReceiver HTTP/1.1"
    assert json.loads(received.body) == {
        "notifyType": "fwUpgradeStateChangeNotify",
        "deviceId": "d1",
        "appId": world.application_id,
        "operationId": "task",
        "subOperationId": "upgrade-d1",
        "step": "1",
        "stepDesc": "downloading",
    }
    assert received.headers["webhook-id"] == event.message_id
    assert received.headers["firmcast-sequence"] == "1"
    assert received.headers["firmcast-attempt"] == "1"
    assert received.headers["firmcast-synthesised"] == "true"
    assert Webhook(world.signing_secret).verify(received.body, received.headers)
    (attempt,) = await world.attempts()
    assert (attempt.number, attempt.status, attempt.failure) == (1, 200, None)
    assert attempt.address == "127.0.0.1"


async def test_each_type_goes_to_its_own_subscription_and_nobody_elses(world, new_callback) -> None:
    await world.dispatch()
    states, ends = await new_callback(), await new_callback()
    await world.happen("before")
    await world.subscribe(states.url())
    await world.subscribe(ends.url(), EventType.FIRMWARE_UPGRADE_ENDED)
    fact = FirmwareUpgradeEnded(
        outcome=Outcome.SUCCEEDED,
        description="",
        source_version="1",
        target_version="2",
        current_version="2",
        duration=3,
    )
    await world.happen("d1")
    await world.happen("d1", fact=fact)
    await world.settled()
    assert states.lanes() == {"d1": [1]}
    assert ends.lanes() == {"d1": [2]}


async def test_what_was_left_by_an_earlier_process_is_delivered_in_order(world, callback) -> None:
    await world.subscribe(callback.url())
    for _ in range(3):
        await world.happen(*DEVICES)
    await world.dispatch()
    await world.happen(*DEVICES)
    await world.settled()
    assert callback.lanes() == {device: [1, 2, 3, 4] for device in DEVICES}
    assert len(callback.requests) == 32


async def test_a_large_backlog_is_read_a_window_at_a_time(world, callback) -> None:
    world.settings = world.settings.model_copy(update={"window": 100})
    await world.subscribe(callback.url())
    for _ in range(100):
        await world.happen(*DEVICES)
    dispatcher = await world.dispatch()
    for _ in range(20):
        await world.happen(*DEVICES)
        assert dispatcher._lanes.queued <= 100
    await world.settled()
    assert callback.lanes() == {device: list(range(1, 121)) for device in DEVICES}
    assert len(callback.requests) == 960


async def test_a_500_for_one_device_delays_that_device_only(world, callback) -> None:
    mended = asyncio.Event()

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        writer.write(status(500) if device_of(received) == "d0" and not mended.is_set() else OK)
        return True

    callback.script = script
    await world.dispatch()
    await world.subscribe(callback.url())
    for _ in range(5):
        await world.happen(*DEVICES)
    while await world.pending() > 5:
        await asyncio.sleep(0.01)
    lanes = callback.lanes()
    assert lanes.pop("d0") == [1], "the head alone is tried"
    assert lanes == {device: [1, 2, 3, 4, 5] for device in DEVICES[1:]}
    pending, _ = await world.database.read(push.pending, DeliveryFilter(), Page(offset=0, limit=1))
    assert (pending[0].attempts, pending[0].reason) == (1, FailureReason.SERVER_ERROR)
    mended.set()
    await world.settled()
    assert callback.lanes() == {device: [1, 2, 3, 4, 5] for device in DEVICES}
    tries = [item for item in callback.requests if device_of(item) == "d0"]
    assert [item.headers["firmcast-attempt"] for item in tries[:2]] == ["1", "2"]
    assert tries[0].headers["webhook-id"] == tries[1].headers["webhook-id"]
    assert tries[0].body == tries[1].body


async def test_a_receiver_that_was_down_gets_everything_in_order_and_soon(world, new_callback) -> None:
    port = unused_port()
    await world.dispatch()
    await world.subscribe(f"http://127.0.0.1:{port}/x")
    for _ in range(10):
        await world.happen(*DEVICES)
    while not any(attempt.failure is FailureReason.CONNECT for attempt in await world.attempts()):
        await asyncio.sleep(0.01)
    callback = await new_callback(port=port)
    await world.happen(*DEVICES)
    await world.settled()
    assert callback.lanes() == {device: list(range(1, 12)) for device in DEVICES}


async def test_a_dead_receiver_delays_nobody_else(world, callback, new_callback) -> None:
    hanging = await new_callback()

    async def script(_received, _writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return False

    hanging.script = script
    await world.dispatch()
    dead = await world.database.write(applications.create, "dead", world.sealer, datetime.now(UTC))
    healthy_application = world.application_id
    world.application_id = dead.application_id
    await world.subscribe(hanging.url())
    await world.happen(*(f"h{number}" for number in range(300)))
    world.application_id = healthy_application
    subscription = await world.subscribe(callback.url())
    for _ in range(5):
        await world.happen(*DEVICES)
    while (await world.database.read(push.pending, DeliveryFilter(subscription_id=subscription), Page()))[1]:
        await asyncio.sleep(0.01)
    assert callback.lanes() == {device: [1, 2, 3, 4, 5] for device in DEVICES}
    assert len(hanging.requests) == ConcurrencyPolicy().start


async def test_after_a_kill_everything_arrives_at_least_once_and_in_order(world, callback) -> None:
    release = asyncio.Event()

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) % 7 == 0 and not release.is_set():
            await release.wait()
        writer.write(OK)
        return True

    callback.script = script
    await world.subscribe(callback.url())
    for _ in range(10):
        dispatcher = await world.dispatch()
        before = len(callback.requests)
        await world.happen(*DEVICES)
        while len(callback.requests) < before + 3:
            await asyncio.sleep(0)
        world.kill(dispatcher)
    release.set()
    await world.dispatch()
    await world.settled()
    assert callback.lanes() == {device: list(range(1, 11)) for device in DEVICES}
    bodies = {}
    for received in callback.requests:
        assert bodies.setdefault(received.headers["webhook-id"], received.body) == received.body
    assert len(bodies) == 80


async def test_attempts_are_counted_over_a_restart(world, callback) -> None:
    answers = iter([500, 500, 200])

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        writer.write(status(next(answers)))
        return True

    callback.script = script
    await world.subscribe(callback.url())
    await world.happen("d1")
    for number in (1, 2):
        dispatcher = await world.dispatch()
        while len(await world.attempts()) < number:
            await asyncio.sleep(0.01)
        world.kill(dispatcher)
    await world.dispatch()
    await world.settled()
    assert [attempt.number for attempt in await world.attempts()] == [1, 2, 3]


async def test_what_was_given_up_can_be_sent_again(world, callback) -> None:
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(0)})
    callback.script = lambda _received, writer: answer(writer, status(500))
    await world.dispatch()
    subscription = await world.subscribe(callback.url())
    (event,) = await world.happen("d1")
    await world.happen("d1", "d2")
    while len(await world.dead()) < 3:
        await asyncio.sleep(0.01)
    first = (await world.dead())[0]
    expected = (event.event_id, DeadReason.EXPIRED, FailureReason.SERVER_ERROR)
    assert (first.event_id, first.reason, first.failure) == expected
    assert (first.attempts, await world.pending()) == (1, 0)
    callback.requests.clear()
    callback.script = lambda _received, writer: answer(writer, OK)
    await world.database.write(push.resend, event.event_id, subscription)
    await world.settled()
    assert callback.lanes() == {"d1": [1]}
    count, last = await world.database.write(push.resend_dead_letters, subscription)
    assert count == 2
    assert await world.database.write(push.resend_dead_letters, subscription, last) == (0, None)
    await world.settled()
    assert callback.lanes() == {"d1": [1, 2], "d2": [1]}
    assert await world.dead() == []


async def answer(writer: asyncio.StreamWriter, text: bytes) -> bool:
    writer.write(text)
    return True


async def test_what_was_delivered_can_be_sent_again_and_what_never_was_cannot(world, callback) -> None:
    await world.dispatch()
    (unheard,) = await world.happen("d1")
    subscription = await world.subscribe(callback.url())
    (event,) = await world.happen("d1")
    await world.settled()
    await world.database.write(push.resend, event.event_id, subscription)
    await world.settled()
    assert [received.headers["webhook-id"] for received in callback.requests] == [event.message_id] * 2
    with pytest.raises(NotFoundError):
        await world.database.write(push.resend, unheard.event_id, subscription)
    with pytest.raises(NotFoundError):
        await world.database.write(push.resend, event.event_id, SubscriptionId("nobody"))
    assert await world.pending() == 0


ANSWERS = {
    "empty": b"",
    "short": b'{"result": "accepted"}\n',
    "umlauts": "gr\u00fc\u00df dich \U0001f600".encode(),
    "long": b"x" * 3000,
    "cut": b"x" + "\u00fc".encode() * 1000,
    "zeros": b"a\0b\r\n",
    "bytes": bytes(range(256)),
}


async def test_the_first_kib_of_every_answer_is_in_the_log(world, callback) -> None:
    async def script(received, writer: asyncio.StreamWriter) -> bool:
        said = ANSWERS[json.loads(received.body)["deviceId"]]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        return True

    callback.script = script
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen(*ANSWERS)
    await world.settled()
    logged = {attempt.device_id: (attempt.failure, attempt.answer) for attempt in await world.attempts()}
    assert logged == {device: (None, said[:1024]) for device, said in ANSWERS.items()}


async def test_a_receiver_that_asks_for_time_gets_it(world, callback) -> None:
    times: list[float] = []
    loop = asyncio.get_running_loop()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        times.append(loop.time())
        writer.write(status(429, "Retry-After: 1") if len(times) == 1 else OK)
        return True

    callback.script = script
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d0")
    while not await world.attempts():
        await asyncio.sleep(0.01)
    await world.happen(*DEVICES)
    await world.settled()
    assert times[1] - times[0] >= 0.99
    assert callback.requests[1].headers["firmcast-attempt"] == "1", "the throttle window spends no attempt"
    assert callback.lanes() == {"d0": [1, 2]} | {device: [1] for device in DEVICES[1:]}


@pytest.mark.parametrize("change", ["restart", "another_type", "headers"])
@pytest.mark.parametrize("as_date", [False, True])
async def test_a_receiver_that_asks_for_time_gets_it_whatever_happens(
    world, callback, change: str, as_date: bool
) -> None:
    """No restart, no subscription that joins its group and no news of the application make the platform forget it."""
    named = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    asked_for = f"Retry-After: {format_datetime(named, usegmt=True) if as_date else 3}"
    refused = asyncio.Event()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        writer.write(OK if refused.is_set() else status(503, asked_for))
        refused.set()
        return True

    callback.script = script
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d0")
    while not await world.attempts():
        await asyncio.sleep(0.01)
    if change == "restart":
        world.kill(dispatcher)
        await world.dispatch()
    elif change == "headers":
        headers = {"authorization": "Bearer known"}
        await world.database.write(applications.set_callback_headers, world.application_id, headers, world.sealer)
    else:
        await world.subscribe(callback.url(), EventType.FIRMWARE_UPGRADE_ENDED)
    await world.happen(*DEVICES)
    await world.settled()
    first, second = (await world.attempts())[:2]
    assert second.attempted_at >= (named if as_date else first.attempted_at + timedelta(seconds=2.99))
    assert [attempt.number for attempt in await world.attempts()] == [1] * 10
    assert callback.lanes() == {"d0": [1, 2]} | {device: [1] for device in DEVICES[1:]}


class SetClock(SystemClock):
    """A clock whose wall time somebody sets."""

    offset = timedelta()

    def now(self) -> datetime:
        return super().now() + self.offset


async def test_a_date_that_a_receiver_names_is_waited_for_by_a_clock_that_was_set_since_the_start(
    world, callback
) -> None:
    clock, times = SetClock(), []

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        times.append(clock.now())
        named = format_datetime(times[0].replace(microsecond=0) + timedelta(seconds=2), usegmt=True)
        writer.write(status(503, f"Retry-After: {named}") if len(times) == 1 else OK)
        return True

    callback.script = script
    await world.dispatch(clock=clock)
    clock.offset = timedelta(hours=1)
    await world.subscribe(callback.url())
    await world.happen("d0")
    async with asyncio.timeout(10):
        await world.settled()
    assert times[1] >= times[0].replace(microsecond=0) + timedelta(seconds=2)


AN_HOUR_AHEAD = portable(
    "UPDATE lane SET next_attempt_at = next_attempt_at + 3600000000,"
    " first_attempted_at = first_attempted_at + 3600000000"
)


async def test_a_time_that_a_receiver_named_by_a_clock_that_was_set_back_since_keeps_nobody_waiting(
    world, callback
) -> None:
    busy = [status(503, "Retry-After: 2")]

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        writer.write(busy.pop() if busy else OK)
        return True

    async def set_back(tx) -> None:
        assert await tx.execute(AN_HOUR_AHEAD) == 1

    callback.script = script
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d0")
    while not await world.attempts():
        await asyncio.sleep(0.01)
    await dispatcher.stop(1)
    await world.database.write(set_back)
    await world.dispatch()
    async with asyncio.timeout(15):
        await world.settled()


async def test_a_new_callback_is_used_at_the_next_attempt(world, callback) -> None:
    await world.dispatch()
    await world.subscribe(f"http://127.0.0.1:{unused_port()}/x")
    await world.happen(*DEVICES)
    while not await world.attempts():
        await asyncio.sleep(0.01)
    await world.subscribe(callback.url("/moved"))
    await world.settled()
    assert {received.line for received in callback.requests} == {"POST /moved HTTP/1.1"}
    assert callback.lanes() == {device: [1] for device in DEVICES}


async def test_an_authority_given_later_mends_a_callback(world, tls_callback, authority) -> None:
    await world.dispatch()
    await world.subscribe(tls_callback.url())
    await world.happen(*DEVICES)
    while not any(attempt.failure is FailureReason.TLS for attempt in await world.attempts()):
        await asyncio.sleep(0.01)
    pem = authority.certificate.decode()
    await world.database.write(applications.set_callback_ca, world.application_id, pem)
    await world.settled()
    assert tls_callback.lanes() == {device: [1] for device in DEVICES}


async def test_a_client_certificate_given_later_mends_a_callback(
    world, tls_context: ssl.SSLContext, authority, new_callback
) -> None:
    tls_context.verify_mode = ssl.CERT_REQUIRED
    tls_context.load_verify_locations(cadata=authority.certificate.decode())
    callback = await new_callback(tls_context)
    pem = authority.certificate.decode()
    await world.database.write(applications.set_callback_ca, world.application_id, pem)
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen(*DEVICES)
    while not await world.attempts():
        await asyncio.sleep(0.01)
    chain, key = (text.decode() for text in (authority.client_certificate, authority.client_key))
    await world.database.write(
        applications.set_client_certificate, world.application_id, chain, key, world.sealer, datetime.now(UTC)
    )
    await world.settled()
    assert callback.lanes() == {device: [1] for device in DEVICES}
    assert {received.client for received in callback.requests} == {"platform"}


async def test_pushes_carry_both_signatures_until_the_overlap_ends(world, callback) -> None:
    async def signed_times(count: int):
        """Return a push with so many signatures: the first after a rotation may be on its way already."""
        while True:
            await world.happen("d1")
            await world.settled()
            if len(callback.requests[-1].headers["webhook-signature"].split()) == count:
                return callback.requests[-1]

    await world.dispatch()
    await world.subscribe(callback.url())
    now, one, rotate = datetime.now(UTC), world.application_id, applications.rotate_signing_secret
    second, _ = await world.database.write(rotate, one, world.sealer, now, timedelta(hours=1))
    both = await signed_times(2)
    # An overlap that began so long ago that it is over.
    third, _ = await world.database.write(rotate, one, world.sealer, now - timedelta(hours=2), timedelta(hours=1))
    single = await signed_times(1)
    for secret in (world.signing_secret, second):
        assert Webhook(secret).verify(both.body, both.headers)
    assert Webhook(third).verify(single.body, single.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(second).verify(single.body, single.headers)


async def test_a_rotation_while_a_subscription_is_being_read_is_not_missed(world, callback, monkeypatch) -> None:
    was_read, go_on = asyncio.Event(), asyncio.Event()
    read = world.database.read

    async def slowly(use_case, *arguments, **named):
        found = await read(use_case, *arguments, **named)
        if use_case is callbacks_of:
            was_read.set()
            await go_on.wait()
        return found

    await world.dispatch()
    monkeypatch.setattr(world.database, "read", slowly)
    await world.subscribe(callback.url())
    await was_read.wait()
    rotate = applications.rotate_signing_secret
    await world.database.write(rotate, world.application_id, world.sealer, datetime.now(UTC), timedelta(hours=1))
    go_on.set()
    while not any(len(received.headers["webhook-signature"].split()) == 2 for received in callback.requests):
        await world.happen("d1")
        await world.settled()


@pytest.mark.parametrize("restart", [False, True])
async def test_a_subscription_that_outlives_its_application_harms_nobody(world, callback, restart: bool) -> None:
    """A call that had proven itself before its application was deleted may still subscribe."""
    dispatcher = await world.dispatch()
    gone = await world.database.write(applications.create, "gone", world.sealer, datetime.now(UTC))
    await world.database.write(applications.complete_deletion, gone.application_id)
    stays, world.application_id = world.application_id, gone.application_id
    await world.subscribe(callback.url("/gone"))
    if restart:
        await dispatcher.stop(0)
        world.dispatchers.remove(dispatcher)
        dispatcher = await world.dispatch()
    world.application_id = stays
    await world.subscribe(callback.url("/stays"))
    await world.happen("d1")
    await world.settled()
    assert [received.line.split()[1] for received in callback.requests] == ["/stays"]
    assert not dispatcher.broken.is_set()


@pytest.mark.parametrize("restart", [False, True])
async def test_a_deleted_subscription_leaves_nothing_behind(world, callback, restart: bool) -> None:
    callback.script = lambda _received, writer: answer(writer, status(500))
    dispatcher = await world.dispatch()
    subscription = await world.subscribe(callback.url())
    for _ in range(3):
        await world.happen(*DEVICES)
    while not await world.attempts():
        await asyncio.sleep(0.01)
    if restart:
        world.kill(dispatcher)
    await world.database.write(subscriptions.remove, world.application_id, [subscription])
    await world.happen(*DEVICES)
    if restart:
        dispatcher = await world.dispatch()
    await world.settled()
    while dispatcher.in_flight:
        await asyncio.sleep(0.01)
    await dispatcher._writer.written()
    rows = await world.database.read(all_lanes)
    assert rows == []
    assert not dispatcher.broken.is_set()


async def all_lanes(tx):
    return await tx.fetch(portable("SELECT * FROM lane"))


async def test_a_healthy_lane_leaves_no_row(world, callback) -> None:
    answers = iter([500] + [200] * 50)
    callback.script = lambda _received, writer: answer(writer, status(next(answers)))
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d1")
    await world.happen("d1")
    await world.settled()
    assert await world.database.read(all_lanes) == []


async def test_attempts_that_begin_in_several_turns_wait_for_no_answer(
    world, callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_arrived = asyncio.Event()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        if len(callback.requests) == len(DEVICES):
            all_arrived.set()
        await all_arrived.wait()
        writer.write(OK)
        return True

    callback.script = script
    monkeypatch.setattr("firmcast.push.dispatcher._BEGUN_TOGETHER", 3)
    await world.subscribe(callback.url())
    await world.happen(*DEVICES)
    await world.dispatch()
    await world.settled()
    assert callback.lanes() == {device: [1] for device in DEVICES}


async def test_stopping_lets_attempts_end_and_loses_nothing(world, callback) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await release.wait()
        writer.write(OK)
        return True

    callback.script = script
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d1")
    await world.happen("d1")
    await arrived.wait()
    stopping = asyncio.create_task(dispatcher.stop(10))
    await asyncio.sleep(0)
    release.set()
    await stopping
    assert (len(callback.requests), await world.pending()) == (1, 1)
    world.database._listeners.clear()
    await world.dispatch()
    await world.settled()
    assert callback.lanes() == {"d1": [1, 2]}
    assert len(callback.requests) == 2


async def test_stopping_breaks_off_what_takes_too_long(world, callback) -> None:
    arrived = asyncio.Event()

    async def script(_received, _writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await asyncio.Event().wait()
        return False

    callback.script = script
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d1")
    await arrived.wait()
    await dispatcher.stop(0.05)
    assert (await world.pending(), await world.attempts()) == (1, [])


async def test_a_store_that_fails_is_not_survived_in_silence(world, callback, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = await world.dispatch()
    await world.subscribe(callback.url())
    arrived, release = asyncio.Event(), asyncio.Event()

    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await release.wait()
        writer.write(OK)
        return True

    callback.script = script
    await world.happen("d1")
    await arrived.wait()

    async def failing_write(*_arguments: object) -> None:
        raise StoreBrokenError("no sync")

    monkeypatch.setattr(world.database, "write_apart", failing_write)
    release.set()
    await asyncio.wait_for(dispatcher.broken.wait(), 10)


async def test_an_expired_delivery_becomes_a_dead_letter_and_the_lane_goes_on(world, callback) -> None:
    world.settings = world.settings.model_copy(update={"age_limit": timedelta(milliseconds=1)})

    async def script(received, writer: asyncio.StreamWriter) -> bool:
        writer.write(status(500) if received.headers["firmcast-sequence"] == "1" else OK)
        return True

    callback.script = script
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d1")
    await world.happen("d1")
    await world.settled()
    (letter,) = await world.dead()
    assert (letter.sequence, letter.reason) == (1, DeadReason.EXPIRED)
    assert callback.requests[-1].headers["firmcast-sequence"] == "2"
