"""What holds of every call of the management API: who may make it, and what it leaves in the audit.

The calls are taken from the platform itself, so that one that is added later is held to the same. Whoever adds one that
changes something adds how it is made to succeed to CHANGES.
"""

import hashlib
import re
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.devices import registrations
from firmcast.devices.model import NewRegistration
from firmcast.events.log import EventLog
from firmcast.events.model import EventType, FirmwareStateChanged, NewEvent
from firmcast.ids import DeviceId, DeviceUpgradeId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push.envelope import encode_event
from firmcast.push.use_cases import fan_out
from firmcast.rest.authentication import EVERY_SCOPE, Scope
from firmcast.rest.certificates import make_certificate
from firmcast.rest.endpoints import Endpoint, Interface, Proof
from firmcast.subscriptions import use_cases as subscriptions

OPEN = {("GET", "/v1/health"), ("GET", "/v1/readiness")}
# What the interfaces look like is no secret, and can be turned off.
DESCRIPTIONS = {
    ("GET", path)
    for path in (
        "/v1/docs",
        "/v1/docs/management",
        "/v1/docs/northbound",
        "/v1/docs/pushes",
        "/v1/asyncapi.json",
        "/v1/openapi/management.json",
        "/v1/openapi/northbound.json",
    )
}
WITHOUT_SCOPE = {("GET", "/v1/whoami")}
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


def calls_of(world):
    """Return method, path and declaration (None where there is none) of what operators call."""
    found = []
    for call in world.calls:
        if getattr(call, "interface", None) is Interface.NORTHBOUND:
            continue
        if isinstance(call, Endpoint):
            found += [(call.method, path, call) for path in (call.path, *call.aliases)]
        else:
            found += [(method, call.path, None) for method in sorted(call.methods - {"HEAD"})]
    return [each for each in found if each[1].startswith("/v1/")]


def filled(path):
    return re.sub(r"\{\w+\}", "x", path)


async def token_with(world, scopes):
    scopes = sorted(scopes)
    body = {"name": hashlib.sha256(" ".join(scopes).encode()).hexdigest(), "scopes": scopes}
    answer = await world.manage("POST", "/v1/administrators", body)
    assert answer.status_code == 201, answer.text
    return {"authorization": f"Bearer {answer.json()['token']}"}


async def entries(world):
    return (await world.database.read(audit.listed, AuditFilter(), Page()))[0]


async def test_nothing_is_reached_without_a_token_but_health_and_descriptions(world, caller):
    for headers in ({}, {"authorization": "Bearer guessed"}, caller.headers):
        reached = set()
        for method, path, _ in calls_of(world):
            answer = await world.call(method, filled(path), b"{}", headers=headers)
            if answer.status_code != 401:
                reached.add((method, path))
            else:
                assert answer.json()["error_code"] == "unauthorized"
        assert reached == OPEN | DESCRIPTIONS


async def test_every_call_demands_the_scope_that_it_declares(world):
    others = {scope: await token_with(world, EVERY_SCOPE - {scope}) for scope in Scope}
    alone = {scope: await token_with(world, {scope}) for scope in Scope}
    tried = set()
    for method, path, call in calls_of(world):
        if call is None or (method, path) in OPEN | DESCRIPTIONS | WITHOUT_SCOPE:
            continue
        assert (call.interface, call.proof) == (Interface.MANAGEMENT, Proof.ADMINISTRATOR), path
        assert call.scope in EVERY_SCOPE, f"{method} {path} declares no scope"
        scope = Scope(call.scope)
        answer = await world.call(method, filled(path), b"{}", headers=others[scope])
        assert (answer.status_code, answer.json()["error_code"]) == (403, "not_allowed"), (method, path)
        assert scope in answer.json()["error_desc"]
        answer = await world.call(method, filled(path), b"{}", headers=alone[scope])
        assert answer.status_code not in (401, 403), (method, path)
        tried.add(scope)
    assert {Scope.APPLICATIONS_WRITE, Scope.FIRMWARE_READ, Scope.PUSH_WRITE, Scope.AUDIT_READ} <= tried


async def test_reading_needs_a_scope_for_reading_and_changing_one_for_writing(world):
    for method, path, call in calls_of(world):
        if call is not None and call.scope:
            assert call.scope.endswith(":write" if method in CHANGING else ":read"), (method, path)


# ---------------------------------------------------------------------- the audit


