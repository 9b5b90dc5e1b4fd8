"""`/v1/applications`: what the vendor's portal did with applications."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmcast.applications import use_cases
from firmcast.db.statement import portable
from firmcast.rest.certificates import make_certificate


async def test_an_application_shows_its_secrets_once(world):
    created = await world.manage("POST", "/v1/applications", {"name": "meter readings"})
    said = created.json()
    assert created.status_code == 201
    assert created.headers["cache-control"] == "no-store"
    assert said["signing_secret"].startswith("whsec_")
    found = (await world.manage("GET", f"/v1/applications/{said['application_id']}")).json()
    assert found == {
        "application_id": said["application_id"],
        "name": "meter readings",
        "created_at": "2026-01-01T00:00:00Z",
        "frozen": False,
        "deleting": False,
        "callback_ca": "",
        "client_certificate": None,
        "verification_key": "",
        "secret_overlap_ends_at": None,
        "callback_headers": [],
        "signing_public_key": "",
        "signing_overlap_ends_at": None,
        "signing_key_overlap_ends_at": None,
    }
    assert (await world.manage("GET", "/v1/applications")).json() == {"applications": [found]}
    identity = await world.database.read(use_cases.signing_secrets, [said["application_id"]], world.sealer)
    assert [known.secret for known in identity[said["application_id"]].secrets] == [said["signing_secret"]]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {}, {"name": ""}, {"name": " "}, {"name": "a" * 257}, {"name": []}])
async def test_an_application_needs_a_name(world, body):
    answer = await world.manage("POST", "/v1/applications", body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_request")
    assert (await world.manage("GET", "/v1/applications")).json() == {"applications": []}


async def test_the_authority_of_callbacks_is_set(world, caller, tmp_path):
    files = make_certificate(tmp_path / "certificates", ["localhost"], world.clock.now())
    pem = files.authority.read_text()
    path = f"/v1/applications/{caller.application_id}"
    answer = await world.manage("PUT", f"{path}/callback-ca", {"callback_ca": pem})
    assert (answer.status_code, answer.json()["callback_ca"]) == (200, pem)
    identity = await world.database.read(use_cases.signing_secrets, [caller.application_id], world.sealer)
    assert identity[caller.application_id].callback_ca == pem
    assert (await world.manage("PUT", f"{path}/callback-ca", {"callback_ca": ""})).json()["callback_ca"] == ""
    await world.manage("PUT", f"{path}/callback-ca", {"callback_ca": pem})
    assert (await world.manage("DELETE", f"{path}/callback-ca")).json()["callback_ca"] == ""


@pytest.mark.parametrize("pem", ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_what_is_no_authority_is_refused(world, caller, pem):
    path = f"/v1/applications/{caller.application_id}"
    answer = await world.manage("PUT", f"{path}/callback-ca", {"callback_ca": pem})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")
    assert (await world.manage("GET", path)).json()["callback_ca"] == ""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/applications/{}", None),
        ("PATCH", "/v1/applications/{}", {"name": "new"}),
        ("DELETE", "/v1/applications/{}", None),
        ("POST", "/v1/applications/{}/freeze", None),
        ("POST", "/v1/applications/{}/unfreeze", None),
        ("POST", "/v1/applications/{}/secret", None),
        ("POST", "/v1/applications/{}/signing-secret", None),
        ("PUT", "/v1/applications/{}/callback-ca", {"callback_ca": ""}),
        ("DELETE", "/v1/applications/{}/callback-ca", None),
        ("DELETE", "/v1/applications/{}/client-certificate", None),
        ("DELETE", "/v1/applications/{}/verification-key", None),
        ("GET", "/v1/administrators/{}", None),
        ("DELETE", "/v1/administrators/{}", None),
        ("GET", "/v1/firmware/{}", None),
    ],
)
@pytest.mark.parametrize("identifier", ["unknown", "%00", "a" * 300])
async def test_what_is_not_there_is_not_found(world, method, path, body, identifier):
    answer = await world.manage(method, path.format(identifier), body)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "not_found")


@pytest.fixture
def one(caller):
    return f"/v1/applications/{caller.application_id}"


async def test_an_application_is_renamed(world, caller, one):
    answer = await world.manage("PATCH", one, {"name": "water meters"})
    assert (answer.status_code, answer.json()["name"]) == (200, "water meters")
    assert (await world.manage("GET", one)).json() == answer.json()


async def test_freezing_shows_and_is_undone(world, caller, one):
    assert (await world.manage("POST", f"{one}/freeze")).json()["frozen"] is True
    assert (await world.manage("POST", f"{one}/freeze")).json()["frozen"] is True
    assert (await world.manage("POST", f"{one}/unfreeze")).json()["frozen"] is False


@pytest.mark.parametrize(("which", "field"), [("secret", "secret"), ("signing-secret", "signing_secret")])
@pytest.mark.parametrize(
    ("body", "ends_at"),
    [
        (None, "2026-01-02T00:00:00Z"),
        ({}, "2026-01-02T00:00:00Z"),
        ({"overlap_seconds": 60}, "2026-01-01T00:01:00Z"),
        ({"overlap_seconds": 0}, None),
    ],
)
async def test_a_secret_is_rotated_with_an_overlap(world, caller, one, which, field, body, ends_at):
    answer = await world.manage("POST", f"{one}/{which}", body)
    said = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert set(said) == {"application_id", field, "overlap_ends_at"}
    assert (said["overlap_ends_at"], said[field]) == (ends_at, said[field])
    shown_as = "secret_overlap_ends_at" if which == "secret" else "signing_overlap_ends_at"
    shown = await world.manage("GET", one)
    assert shown.json()[shown_as] == ends_at
    assert said[field] not in shown.text
    world.clock.pass_time(days=1)
    assert (await world.manage("GET", one)).json()[shown_as] is None


async def test_a_signing_key_is_made_rotated_and_removed(world, caller, one):
    first = await world.manage("POST", f"{one}/signing-key")
    said = first.json()
    assert first.status_code == 200, first.text
    assert set(said) == {"application_id", "signing_public_key", "overlap_ends_at"}
    assert said["signing_public_key"].startswith("whpk_")
    assert len(base64.b64decode(said["signing_public_key"].removeprefix("whpk_"))) == 32
    assert said["overlap_ends_at"] is None, "there was none before it"
    assert (await world.manage("GET", one)).json()["signing_public_key"] == said["signing_public_key"]
    second = (await world.manage("POST", f"{one}/signing-key", {"overlap_seconds": 60})).json()
    assert second["signing_public_key"] != said["signing_public_key"]
    assert second["overlap_ends_at"] == "2026-01-01T00:01:00Z"
    shown = (await world.manage("GET", one)).json()
    assert shown["signing_public_key"] == second["signing_public_key"]
    assert shown["signing_key_overlap_ends_at"] == "2026-01-01T00:01:00Z"
    removed = await world.manage("DELETE", f"{one}/signing-key")
    assert (removed.status_code, removed.json()["signing_public_key"]) == (200, "")
    assert removed.json()["signing_key_overlap_ends_at"] is None
    again = (await world.manage("POST", f"{one}/signing-key")).json()
    assert again["overlap_ends_at"] is None


@pytest.mark.parametrize(
    "body", [{"overlap_seconds": -1}, {"overlap_seconds": 30 * 24 * 3600 + 1}, {"overlap_seconds": "soon"}, b"["]
)
async def test_an_overlap_that_cannot_be(world, caller, one, body):
    for which in ("secret", "signing-secret", "signing-key"):
        answer = await world.manage("POST", f"{one}/{which}", body)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_request")


async def test_callback_headers_are_shown_by_name_only(world, caller, one):
    headers = {"X-Tenant": "meters", "Authorization": "Bearer secret-of-the-gateway"}
    answer = await world.manage("PUT", f"{one}/callback-headers", {"headers": headers})
    assert (answer.status_code, answer.json()["callback_headers"]) == (200, ["authorization", "x-tenant"])
    assert "secret-of-the-gateway" not in answer.text + (await world.manage("GET", one)).text
    identity = (await world.database.read(use_cases.signing_secrets, [caller.application_id], world.sealer))[
        caller.application_id
    ]
    assert identity.headers == {"authorization": "Bearer secret-of-the-gateway", "x-tenant": "meters"}
    assert "secret-of-the-gateway" not in repr(identity)

    async def kept(tx):
        return str(await tx.fetch(portable("SELECT * FROM application")))

    assert "secret-of-the-gateway" not in await world.database.read(kept)
    fewer = await world.manage("PUT", f"{one}/callback-headers", {"headers": {"x-tenant": "water"}})
    assert fewer.json()["callback_headers"] == ["x-tenant"]
    assert (await world.manage("DELETE", f"{one}/callback-headers")).json()["callback_headers"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "other.example"},
        {"Content-Length": "0"},
        {"Webhook-Id": "evt_1"},
        {"x-a": "b\r\nx-evil: 1"},
        {"x-a\r\nx-evil": "1"},
        {"x-a": ""},
        {"X-A": "1", "x-a": "2"},
        {f"x-{number}": "1" for number in range(9)},
    ],
)
async def test_headers_that_no_push_may_carry(world, caller, one, headers):
    answer = await world.manage("PUT", f"{one}/callback-headers", {"headers": headers})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")
    assert (await world.manage("GET", one)).json()["callback_headers"] == []


@pytest.mark.parametrize("body", [{}, {"headers": []}, {"headers": {"x": []}}, {"headers": None}, b"["])
async def test_headers_that_are_none(world, caller, one, body):
    answer = await world.manage("PUT", f"{one}/callback-headers", body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_request")


@pytest.fixture
def client_certificate(world, tmp_path):
    made = make_certificate(tmp_path / "client", ["localhost"], world.clock.now())
    return {"certificate": made.certificate.read_text(), "key": made.key.read_text()}


async def test_a_client_certificate_is_shown_without_its_key(world, caller, one, client_certificate):
    answer = await world.manage("PUT", f"{one}/client-certificate", client_certificate)
    said = answer.json()
    assert answer.status_code == 200, answer.text
    assert set(said["client_certificate"]) == {"subject", "not_after", "fingerprint"}
    assert said["client_certificate"]["subject"].startswith("CN=")
    assert len(said["client_certificate"]["fingerprint"]) == 64
    assert "PRIVATE" not in (await world.manage("GET", one)).text
    identity = (await world.database.read(use_cases.signing_secrets, [caller.application_id], world.sealer))[
        caller.application_id
    ]
    assert "PRIVATE KEY" in identity.client_key
    assert identity.client_certificate.startswith("-----BEGIN CERTIFICATE-----")

    async def kept(tx):
        return str(await tx.fetch(portable("SELECT * FROM application")))

    assert "PRIVATE" not in await world.database.read(kept)
    assert (await world.manage("DELETE", f"{one}/client-certificate")).json()["client_certificate"] is None


async def test_a_client_certificate_that_does_not_fit_is_refused(world, caller, one, client_certificate, tmp_path):
    other = make_certificate(tmp_path / "other", ["localhost"], world.clock.now())
    answer = await world.manage(
        "PUT", f"{one}/client-certificate", {**client_certificate, "key": other.key.read_text()}
    )
    assert (answer.status_code, answer.json()) == (
        400,
        {"error_code": "invalid_value", "error_desc": "key: is not the key of the first certificate"},
    )
    assert (await world.manage("GET", one)).json()["client_certificate"] is None


async def test_a_verification_key_is_kept(world, caller, one):
    pem = (
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    answer = await world.manage("PUT", f"{one}/verification-key", {"verification_key": f"a comment\n{pem}"})
    assert (answer.status_code, answer.json()["verification_key"]) == (200, pem)
    assert await world.database.read(use_cases.verification_key, caller.application_id) == pem
    assert (await world.manage("DELETE", f"{one}/verification-key")).json()["verification_key"] == ""


@pytest.mark.parametrize("pem", ["nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
async def test_what_is_no_verification_key_is_refused(world, caller, one, pem):
    answer = await world.manage("PUT", f"{one}/verification-key", {"verification_key": pem})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")
    answer = await world.manage("PUT", f"{one}/verification-key", {"verification_key": ""})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_request")
