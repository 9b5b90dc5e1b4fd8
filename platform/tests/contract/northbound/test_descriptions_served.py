"""The descriptions are open to everybody, unless the operator wants none; nothing else is."""

import base64
import hashlib
import re

import pytest

from firmcast.rest.endpoints import Proof
from firmcast.settings import RestSettings

MACHINE = ["/v1/openapi/northbound.json", "/v1/openapi/management.json", "/v1/asyncapi.json"]
HUMAN = ["/v1/docs", "/v1/docs/northbound", "/v1/docs/management", "/v1/docs/pushes"]


@pytest.mark.parametrize("path", MACHINE)
async def test_a_document_needs_no_token(world, path):
    answer = await world.call("GET", path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["info"]["title"].startswith("Firmcast ")


@pytest.mark.parametrize("path", HUMAN)
async def test_a_page_allows_its_own_style_and_script_only(world, path):
    answer = await world.call("GET", path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    for part in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", answer.text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.search(r"<[^>]+ (style|on\w+)=", answer.text)


async def test_only_descriptions_health_and_logins_need_no_proof(world):
    unproven = {call.path for call in world.calls if call.proof is Proof.NONE}
    health = {"/v1/health", "/v1/readiness"}
    assert unproven - {*MACHINE, *HUMAN, *health} == {
        "/iocm/app/sec/v1.1.0/login",
        "/iocm/app/sec/v1.1.0/refreshToken",
        "/iocm/app/sec/v1.1.0/logout",
    }


class TestUnwanted:
    @pytest.fixture
    def rest_settings(self):
        return RestSettings(throttle_calls=0, publish_descriptions=False)

    @pytest.mark.parametrize("path", [*MACHINE, *HUMAN])
    async def test_a_description_is_not_there(self, world, path):
        answer = await world.call("GET", path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "not_found")
