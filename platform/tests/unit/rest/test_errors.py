"""How refusals look on the wire."""

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route

from firmcast.errors import (
    ConflictError,
    InvalidValueError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    StoreFullError,
    StoreUnreachableError,
)
from firmcast.rest.application import http_application
from firmcast.rest.errors import ApiError, management_error, render
from firmcast_sdk.wire.errors import INPUT_INVALID, TASK_NOT_FOUND


def test_the_words_of_the_contract_never_vary():
    answer = render(ApiError(TASK_NOT_FOUND, "no task 'a'"))
    assert answer.status_code == 404
    assert answer.body == b'{"error_code":"123009","error_desc":"The requested task does not exist."}'
    assert answer.headers["firmcast-reason"] == "no task 'a'"


@given(st.text())
def test_any_reason_fits_into_a_header(reason):
    for name, value in render(ApiError(INPUT_INVALID, reason)).raw_headers:
        assert all(0x20 <= byte < 0x7F for byte in name + value)


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (InvalidValueError("name", "too long"), 400, "invalid_value"),
        (NotFoundError("device", "d"), 404, "not_found"),
        (ConflictError("taken"), 409, "conflict"),
        (NotAllowedError("frozen"), 403, "not_allowed"),
        (RefusedError("no"), 400, "invalid_request"),
        (ApiError(INPUT_INVALID, "no"), 400, "invalid_request"),
    ],
)
def test_the_management_api_says_words(refusal, status, code):
    error = management_error(refusal)
    assert (error.error.status, error.error.code, error.reason) == (status, code, str(refusal))
    assert management_error(error) is error


@pytest.mark.parametrize(
    ("path", "code"),
    [("/iocm/app/dm", "100001"), ("/iodm/northbound", "120001"), ("/v1/applications", "store_full")],
)
async def test_a_full_store_asks_to_come_back_later(path, code):
    async def fail(_request):
        raise StoreFullError("no space is left")

    status, headers, body = await answer_of(http_application([Route(path, fail)]), path)
    assert (status, headers["content-type"], body["error_code"]) == (503, "application/json", code)
    assert headers["retry-after"].isdigit()


@pytest.mark.parametrize(
    ("path", "code"),
    [("/iocm/app/dm", "100001"), ("/iodm/northbound", "120001"), ("/v1/applications", "store_unreachable")],
)
async def test_a_store_that_is_away_asks_to_come_back_soon_and_says_no_more(path, code):
    async def fail(_request):
        raise StoreUnreachableError("connect to postgresql://user@db1 failed")

    status, headers, body = await answer_of(http_application([Route(path, fail)]), path)
    assert (status, headers["retry-after"], body["error_code"]) == (503, "2", code)
    assert "db1" not in str((headers, body))


@pytest.mark.parametrize(("path", "code"), [("/iocm/a", "50252"), ("/iodm/a", "120001"), ("/v1/a", "internal_error")])
async def test_what_nobody_foresaw_shows_nothing_of_itself(path, code):
    async def fail(_request):
        raise ZeroDivisionError("secret")

    application = http_application([Route(path, fail)])
    sent = []
    with pytest.raises(ZeroDivisionError):  # for the server's log, after the answer
        await call(application, path, sent)
    assert sent[0]["status"] == 500
    assert (b"connection", b"close") in sent[0]["headers"], "the server ends the connection after it"
    assert json.loads(sent[1]["body"]) == {"error_code": code, "error_desc": "Internal server error."}


async def answer_of(application, path):
    sent = []
    await call(application, path, sent)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, json.loads(sent[1]["body"])


async def call(application, path, sent):
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"\xff", "headers": [], "scheme": "https"}
    await application(scope, receive, send)


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [("/v1/dead-letters", "not_served_here", "error_desc"), ("/iocm/app/dm/v1.4.0/devices", "100225", "reason")],
)
async def test_a_node_that_serves_no_interface_says_who_does(path, code, told):
    absent = "this node's roles are pusher: ask one with the role rest"
    application = http_application([], absent=absent)
    transport = httpx2.ASGITransport(application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://platform") as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, code)
    assert absent == (answer.json()[told] if told == "error_desc" else answer.headers["firmcast-reason"])
