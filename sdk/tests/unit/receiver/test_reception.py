"""What is decided before a body is read, and that any request at all gets an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast_sdk._clock import now
from firmcast_sdk.receiver import Answer, Push, Receiver, ReceptionRules, check_head, receive


def head(path="/v1.0.0/messageReceiver", *, method="POST", mounted=False, length=None, rules=None):
    headers = {} if length is None else {"content-length": length}
    answer = check_head(rules or ReceptionRules(), method=method, path=path, mounted=mounted, headers=headers)
    return None if answer is None else answer.status


@pytest.mark.parametrize(
    ("path", "mounted", "status"),
    [
        ("/v1.0.0/messageReceiver", False, None),
        ("/v1.0.0/messageReceiver/", False, None),
        ("/v1.0.0/messageReceiver", True, None),
        ("/v1.0.0/messageReceiver/cmd", False, None),
        ("/v1.0.0/messageReceiver/cmd/", False, None),
        ("/v1.0.0/messageReceiver/cmd/cmd", False, 404),
        ("/cmd", False, 404),
        ("/cmd", True, None),
        ("/", False, 404),
        ("", False, 404),
        ("/", True, None),
        ("", True, None),
        ("/other", True, 404),
    ],
)
def test_paths(path, mounted, status):
    assert head(path, mounted=mounted) == status


def test_a_receiver_without_a_path_takes_every_path():
    assert head("/anything", rules=ReceptionRules(path=None)) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"])
def test_other_methods(method):
    assert head(method=method) == 405


@pytest.mark.parametrize(
    ("length", "status"),
    [("65536", None), ("65537", 413), ("9" * 5000, 413), ("many", None), ("-1", None), ("", None)],
)
def test_announced_lengths(length, status):
    assert head(length=length) == status


@given(body=st.binary(max_size=300), headers=st.dictionaries(st.text(max_size=20), st.text(max_size=20)))
def test_any_request_becomes_a_push_or_an_answer(body, headers):
    result = receive(ReceptionRules(), headers=headers, body=body, now=now())
    assert isinstance(result, Push) or (isinstance(result, Answer) and result.status in {200, 400})


TESTED = (
    b'{"notifyType":"deviceDeleted","deviceId":"device-of-a-callback-test","gatewayId":"device-of-a-callback-test"}'
)


@pytest.mark.parametrize("said", ["true", " True "])
def test_a_callback_test_is_answered_and_reaches_no_handler(said):
    headers = {"webhook-id": "test_0a1b", "firmcast-test": said}
    result = receive(ReceptionRules(), headers=headers, body=TESTED, now=now())
    assert (result.status, result.body.startswith(b'{"result":"tested"')) == (200, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-id": "msg_0a1b", "firmcast-test": "true"},  # the header is not signed, the id is
        {"firmcast-test": "true"},
        {"webhook-id": "test_0a1b"},
        {"webhook-id": "test_0a1b", "firmcast-test": "false"},
    ],
)
def test_what_only_looks_like_a_callback_test_is_a_push(headers):
    assert isinstance(receive(ReceptionRules(), headers=headers, body=TESTED, now=now()), Push)


async def asgi(app, scope, messages):
    sent = []

    async def receive_message():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    await app(scope, receive_message, send)
    return sent


def scope(**changes):
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1.0.0/messageReceiver",
        "root_path": "",
        "headers": [],
    } | changes


async def test_a_body_without_a_length_is_not_read_beyond_the_limit():
    piece = {"type": "http.request", "body": b"x" * 40_000, "more_body": True}
    pieces = [piece] * 100
    sent = await asgi(Receiver().asgi, scope(), pieces)
    assert sent[0]["status"] == 413
    assert len(pieces) == 98


async def test_an_announced_large_body_is_not_read_at_all():
    pieces = [{"type": "http.request", "body": b"x", "more_body": False}]
    sent = await asgi(Receiver().asgi, scope(headers=[(b"Content-Length", b"10000000")]), pieces)
    assert sent[0]["status"] == 413
    assert len(pieces) == 1


async def test_a_client_that_leaves_gets_no_answer():
    assert await asgi(Receiver().asgi, scope(), [{"type": "http.disconnect"}]) == []


async def test_lifespan_and_websocket():
    lifespan = await asgi(
        Receiver().asgi, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    )
    assert [message["type"] for message in lifespan] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    sent = await asgi(Receiver().asgi, {"type": "websocket"}, [{"type": "websocket.connect"}])
    assert sent == [{"type": "websocket.close", "code": 1003}]


async def test_a_mount_is_taken_off_the_path():
    message = {"type": "http.request", "body": b"", "more_body": False}
    for path in ("/hooks", "/hooks/", "/hooks/v1.0.0/messageReceiver", "/v1.0.0/messageReceiver"):
        sent = await asgi(Receiver().asgi, scope(path=path, root_path="/hooks"), [message])
        assert sent[0]["status"] == 400, path
    sent = await asgi(Receiver().asgi, scope(path="/hooks/x", root_path="/hooks"), [message])
    assert sent[0]["status"] == 404
