"""Each call, as each known client makes it, against a platform that runs: good, with every error, in every spelling."""

import json
import re
from pathlib import Path

import pytest
from conformance_cases import Case, cases, judge
from conformance_clients import STYLES, Connection, request_bytes
from conformance_platform import CaseWorld

CASES = cases()
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "openapi-northbound.json"
NOT_PROVOKED = {"500", "503"}
"""Statuses that tell of the platform's own trouble, which no request makes."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A client's certificate that nobody can verify: it is the key pair of another platform."""
    from datetime import UTC, datetime

    from firmcast.rest.certificates import make_certificate

    files = make_certificate(tmp_path_factory.mktemp("certificate"), ["client"], datetime.now(UTC))
    both = files.certificate.with_name("both.pem")
    both.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    return both


def written(case: Case, world: CaseWorld) -> bytes:
    """Return the request of a case, as its client writes it."""
    style = STYLES[case.style]
    proof = style.proof if case.proof is None else case.proof
    headers = [world.fill(line) for line in (*proof, *case.headers)]
    headers = [line.format(app=world["app"], token=world["token"]) if "{" in line else line for line in headers]
    open_call = case.path.startswith("/iocm/app/sec/")
    query = style.query([[name, world.fill(value)] for name, value in case.query])
    target = world.fill(case.path) + (query if case.raw_query is None else world.fill(case.raw_query))
    body: bytes | None = None
    content_type = style.content_type
    if case.form is not None:
        pairs = [[style.secret_key if name == "secret" else name, world.fill(value)] for name, value in case.form]
        body, content_type = style.form(pairs).encode(), "application/x-www-form-urlencoded"
    elif case.json is not None:
        value = json.loads(world.fill(case.json))
        if style.with_nulls:
            value = {**dict.fromkeys(case.nulls), **value}
        body = style.body(value).encode()
    elif case.raw_body is not None:
        body = world.fill(case.raw_body).encode()
    elif style.says_empty and case.method == "DELETE":
        body = b""
    says_type = (body or style.always_says_type) and not any(
        line.lower().startswith("content-type") for line in headers
    )
    lines = [
        *(headers[len(proof) :] if open_call else headers),
        *style.other_headers,
        *([f"Content-Type: {content_type}"] if says_type else []),
    ]
    return request_bytes(case.method, target, lines, body)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conforms(platform_of, certificate, record_property, case):
    record_property("conformance", [case.endpoint, case.kind])
    platform = platform_of(case.server)
    world = CaseWorld(platform)
    connection = Connection(address=platform.address, certificate=certificate)
    try:
        for step in case.before:
            method, path, body = [*world.fill(step).split(" ", 2), ""][:3]
            world.call(method, path, json.loads(body) if body else None)
        request = written(case, world)
        judge(case, connection.exchange(request), world.fill(case.like))
    finally:
        connection.close()


def test_every_call_and_every_documented_error_has_a_case():
    described = {}
    for path, methods in json.loads(REFERENCE.read_text())["paths"].items():
        if path.startswith("/v1/"):
            continue  # ours, and no part of the contract
        for method, operation in methods.items():
            call = f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path)}"
            described[call] = (bool(operation.get("deprecated")), documented_errors(operation))
    given = {}
    for case in CASES:
        given.setdefault(case.endpoint, set()).add((str(case.status), case.code))
    missing = []
    for call, (deprecated, errors) in described.items():
        found = given.get(call, set())
        if not any(not code for _, code in found) and "softwareUpgrade" not in call:
            missing.append(f"{call}: no good case")
        if not deprecated:
            missing += [f"{call}: {error}" for error in sorted(errors - found)]
    assert not missing, "\n".join(missing)


def documented_errors(operation):
    document = json.loads(REFERENCE.read_text())
    found = set()
    for status, told in operation["responses"].items():
        shared = told.get("$ref", "").rpartition("/")[2]
        answer = document["components"]["responses"][shared] if shared else told
        content = answer.get("content", {}).get("application/json", {})
        found |= {(status, code) for code in content.get("examples", {}) if status not in NOT_PROVOKED}
    return found


def test_one_connection_takes_many_clients_requests(platform_of):
    """Keep-alive and pipelining through TLS, with every style on one connection."""
    platform = platform_of("plain")
    world = CaseWorld(platform)
    connection = Connection(address=platform.address)
    package = Case(call="GET /iodm/northbound/v1.5.0/category", kind="good", about="", query=[["pageSize", "1"]])
    styles = [name for name, style in STYLES.items() if "Connection: close" not in style.other_headers]
    for name in styles * 10:
        request = written(Case(**{**vars(package), "style": name}), world)
        assert connection.exchange(request).status == 200
    connection.close()
