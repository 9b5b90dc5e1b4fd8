"""What attempts look like from outside, from the event in the store to the entry in the log."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from standardwebhooks import Webhook

from firmcast.applications import use_cases as applications
from firmcast.push.retry import FailureReason
from firmcast_sdk.signatures import SignatureMismatchError, verify


async def test_a_blocked_attempt_is_recorded_and_tells_nothing(world, callback) -> None:
    world.settings = world.settings.model_copy(update={"allowed_networks": ()})
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d1")
    while not (attempts := await world.attempts()):
        await asyncio.sleep(0.01)
    assert {(attempt.status, attempt.failure) for attempt in attempts} == {(None, FailureReason.BLOCKED)}
    assert {(attempt.answer, attempt.address) for attempt in attempts} == {(b"", "")}
    assert callback.connections == 0
    assert await world.pending() == 1


async def test_every_attempt_is_signed_anew_over_the_same_id_and_body(world, callback) -> None:
    arrived: list[datetime] = []

    async def script(_request, writer: asyncio.StreamWriter) -> bool:
        arrived.append(datetime.now(UTC))
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (500 if len(arrived) < 3 else 200))
        return True

    callback.script = script
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d1")
    await world.settled()
    assert len({(each.headers["webhook-id"], each.body) for each in callback.requests}) == 1
    assert [each.headers["firmcast-attempt"] for each in callback.requests] == ["1", "2", "3"]
    for received in callback.requests:
        assert Webhook(world.signing_secret).verify(received.body, received.headers)
    stamps = [int(each.headers["webhook-timestamp"]) for each in callback.requests]
    signatures = [each.headers["webhook-signature"] for each in callback.requests]
    # The two waits are more than one second together, so the first time cannot be the last one's.
    assert stamps == sorted(stamps)
    assert stamps[0] < stamps[2]
    assert signatures[0] != signatures[2]
    assert all(stamp <= moment.timestamp() for stamp, moment in zip(stamps, arrived, strict=True))


async def test_a_new_certificate_is_shown_on_a_new_connection_and_the_old_one_rests(
    world, tls_context: ssl.SSLContext, authority, new_callback
) -> None:
    tls_context.verify_mode = ssl.CERT_REQUIRED
    tls_context.load_verify_locations(cadata=authority.certificate.decode())
    callback = await new_callback(tls_context)
    one = world.application_id
    await world.database.write(applications.set_callback_ca, one, authority.certificate.decode())

    async def present(name: str) -> None:
        chain, key = (text.decode() for text in authority.issue(name))
        await world.database.write(
            applications.set_client_certificate, one, chain, key, world.sealer, datetime.now(UTC)
        )

    async def push_until(name: str) -> None:
        """Push until the certificate is seen: an attempt may be on its way when it is replaced."""
        while not callback.requests or callback.requests[-1].client != name:
            await world.happen("d1")
            await world.settled()

    await present("first")
    await world.dispatch()
    await world.subscribe(callback.url())
    await push_until("first")
    await present("second")
    await push_until("second")
    changed = len(callback.requests)
    for _ in range(3):
        await world.happen("d1", "d2")
        await world.settled()
    assert {received.client for received in callback.requests[changed:]} == {"second"}
    before = {received.connection for received in callback.requests if received.client == "first"}
    after = {received.connection for received in callback.requests if received.client == "second"}
    assert before.isdisjoint(after)


async def test_pushes_are_signed_with_a_key_from_when_there_is_one(world, callback) -> None:
    def signed_by(received) -> list[str]:
        """Return the public keys that have signed a push, as the SDK verifies them; the newest first."""
        found = []
        for key in reversed(public):
            with suppress(SignatureMismatchError):
                verify([], received.headers, received.body, now=datetime.now(UTC), public_keys=[key])
                found.append(key)
        assert received.headers["webhook-signature"].count("v1a,") == len(found), "every signature is somebody's"
        return found

    async def push_until(*keys: str):
        """Push until these have signed: an attempt may be on its way when they change."""
        while True:
            await world.happen("d1")
            await world.settled()
            if signed_by(callback.requests[-1]) == list(keys):
                return callback.requests[-1]

    public: list[str] = []
    one, rotate = world.application_id, applications.rotate_signing_key
    await world.dispatch()
    await world.subscribe(callback.url())
    await push_until()
    for overlap in (timedelta(hours=1), timedelta(hours=1), timedelta(0)):
        public.append((await world.database.write(rotate, one, world.sealer, datetime.now(UTC), overlap))[0])
        expected = public[:-3:-1] if overlap else public[-1:]
        received = await push_until(*expected)
        assert Webhook(world.signing_secret).verify(received.body, received.headers)
    await world.database.write(applications.remove_signing_key, one)
    received = await push_until()
    assert Webhook(world.signing_secret).verify(received.body, received.headers)


async def test_headers_of_the_operator_are_carried_from_when_there_are_some(world, callback) -> None:
    async def push_until(token: str | None):
        """Push until this is carried: an attempt may be on its way when it changes."""
        while True:
            await world.happen("d1")
            await world.settled()
            if callback.requests[-1].headers.get("authorization") == token:
                return callback.requests[-1]

    one = world.application_id
    await world.dispatch()
    await world.subscribe(callback.url())
    await push_until(None)
    for token in ("Bearer first", "Bearer second"):
        headers = {"Authorization": token, "x-tenant": "meters"}
        await world.database.write(applications.set_callback_headers, one, headers, world.sealer)
        received = await push_until(token)
        assert received.headers["x-tenant"] == "meters"
        assert Webhook(world.signing_secret).verify(received.body, received.headers)
    await world.database.write(applications.remove_callback_headers, one)
    assert "x-tenant" not in (await push_until(None)).headers


async def test_a_header_given_later_mends_a_callback(world, callback) -> None:
    async def script(request, writer: asyncio.StreamWriter) -> bool:
        known = request.headers.get("authorization") == "Bearer known"
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (200 if known else 401))
        return True

    callback.script = script
    await world.dispatch()
    await world.subscribe(callback.url())
    await world.happen("d1", "d2", "d3")
    while not await world.attempts():
        await asyncio.sleep(0.01)
    headers = {"authorization": "Bearer known"}
    await world.database.write(applications.set_callback_headers, world.application_id, headers, world.sealer)
    await world.settled()
    assert callback.lanes() == {"d1": [1], "d2": [1], "d3": [1]}
