"""`/v1/applications`: what the vendor's portal did with applications."""

import pytest

from firmcast.applications import use_cases
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
        "callback_ca": "",
    }
    assert (await world.manage("GET", "/v1/applications")).json() == {"applications": [found]}
    identity = await world.database.read(use_cases.signing_secrets, [said["application_id"]], world.sealer)
    assert identity[said["application_id"]].secrets == (said["signing_secret"],)


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
        ("POST", "/v1/applications/{}/secret", None),
        ("PUT", "/v1/applications/{}/callback-ca", {"callback_ca": ""}),
        ("GET", "/v1/firmware/{}", None),
    ],
)
@pytest.mark.parametrize("identifier", ["unknown", "%00", "a" * 300])
async def test_what_is_not_there_is_not_found(world, method, path, body, identifier):
    answer = await world.manage(method, path.format(identifier), body)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "not_found")