class Made:
    """What the calls that are to succeed are about."""

    def __init__(self, world, caller, folder):
        self.world, self.caller, self.folder = world, caller, folder
        self.one = f"/v1/applications/{caller.application_id}"

    async def manage(self, *said, **more):
        answer = await self.world.manage(*said, **more)
        assert answer.status_code < 300, answer.text
        return answer

    async def subscription(self):
        return await self.world.database.write(
            subscriptions.subscribe,
            self.caller.application_id,
            EventType.FIRMWARE_STATE_CHANGED,
            "https://192.0.2.1:1/x",
            datetime.now(UTC),
        )

    async def event_id(self):
        log = EventLog(encode=encode_event, projections=[fan_out])
        event = NewEvent(
            application_id=self.caller.application_id,
            device_id=DeviceId("d"),
            task_id=TaskId("t"),
            device_upgrade_id=DeviceUpgradeId("u"),
            occurred_at=datetime.now(UTC),
            fact=FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
        )
        return (await self.world.database.write(log.append, [event]))[0].event_id

    async def upload_id(self):
        said = {"application_id": self.caller.application_id, "name": "n", "version": "1", "size": 4}
        return (await self.manage("POST", "/v1/firmware/uploads", said)).json()["upload_id"]

    def verification_key(self):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        key = Ed25519PrivateKey.generate().public_key()
        return key.public_bytes(serialization.Encoding.PEM, form).decode()


async def create_application(made):
    return await made.manage("POST", "/v1/applications", {"name": "another"})


async def rename_application(made):
    return await made.manage("PATCH", made.one, {"name": "renamed"})


async def delete_application(made):
    return await made.manage("DELETE", made.one)


async def freeze(made):
    return await made.manage("POST", f"{made.one}/freeze")


async def unfreeze(made):
    await freeze(made)
    return await made.manage("POST", f"{made.one}/unfreeze")


async def rotate_secret(made):
    return await made.manage("POST", f"{made.one}/secret")


async def rotate_signing_secret(made):
    return await made.manage("POST", f"{made.one}/signing-secret")


async def rotate_signing_key(made):
    return await made.manage("POST", f"{made.one}/signing-key")


async def remove_signing_key(made):
    await rotate_signing_key(made)
    return await made.manage("DELETE", f"{made.one}/signing-key")


async def set_callback_ca(made):
    files = make_certificate(made.folder / "ca", ["localhost"], made.world.clock.now())
    return await made.manage("PUT", f"{made.one}/callback-ca", {"callback_ca": files.authority.read_text()})


async def remove_callback_ca(made):
    await set_callback_ca(made)
    return await made.manage("DELETE", f"{made.one}/callback-ca")


async def set_callback_headers(made):
    body = {"headers": {"authorization": "Bearer of-the-gateway"}}
    return await made.manage("PUT", f"{made.one}/callback-headers", body)


async def remove_callback_headers(made):
    await set_callback_headers(made)
    return await made.manage("DELETE", f"{made.one}/callback-headers")


async def set_client_certificate(made):
    files = make_certificate(made.folder / "client", ["localhost"], made.world.clock.now())
    body = {"certificate": files.certificate.read_text(), "key": files.key.read_text()}
    return await made.manage("PUT", f"{made.one}/client-certificate", body)


async def remove_client_certificate(made):
    await set_client_certificate(made)
    return await made.manage("DELETE", f"{made.one}/client-certificate")


async def set_verification_key(made):
    return await made.manage("PUT", f"{made.one}/verification-key", {"verification_key": made.verification_key()})


async def remove_verification_key(made):
    await set_verification_key(made)
    return await made.manage("DELETE", f"{made.one}/verification-key")


async def create_administrator(made):
    return await made.manage("POST", "/v1/administrators", {"name": "night shift", "scopes": ["audit:read"]})


async def delete_administrator(made):
    token_id = (await create_administrator(made)).json()["token_id"]
    return await made.manage("DELETE", f"/v1/administrators/{token_id}")


async def resend(made):
    subscription = await made.subscription()
    body = {"event_id": await made.event_id(), "subscription_id": subscription.subscription_id}
    return await made.manage("POST", "/v1/deliveries/resend", body)


async def resend_dead_letters(made):
    subscription = await made.subscription()
    return await made.manage("POST", "/v1/dead-letters/resend", {"subscription_id": subscription.subscription_id})


async def discard_dead_letters(made):
    subscription = await made.subscription()
    return await made.manage("POST", "/v1/dead-letters/discard", {"subscription_id": subscription.subscription_id})


async def pause(made):
    subscription = await made.subscription()
    return await made.manage("POST", f"/v1/subscriptions/{subscription.subscription_id}/pause")


async def resume(made):
    subscription = await made.subscription()
    await made.manage("POST", f"/v1/subscriptions/{subscription.subscription_id}/pause")
    return await made.manage("POST", f"/v1/subscriptions/{subscription.subscription_id}/resume")


async def set_policy(made):
    subscription = await made.subscription()
    body = {"retry_delay_seconds": [1, 60]}
    return await made.manage("PUT", f"/v1/subscriptions/{subscription.subscription_id}/policy", body)


