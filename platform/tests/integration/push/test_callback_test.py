"""`/v1/callback-tests`: one push, signed and sent as every other, told in full and kept by nobody."""

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from firmcast.applications import use_cases as applications
from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.events.model import EventType
from firmcast.push import use_cases as push
from firmcast.push.model import DeliveryFilter

TESTS = "/v1/callback-tests"


async def tried(world, client, **said):
    answer = await client.post(TESTS, json={"application_id": world.application_id, **said})
    assert answer.status_code == 200, answer.text
    return answer.json()


def answering(text: bytes):
    async def script(_received, writer: asyncio.StreamWriter) -> bool:
        writer.write(text)
        return True

    return script


async def test_the_push_says_that_it_is_a_test_and_verifies(world, client, callback) -> None:
    said = await tried(world, client, callback_url=callback.url("/here"))
    assert said | {"sent_at": "", "seconds": 0} == {
        "application_id": world.application_id,
        "callback_url": callback.url("/here"),
        "message_id": said["message_id"],
        "sent_at": "",
        "delivered": True,
        "status": 200,
        "failure": None,
        "detail": "",
        "address": "127.0.0.1",
        "seconds": 0,
        "answer": "ok",
    }
    (received,) = callback.requests
    assert received.line == "POST /here HTTP/1.1"
    assert received.headers["firmcast-test"] == "true"
    assert received.headers["webhook-id"] == said["message_id"]
    assert said["message_id"].startswith("test_")
    assert "firmcast-sequence" not in received.headers, "it has no place in the order of any device"
    assert Webhook(world.signing_secret).verify(received.body, received.headers) == {
        "notifyType": "fwUpgradeStateChangeNotify",
        "deviceId": "firmcast-callback-test",
        "appId": world.application_id,
        "operationId": "firmcast-callback-test",
        "subOperationId": "firmcast-callback-test",
        "step": "0",
        "stepDesc": "idle",
    }
    assert b'"notifyType":"fwUpgradeStateChangeNotify"' in received.body


async def test_the_callback_of_a_subscription_is_tried(world, client, callback) -> None:
    await world.subscribe(callback.url("/states"))
    await world.subscribe(callback.url("/results"), EventType.FIRMWARE_UPGRADE_ENDED)
    await tried(world, client)
    await tried(world, client, notify_type="fwUpgradeResultNotify")
    assert [received.line.split()[1] for received in callback.requests] == ["/states", "/results"]


async def test_nothing_is_kept_of_it_but_the_audit(world, client, callback) -> None:
    await world.dispatch()
    await world.subscribe(callback.url())
    said = await tried(world, client)
    assert await world.attempts() == []
    assert await world.pending() == 0
    assert await world.database.read(push.dead_letters, DeliveryFilter(), Page()) == ([], 0)
    entries, _ = await world.database.read(audit.listed, AuditFilter(), Page())
    assert [(entry.actor.name, entry.action, entry.subject, dict(entry.details)) for entry in entries] == [
        (
            "operator",
            "callback.test",
            world.application_id,
            {"callback_url": callback.url(), "message_id": said["message_id"]},
        )
    ]


@pytest.mark.parametrize(
    ("text", "status", "failure"),
    [
        (b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", 500, "server_error"),
        (b"HTTP/1.1 302 No\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 4\r\n\r\noops", 302, "redirected"),
        (b"HTTP/1.1 410 No\r\nContent-Length: 4\r\n\r\noops", 410, "gone"),
    ],
)
async def test_what_the_callback_answers_is_told_and_it_is_called_once(
    world, client, callback, text: bytes, status: int, failure: str
) -> None:
    callback.script = answering(text)
    said = await tried(world, client, callback_url=callback.url())
    assert (said["delivered"], said["status"], said["failure"], said["answer"]) == (False, status, failure, "oops")
    assert len(callback.requests) == 1


async def test_a_kibibyte_of_the_answer_is_shown_whatever_it_holds(world, client, callback) -> None:
    callback.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b"\xff\x00" * 2000)
    said = await tried(world, client, callback_url=callback.url())
    assert len(said["answer"]) == 1024


async def test_nobody_there_is_told(world, client, callback) -> None:
    url = callback.url()
    await callback.stop()
    said = await tried(world, client, callback_url=url)
    assert (said["delivered"], said["status"], said["failure"]) == (False, None, "connect")


async def test_an_untrusted_certificate_is_told_with_the_reason(world, client, tls_callback, authority) -> None:
    said = await tried(world, client, callback_url=tls_callback.url())
    assert (said["status"], said["failure"]) == (None, "tls")
    assert "certificate" in said["detail"]
    pem = authority.certificate.decode()
    await world.database.write(applications.set_callback_ca, world.application_id, pem)
    assert (await tried(world, client, callback_url=tls_callback.url()))["status"] == 200


async def test_the_client_certificate_is_presented(world, client, tls_context, authority, new_callback) -> None:
    tls_context.verify_mode = ssl.CERT_REQUIRED
    tls_context.load_verify_locations(cadata=authority.certificate.decode())
    callback = await new_callback(tls_context)
    pem = authority.certificate.decode()
    await world.database.write(applications.set_callback_ca, world.application_id, pem)
    assert (await tried(world, client, callback_url=callback.url()))["delivered"] is False
    await world.database.write(
        applications.set_client_certificate,
        world.application_id,
        authority.client_certificate.decode(),
        authority.client_key.decode(),
        world.sealer,
        datetime.now(UTC),
    )
    assert (await tried(world, client, callback_url=callback.url()))["delivered"] is True


async def test_while_the_signing_secret_is_rotated_either_verifies(world, client, callback) -> None:
    new, _ = await world.database.write(
        applications.rotate_signing_secret,
        world.application_id,
        world.sealer,
        datetime.now(UTC),
        timedelta(hours=1),
    )
    await tried(world, client, callback_url=callback.url())
    (received,) = callback.requests
    assert len(received.headers["webhook-signature"].split()) == 2
    for secret in (new, world.signing_secret):
        assert Webhook(secret).verify(received.body, received.headers)


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"application_id": "nobody", "callback_url": "http://127.0.0.1:1/"}, 404, "not_found"),
        ({}, 404, "not_found"),
        ({"notify_type": "deviceAdded"}, 404, "not_found"),
        ({"notify_type": "nonsense"}, 400, "invalid_request"),
        ({"notify_type": "deviceAdded", "callback_url": "http://127.0.0.1:1/"}, 400, "invalid_value"),
        ({"callback_url": "ftp://127.0.0.1:1/"}, 400, "invalid_value"),
        ({"callback_url": "http://10.0.0.1:80/"}, 400, "invalid_value"),
        ({"callback_url": "http://127.0.0.1:1/" + "a" * 1024}, 400, "invalid_request"),
        ({"application_id": ""}, 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_tried(world, client, said: dict[str, str], status: int, code: str) -> None:
    answer = await client.post(TESTS, content=json.dumps({"application_id": world.application_id, **said}))
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert await world.database.read(audit.listed, AuditFilter(), Page()) == ([], 0)


async def test_an_address_behind_a_name_is_blocked_when_it_is_dialled(world, client) -> None:
    world_url = "http://localhost:1/"  # resolves to ::1 and 127.0.0.1; only the second is allowed
    said = await tried(world, client, callback_url=world_url)
    assert said["failure"] in {"blocked", "connect"}
    assert said["address"] != "::1"
