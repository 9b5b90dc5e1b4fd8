"""The traps of real clients that lie on the wire itself, numbered as in section 10 of the contract page."""

import json
import socket

import pytest

from firmcast.rest import http_protocol
from firmcast.rest.http_protocol import HEAD_LIMIT

BAD = {"error_code": "100007", "error_desc": "Bad request message."}


def refusal(answer):
    """Return the status of an answer that must be the contract's refusal, told as JSON."""
    status, headers, body = answer
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == BAD
    return status


def test_trap_3_an_empty_answer_names_its_type_and_its_length(peer):
    for _ in range(2):
        peer.send(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers, body = peer.answer()
        assert (status, headers["content-type"], headers["content-length"], body) == (200, "application/json", "0", b"")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /echo?name=a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: h\r\nNo Token: a\r\n\r\n",
        b"GET /echo HTTP/7.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ],
)
def test_trap_4_what_is_no_http_is_told_as_json(peer, request_bytes):
    peer.send(request_bytes)
    assert refusal(peer.answer()) == 400
    assert peer.file.read() == b""


@pytest.mark.parametrize("method", [b"TRACE", b"PATCH", b"PROPFIND", b"OPTIONS"])
def test_trap_4_methods_that_nobody_expects_are_told_as_json(peer, method):
    peer.send(method + b" /echo HTTP/1.1\r\nHost: h\r\n\r\n")
    assert refusal(peer.answer()) == 405


@pytest.mark.parametrize(
    "head",
    [
        b"GET /echo?%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * HEAD_LIMIT),
        b"GET /echo HTTP/1.1\r\nHost: h\r\nLong: %s\r\n\r\n" % (b"a" * HEAD_LIMIT),
        b"GET /echo HTTP/1.1\r\nHost: h\r\n%s\r\n" % (b"Short: a\r\n" * (HEAD_LIMIT // 8)),
        b"GET /echo HTTP/1.1\r\nHost: h\r\nEndless: %s" % (b"a" * (8 * HEAD_LIMIT)),
    ],
)
def test_trap_4_a_head_that_is_too_large_is_told_as_json(peer, head):
    peer.send(head)
    assert refusal(peer.answer()) == 431
    assert peer.file.read() == b""


def test_trap_4_a_head_that_comes_too_slowly_is_told_as_json(monkeypatch, peer_of, clear_server):
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    silent, slow = (peer_of(socket.create_connection(clear_server.address, timeout=20)) for _ in range(2))
    slow.send(b"GET /echo HTTP/1.1\r\nHost")
    assert refusal(slow.answer()) == 408
    assert silent.file.read() == b""


def test_trap_4_what_was_asked_before_the_nonsense_is_still_answered(peer):
    peer.send(b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n" * 2 + b"nonsense\r\n\r\n")
    assert [peer.answer()[0] for _ in range(2)] == [200, 200]
    assert b"200" not in peer.file.read()


@pytest.mark.parametrize("name", ["app_key", "App_key", "APP_KEY", "access_token", "Access_token"])
def test_trap_5_and_6_header_names_with_underscores_arrive(peer, name):
    said = peer.ask(f"GET /echo HTTP/1.1\r\nHost: h\r\n{name}: tok\r\nX-App-Key: a\r\n\r\n".encode())
    assert said["headers"][name.lower()] == "tok"
    assert said["headers"]["x-app-key"] == "a"


@pytest.mark.parametrize(
    "query",
    [
        "?&a=b",
        "?&pageSize=1",
        "a=b&",
        "a=b&&",
        "callbackUrl=http://192.0.2.7:8099/v1.0.0/messageReceiver?x=1",
        "%00com.huawei.QueryBatchSubInDTO%00notifyType=deviceAdded",
        'x={"a":[1]}|^`<>',
        "a=%zz&b=%",
    ],
)
def test_trap_7_queries_arrive_as_they_were_written(peer, query):
    assert peer.ask(f"GET /echo?{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode("latin-1"))["query"] == query


@pytest.mark.parametrize("name", ["水表".encode(), b"\xe9", b"\xff\xfe"])
def test_trap_7_bytes_over_ascii_arrive_percent_encoded(peer, name):
    encoded = "".join(f"%{byte:02X}" for byte in name)
    for _ in range(2):  # the second one on the same connection
        said = peer.ask(b"GET /echo?name=%b&b=c HTTP/1.1\r\nHost: h\r\n\r\n" % name)
        assert said["query"] == f"name={encoded}&b=c"


def test_trap_7_bytes_over_ascii_arrive_when_the_line_comes_in_pieces(peer):
    request = "GET /echo?name=水表 HTTP/1.1\r\nHost: 表\r\n\r\n".encode()
    for number in range(len(request)):
        peer.send(request[number : number + 1])
    status, _, body = peer.answer()
    said = json.loads(body)
    assert (status, said["query"]) == (200, "name=%E6%B0%B4%E8%A1%A8")
    assert said["headers"]["host"].encode("latin-1") == "表".encode()


def test_trap_7_bytes_over_ascii_of_a_body_stay_as_they_are(peer):
    body = "GET 水\n表".encode()
    head = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    for pieces in ((head + body,), (head, body), (head + body[:3], body[3:])):
        for piece in pieces:
            peer.send(piece)
        assert json.loads(peer.answer()[2])["body"].encode("latin-1") == body


@pytest.mark.parametrize(
    "content_type",
    [b"Content-Type: application/json; charset=UTF-8\r\n", b"", b"Content-Type:\r\n", b"content-type: text/html\r\n"],
)
def test_trap_10_any_content_type_arrives(peer, content_type):
    request = b"POST /echo HTTP/1.1\r\nHost: h\r\n%bContent-Length: 2\r\n\r\n{}" % content_type
    assert peer.ask(request)["body"] == "{}"


def test_trap_10_a_delete_says_that_its_body_is_empty(peer):
    for _ in range(2):
        said = peer.ask(b"DELETE /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        assert (said["method"], said["body"]) == ("DELETE", "")


def test_one_connection_serves_many_requests(peer):
    for number in range(300):
        body = b"%d" % number
        request = b"PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        assert peer.ask(request)["body"] == str(number)


def test_pipelined_requests_are_answered_in_their_order(peer):
    peer.send(b"".join(b"GET /echo?%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(50)))
    assert [json.loads(peer.answer()[2])["query"] for _ in range(50)] == [str(number) for number in range(50)]


def test_a_body_in_chunks_is_put_together(peer):
    chunks = b"".join(b"%x;extension=1\r\n%b\r\n" % (size, b"x" * size) for size in (1, 100, 5000))
    peer.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    peer.send(b"0\r\nTrailer: a\r\n\r\n")
    status, _, body = peer.answer()
    assert (status, len(json.loads(body)["body"])) == (200, 5101)


def test_whoever_asks_for_leave_to_send_gets_it(peer):
    peer.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert peer.file.readline().startswith(b"HTTP/1.1 100 ")
    assert peer.file.readline() == b"\r\n"
    assert peer.ask(b"abc")["body"] == "abc"


def test_a_wish_for_another_protocol_is_not_heard(peer):
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    assert peer.ask(b"GET /echo HTTP/1.1\r\nHost: h\r\n%b\r\n" % wish)["method"] == "GET"


def test_http_1_0_is_served_and_closed(peer):
    peer.send(b"GET /echo HTTP/1.0\r\n\r\n")
    status, headers, _ = peer.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert peer.file.read() == b""