async def replay(made):
    subscription = await made.subscription()
    return await made.manage("POST", "/v1/replays", {"subscription_id": subscription.subscription_id})


async def cancel_replay(made):
    replay_id = (await replay(made)).json()["replay_id"]
    return await made.manage("POST", f"/v1/replays/{replay_id}/cancel")


async def callback_test(made):
    body = {"application_id": made.caller.application_id, "callback_url": "https://192.0.2.1:1/x"}
    answer = await made.manage("POST", "/v1/callback-tests", body)
    assert answer.json()["failure"] == "blocked"
    return answer


async def upload(made):
    return await made.world.upload(made.caller)


async def delete_package(made):
    package = await upload(made)
    return await made.manage("DELETE", f"/v1/firmware/{package['package_id']}")


async def begin_upload(made):
    return await made.upload_id()


async def end_upload(made):
    return await made.manage("DELETE", f"/v1/firmware/uploads/{await made.upload_id()}")


async def append_piece(made):
    headers = {"upload-offset": "0"}
    upload_id = await made.upload_id()
    await made.manage("PATCH", f"/v1/firmware/uploads/{upload_id}", b"abcd", headers=headers)
    return upload_id


async def complete_upload(made):
    return await made.manage("POST", f"/v1/firmware/uploads/{await append_piece(made)}/complete")


async def stop_task(made):
    package = await upload(made)
    device_id = await made.world.register(made.caller)
    body = {"fileId": package["package_id"], "targets": {"devices": [device_id]}}
    answer = await made.caller.call("POST", "/iodm/northbound/v1.5.0/operations/firmwareUpgrade", body)
    return await made.manage("POST", f"/v1/upgrades/{answer.json()['operationId']}/stop")


ONE = "/v1/applications/{application_id}"


async def check_device(made):
    device_id = await made.world.register(made.caller)
    told = NewRegistration(
        endpoint_name="863703030000011",
        host="192.0.2.1",
        port=5683,
        lifetime_seconds=300,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="</5/0>",
    )
    now = made.world.clock.now()
    await made.world.database.write(registrations.register, [told], now, log=made.world.log)
    return await made.manage("POST", f"/v1/devices/{device_id}/check")


async def forget_client(made):
    device_id = await made.world.register(made.caller)
    return await made.manage("DELETE", f"/v1/devices/{device_id}/check")


async def set_window(made):
    device_id = await made.world.register(made.caller)
    return await made.manage("PUT", "/v1/awake-windows", {"device": device_id, "seconds": 20})


CHANGES = {
    ("PUT", "/v1/awake-windows"): (set_window, "awake_window.set"),
    ("DELETE", "/v1/devices/{device}/check"): (forget_client, "device.forget"),
    ("POST", "/v1/devices/{device}/check"): (check_device, "device.check"),
    ("POST", "/v1/applications"): (create_application, "application.create"),
    ("PATCH", ONE): (rename_application, "application.rename"),
    ("DELETE", ONE): (delete_application, "application.delete"),
    ("POST", f"{ONE}/freeze"): (freeze, "application.freeze"),
    ("POST", f"{ONE}/unfreeze"): (unfreeze, "application.unfreeze"),
    ("POST", f"{ONE}/secret"): (rotate_secret, "application.rotate_secret"),
    ("POST", f"{ONE}/signing-secret"): (rotate_signing_secret, "application.rotate_signing_secret"),
    ("POST", f"{ONE}/signing-key"): (rotate_signing_key, "application.rotate_signing_key"),
    ("DELETE", f"{ONE}/signing-key"): (remove_signing_key, "application.remove_signing_key"),
    ("PUT", f"{ONE}/callback-ca"): (set_callback_ca, "application.set_callback_ca"),
    ("DELETE", f"{ONE}/callback-ca"): (remove_callback_ca, "application.remove_callback_ca"),
    ("PUT", f"{ONE}/callback-headers"): (set_callback_headers, "application.set_callback_headers"),
    ("DELETE", f"{ONE}/callback-headers"): (remove_callback_headers, "application.remove_callback_headers"),
    ("PUT", f"{ONE}/client-certificate"): (set_client_certificate, "application.set_client_certificate"),
    ("DELETE", f"{ONE}/client-certificate"): (remove_client_certificate, "application.remove_client_certificate"),
    ("PUT", f"{ONE}/verification-key"): (set_verification_key, "application.set_verification_key"),
    ("DELETE", f"{ONE}/verification-key"): (remove_verification_key, "application.remove_verification_key"),
    ("POST", "/v1/administrators"): (create_administrator, "administrator.create"),
    ("DELETE", "/v1/administrators/{token_id}"): (delete_administrator, "administrator.delete"),
    ("POST", "/v1/deliveries/resend"): (resend, "push.resend"),
    ("POST", "/v1/dead-letters/resend"): (resend_dead_letters, "push.resend_dead_letters"),
    ("POST", "/v1/dead-letters/discard"): (discard_dead_letters, "push.discard_dead_letters"),
    ("POST", "/v1/subscriptions/{subscription_id}/pause"): (pause, "subscription.pause"),
    ("POST", "/v1/subscriptions/{subscription_id}/resume"): (resume, "subscription.resume"),
    ("PUT", "/v1/subscriptions/{subscription_id}/policy"): (set_policy, "subscription.set_policy"),
    ("POST", "/v1/replays"): (replay, "replay.create"),
    ("POST", "/v1/replays/{replay_id}/cancel"): (cancel_replay, "replay.cancel"),
    ("POST", "/v1/callback-tests"): (callback_test, "callback.test"),
    ("POST", "/v1/firmware"): (upload, "firmware.upload"),
    ("DELETE", "/v1/firmware/{package_id}"): (delete_package, "firmware.delete"),
    ("POST", "/v1/firmware/uploads"): (begin_upload, "firmware.begin_upload"),
    ("DELETE", "/v1/firmware/uploads/{upload_id}"): (end_upload, "firmware.end_upload"),
    ("PATCH", "/v1/firmware/uploads/{upload_id}"): (append_piece, "firmware.upload"),
    ("POST", "/v1/upgrades/{task_id}/stop"): (stop_task, "upgrade.stop"),
    ("POST", "/v1/firmware/uploads/{upload_id}/complete"): (complete_upload, "firmware.upload"),
}


