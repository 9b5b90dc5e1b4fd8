"""What is really pushed is what the description of the pushes says, headers and bodies."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest

from firmcast.push.envelope import attempt_headers
from firmcast.push.signing import Signer, SigningKey
from firmcast.rest.asyncapi import asyncapi_document
from firmcast_sdk.wire.notifications import decode, encode

GOLDEN = Path(__file__).parents[4] / "sdk" / "tests" / "golden"
DOCUMENT = asyncapi_document()
OTHER_SPELLINGS = {
    "device_datas_changed_service",
    "fw_upgrade_result_capital_status",
    "service_info_changed_text",
}
"""Bodies that a reader takes and nobody writes."""
PUSHES = [
    file.stem
    for file in sorted(GOLDEN.glob("*.json"))
    if '"notifyType"' in file.read_text() and "subscri" not in file.stem and file.stem not in OTHER_SPELLINGS
]
MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def check(value, schema):
    reader = jsonschema.Draft202012Validator(
        {**schema, "components": DOCUMENT["components"]}, format_checker=jsonschema.FormatChecker()
    )
    reader.validate(value)


@pytest.mark.parametrize("name", PUSHES)
def test_a_golden_push_is_as_described(name):
    body = json.loads((GOLDEN / f"{name}.json").read_text())
    message = DOCUMENT["components"]["messages"][body["notifyType"]]
    check(body, message["payload"])


def test_every_message_has_its_push():
    told = {json.loads((GOLDEN / f"{name}.json").read_text())["notifyType"] for name in PUSHES}
    assert told == set(DOCUMENT["components"]["messages"])


@pytest.mark.parametrize("name", sorted(OTHER_SPELLINGS))
def test_another_spelling_is_not_what_is_described(name):
    body = json.loads((GOLDEN / f"{name}.json").read_text())
    message = DOCUMENT["components"]["messages"][body["notifyType"]]
    with pytest.raises(jsonschema.ValidationError):
        check(body, message["payload"])


@pytest.mark.parametrize("name", PUSHES)
def test_trap_1_a_push_is_compact(name):
    body = encode(decode((GOLDEN / f"{name}.json").read_bytes()))
    told = json.loads(body)
    assert body == json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    assert f'"notifyType":"{told["notifyType"]}"'.encode() in body


def test_trap_2_a_push_says_that_it_is_json():
    lines = attempt_headers(
        message_id="msg_1", sequence=1, occurred_at=MOMENT, synthesised=False, attempt=1, signature=None
    )
    assert "content-type: application/json" in lines


@pytest.mark.parametrize("keys", [[], [b"k" * 32], [b"k" * 32, b"old" * 11]])
@pytest.mark.parametrize("private_keys", [[], [SigningKey(key=b"p" * 32)]])
@pytest.mark.parametrize("synthesised", [False, True])
def test_the_headers_of_an_attempt_are_as_described(keys, private_keys, synthesised):
    signature = Signer(keys, private_keys).sign("msg_1", MOMENT, b"{}") if keys else None
    lines = attempt_headers(
        message_id="msg_1",
        sequence=7,
        occurred_at=MOMENT.astimezone(timezone(timedelta(hours=8))),
        synthesised=synthesised,
        attempt=3,
        signature=signature,
    )
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    described = DOCUMENT["components"]["schemas"]["PushHeaders"]
    check(headers, described)
    ours = {name for name in headers if name.startswith(("firmcast-", "webhook-"))}
    assert ours <= set(described["properties"])
    assert ("webhook-signature" in ours, "firmcast-synthesised" in ours) == (bool(keys), synthesised)
