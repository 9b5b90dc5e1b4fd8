"""Requests made from the descriptions, sent to the real application on a real store: every answer is described.

Nothing fails, no status, content type, body or error code is one that the description does not tell, and what is
refused changes nothing in the store. What is known to the platform (a device, a package …) is put in now and then, so
that a request gets past the first look.
"""

import asyncio
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from firmcast.rest.server import HttpsServer

REFERENCE = Path(__file__).parents[4] / "docs" / "reference"
DOCUMENTS = {
    name: json.loads((REFERENCE / f"openapi-{name}.json").read_text()) for name in ("northbound", "management")
}
CALLS = [
    (name, path, method)
    for name, document in DOCUMENTS.items()
    for path, methods in document["paths"].items()
    for method, operation in methods.items()
    if not operation.get("deprecated")  # an older path leads to the same handler
    and not path.endswith("/stream")  # it has no end
]
EXAMPLES = 12
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Described:
    """What is described, and the checks of an answer; those that have a body to look at stand apart."""

    schemas: dict[str, Any]
    checks: list[Any]
    checks_of_bodies: list[Any]


@pytest.fixture(scope="session")
def described() -> Described:
    # The library is large: it is loaded by the workers that run this module.
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    return Described(
        schemas={name: schemathesis.openapi.from_dict(document) for name, document in DOCUMENTS.items()},
        checks=[not_a_server_error, checks.status_code_conformance, checks.content_type_conformance],
        checks_of_bodies=[checks.response_schema_conformance],
    )


async def known_names(world, caller):
    """Make one of everything, and return what is known by the names that requests use for it."""
    package = (await world.upload(caller))["package_id"]
    device = await world.register(caller)
    group = (await caller.call("POST", "/iocm/app/devgroup/v1.3.0/devGroups", {"name": "g1"})).json()["id"]
    targets = {"fileId": package, "targets": {"devices": [device]}}
    task = (await caller.call("POST", "/iodm/northbound/v1.5.0/operations/firmwareUpgrade", targets)).json()
    wanted = {"notifyType": "deviceAdded", "callbackUrl": "https://192.0.2.7:8099/a"}
    subscription = (await caller.call("POST", "/iocm/app/sub/v1.2.0/subscriptions", wanted)).json()["subscriptionId"]
    begun = {"application_id": caller.application_id, "name": "a.bin", "version": "2", "size": 8}
    upload = (await world.manage("POST", "/v1/firmware/uploads", begun)).json()["upload_id"]
    made = await world.manage("POST", "/v1/administrators", {"name": "reader", "scopes": ["push:read"]})
    return {
        **dict.fromkeys(["device_id", "deviceId", "gatewayId"], device),
        "devices": [device],
        "deviceIds": [device],
        **dict.fromkeys(["file_id", "fileId", "package_id"], package),
        **dict.fromkeys(["group_id", "devGroupId"], group),
        **dict.fromkeys(["operation_id", "task_id"], task["operationId"]),
        **dict.fromkeys(["subscription_id"], subscription),
        **dict.fromkeys(["application_id", "appId", "accessAppId"], caller.application_id),
        "deviceGroups": None,
        "secret": caller.credentials.secret,
        "upload_id": upload,
        "upload-offset": "0",
        "token_id": made.json()["token_id"],
        "callbackurl": "https://192.0.2.7:8099/b",
        "callbackUrl": "https://192.0.2.7:8099/b",
        "executeType": "now",
        "sha256": "",
        "signature": "",
    }


def with_known(value, known, chance):
    """Return a generated value with what is known in the place of some of what was made up."""
    if isinstance(value, dict):
        return {
            name: known[name] if name in known and chance.random() < 0.8 else with_known(inner, known, chance)
            for name, inner in value.items()
        }
    return value


def proof(name, world_caller, chance):
    """Return the headers that prove who calls, or once in a while none or wrong ones."""
    token, headers = world_caller
    if chance.random() < 0.1:
        return chance.choice([{}, {"Authorization": "Bearer wrong", "app_key": "wrong"}])
    return headers if name == "northbound" else {"Authorization": f"Bearer {token}"}


def is_refusal(response):
    return response.status_code >= 400 or b'"error_code"' in response.content


@pytest.mark.parametrize(("name", "path", "method"), CALLS, ids=lambda part: part)
async def test_every_answer_is_described(world, caller, store_dump, described, name, path, method):
    server = await HttpsServer.start(world.asgi, host="127.0.0.1", port=0)
    known = await known_names(world, caller)
    operation = described.schemas[name][path][method.upper()]
    dump = store_dump()

    @BOUNDED
    @seed(8743)
    @given(case=operation.as_strategy(), number=st.integers(0, 1 << 32))
    def check(case, number):
        nonlocal dump
        chance = random.Random(number)
        case.path_parameters = with_known(case.path_parameters, known, chance)
        case.query = with_known(case.query, known, chance)
        case.query.pop("wait", None)  # nothing happens here
        case.body = with_known(case.body, known, chance)
        case.headers = {
            **with_known(dict(case.headers), known, chance),
            **proof(name, ("operators-token", caller.headers), chance),
        }
        response = case.call(base_url=server.url)
        of_body = described.checks_of_bodies if response.content else []
        case.validate_response(response, checks=[*described.checks, *of_body])
        after = store_dump()
        if is_refusal(response):
            assert after == dump
        dump = after

    try:
        await asyncio.to_thread(check)
    finally:
        await server.stop()