async def test_every_call_that_changes_something_is_in_this_table(world):
    changing = {(method, path) for method, path, _ in calls_of(world) if method in CHANGING}
    assert changing == set(CHANGES)


@pytest.mark.parametrize("method_and_path", CHANGES, ids=" ".join)
async def test_a_change_leaves_one_entry_of_who_made_it(world, caller, tmp_path, method_and_path):
    make, action = CHANGES[method_and_path]
    await make(Made(world, caller, tmp_path))
    found = [entry for entry in await entries(world) if entry.action == action]
    assert len(found) == 1, [entry.action for entry in await entries(world)]
    (entry,) = found
    assert (entry.actor.name, entry.made_at) == ("operator", world.clock.now())
    assert entry.subject


@pytest.mark.parametrize("method_and_path", CHANGES, ids=" ".join)
async def test_a_refused_change_leaves_none(world, caller, method_and_path):
    method, path = method_and_path
    reader = await token_with(world, {scope for scope in Scope if scope.endswith(":read")})
    before = await entries(world)
    for headers in ({}, reader, {"authorization": "Bearer operators-token"}):
        answer = await world.call(method, filled(path), b'{"name":""}', headers=headers)
        assert answer.status_code >= 400, answer.text
    assert await entries(world) == before


async def test_no_secret_gets_into_the_audit(world, caller, tmp_path):
    made, shown = Made(world, caller, tmp_path), []
    for make in (create_application, rotate_secret, rotate_signing_secret, create_administrator):
        said = (await make(made)).json()
        shown += [said[name] for name in ("secret", "signing_secret", "token") if name in said]
    await set_client_certificate(made)
    await set_callback_headers(made)
    assert len(shown) == 5
    shown.append("of-the-gateway")
    text = (await world.manage("GET", "/v1/audit?page_size=1000")).text
    assert "application.set_client_certificate" in text
    assert all(secret not in text for secret in shown)
    assert "PRIVATE" not in text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/applications/APP/secret", {"overlap": 0}),
        ("/v1/applications/APP/signing-secret", {"overlap_second": 0}),
        ("/v1/administrators", {"name": "guest", "scopes": ["audit:read"], "expiresAt": "2026-01-02T00:00:00Z"}),
        ("/v1/applications", {"name": "meters", "callbackCa": ""}),
        ("/v1/callback-tests", {"application_id": "APP", "url": "https://192.0.2.1:1/"}),
        (
            "/v1/firmware/uploads",
            {"application_id": "APP", "name": "n", "version": "1", "size": 1, "sha": "0" * 64},
        ),
    ],
)
async def test_a_misspelt_name_is_refused_and_changes_nothing(world, caller, path, body):
    said = {name: caller.application_id if value == "APP" else value for name, value in body.items()}
    before = await entries(world)
    answer = await world.manage("POST", path.replace("APP", caller.application_id), said)
    assert answer.status_code == 400, answer.text
    assert "is none of" in answer.json()["error_desc"]
    assert await entries(world) == before
