"""A subscription and its application change with more than a thousand deliveries queued and attempts under way.

Whatever changes: what is under way ends and counts, the next attempt goes by what holds then, nothing is lost, nothing
overtakes, and nothing is sent twice.
"""

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from standardwebhooks import Webhook, WebhookVerificationError

from firmcast.applications import use_cases as applications
from firmcast.push import standings
from firmcast.push.callbacks import callbacks_of
from firmcast.push.retry import FailureReason
from firmcast.rest.certificates import make_certificate
from firmcast.subscriptions import use_cases as subscriptions

DEVICES = [f"d{number}" for number in range(40)]
EACH = 30
QUEUED = len(DEVICES) * EACH
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Flow:
    """Attempts that wait for a word before they are answered; and what came to which callback, in order."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: list[tuple[str, int]] = field(default_factory=list)

    def script(self):
        async def answer(received, writer: asyncio.StreamWriter) -> bool:
            self.arrived.append((json.loads(received.body)["deviceId"], int(received.headers["firmcast-sequence"])))
            await self.released.wait()
            writer.write(OK)
            return True

        return answer

    async def begin(self, world, *callbacks) -> int:
        """Queue everything, and return how many attempts are under way when there are some."""
        for callback in callbacks:
            callback.script = self.script()
        for _ in range(EACH):
            await world.happen(*DEVICES)
        (dispatcher,) = world.dispatchers
        while len(self.arrived) < 4 or len(self.arrived) < dispatcher.in_flight:
            await asyncio.sleep(0.01)
        return dispatcher.in_flight

    async def end(self, world) -> None:
        """Let everything be answered, and hold that each event came once, in order."""
        self.released.set()
        await world.settled()
        assert len(self.arrived) == QUEUED
        for device in DEVICES:
            assert [sequence for name, sequence in self.arrived if name == device] == list(range(1, EACH + 1))


@pytest.fixture
async def flow(world) -> Flow:
    await world.dispatch()
    return Flow()


async def landed(world) -> None:
    """Wait until nothing is under way, and what came of it is in the store."""
    (dispatcher,) = world.dispatchers
    while dispatcher.in_flight:
        await asyncio.sleep(0.01)
    await dispatcher._writer.written()


async def test_delete(world, callback, flow) -> None:
    subscription = await world.subscribe(callback.url())
    under_way = await flow.begin(world, callback)
    with structlog.testing.capture_logs() as logs:
        await world.database.write(subscriptions.remove, world.application_id, [subscription])
        begun = len(callback.requests)
        assert begun == under_way
        await world.happen(*DEVICES)
        await world.settled()
        while not (said := [entry for entry in logs if entry["event"] == "push.subscription_discarded"]):
            await asyncio.sleep(0.01)
    assert said == [
        {
            "event": "push.subscription_discarded",
            "log_level": "info",
            "subscription_id": subscription,
            "deliveries": QUEUED,
            "dead_letters": 0,
        }
    ]
    flow.released.set()
    await landed(world)
    assert len(callback.requests) == begun, "nothing was begun after the commit"
    attempts = await world.attempts()
    assert [attempt.failure for attempt in attempts] == [None] * begun, "what was under way ended, and is in the log"
    assert await world.pending() == 0


async def test_pause_and_resume(world, callback, new_callback, flow) -> None:
    subscription = await world.subscribe(callback.url())
    under_way = await flow.begin(world, callback)
    await world.database.write(standings.pause, subscription, datetime.now(UTC))
    flow.released.set()
    await landed(world)
    await world.tell_another(await new_callback())
    assert (len(callback.requests), await world.pending()) == (under_way, QUEUED - under_way)
    flow.released.clear()
    await world.database.write(standings.resume, subscription)
    while len(callback.requests) == under_way:
        await asyncio.sleep(0.01)
    await flow.end(world)


async def test_a_new_url(world, callback, new_callback, flow) -> None:
    elsewhere = await new_callback()
    await world.subscribe(callback.url())
    under_way = await flow.begin(world, callback, elsewhere)
    await world.subscribe(elsewhere.url("/moved"))
    await flow.end(world)
    assert (len(callback.requests), len(elsewhere.requests)) == (under_way, QUEUED - under_way)


@pytest.mark.parametrize("overlap", [timedelta(hours=1), timedelta(0)])
async def test_a_new_signing_secret(world, callback, flow, overlap: timedelta) -> None:
    await world.subscribe(callback.url())
    under_way = await flow.begin(world, callback)
    rotate, now = applications.rotate_signing_secret, datetime.now(UTC)
    secret, _ = await world.database.write(rotate, world.application_id, world.sealer, now, overlap)
    await flow.end(world)
    for number, received in enumerate(callback.requests):
        if number >= under_way:
            assert Webhook(secret).verify(received.body, received.headers)
        if number < under_way or overlap:
            assert Webhook(world.signing_secret).verify(received.body, received.headers)
        else:
            with pytest.raises(WebhookVerificationError):
                Webhook(world.signing_secret).verify(received.body, received.headers)


async def test_nothing_is_signed_with_a_secret_that_was_ended_while_the_new_one_is_read(
    world, callback, flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe(callback.url())
    under_way = await flow.begin(world, callback)
    asked, gate = asyncio.Event(), asyncio.Event()
    read = world.database.read

    async def slow_read(query, *arguments):
        if query is callbacks_of:
            asked.set()
            await gate.wait()
        return await read(query, *arguments)

    monkeypatch.setattr(world.database, "read", slow_read)
    rotate, now = applications.rotate_signing_secret, datetime.now(UTC)
    secret, _ = await world.database.write(rotate, world.application_id, world.sealer, now, timedelta(0))
    await asked.wait()
    flow.released.set()
    await landed(world)
    assert len(callback.requests) == under_way
    gate.set()
    await flow.end(world)
    for received in callback.requests[under_way:]:
        assert Webhook(secret).verify(received.body, received.headers)


async def test_another_authority(world, tls_callback, authority, flow, tmp_path) -> None:
    stranger = make_certificate(tmp_path / "stranger", ["localhost"], datetime.now(UTC)).authority
    trust = applications.set_callback_ca
    await world.database.write(trust, world.application_id, authority.certificate.decode())
    await world.subscribe(tls_callback.url())
    under_way = await flow.begin(world, tls_callback)
    await world.database.write(trust, world.application_id, stranger.read_text())
    flow.released.set()
    while not [attempt for attempt in await world.attempts() if attempt.failure is FailureReason.TLS]:
        await asyncio.sleep(0.01)
    await landed(world)
    assert len(tls_callback.requests) == under_way, "no connection of before is used any more"
    await world.database.write(trust, world.application_id, authority.certificate.decode())
    await flow.end(world)


async def test_another_client_certificate(world, tls_context: ssl.SSLContext, authority, new_callback, flow) -> None:
    tls_context.verify_mode = ssl.CERT_REQUIRED
    tls_context.load_verify_locations(cadata=authority.certificate.decode())
    callback = await new_callback(tls_context)
    await world.database.write(applications.set_callback_ca, world.application_id, authority.certificate.decode())
    await present(world, authority, "first")
    await world.subscribe(callback.url())
    under_way = await flow.begin(world, callback)
    await present(world, authority, "second")
    await flow.end(world)
    shown = [received.client for received in callback.requests]
    assert shown == ["first"] * under_way + ["second"] * (QUEUED - under_way)


async def present(world, authority, name: str) -> None:
    chain, key = (text.decode() for text in authority.issue(name))
    await world.database.write(
        applications.set_client_certificate, world.application_id, chain, key, world.sealer, datetime.now(UTC)
    )
