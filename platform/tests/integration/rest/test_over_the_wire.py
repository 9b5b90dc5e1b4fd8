"""What the HTTP server itself lets through, seen from a socket: clients write requests that servers like to mend."""

import asyncio
import contextlib
import json

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from firmcast.rest.answers import empty_answer, plain_answer
from firmcast.rest.application import http_application
from firmcast.rest.requests import read_body
from firmcast.rest.server import HttpsServer


async def echo(request: Request) -> Response:
    body = await read_body(request, 1 << 20)
    return plain_answer(
        {
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.raw},
            "query": request.scope["query_string"].decode("latin-1"),
            "body": body.decode("latin-1"),
        }
    )


async def nothing(_request: Request) -> Response:
    return empty_answer()


@pytest.fixture
async def server():
    routes = [Route("/echo", echo, methods=["GET", "POST", "DELETE"]), Route("/nothing", nothing)]
    server = await HttpsServer.start(http_application(routes), host="127.0.0.1", port=0)
    yield server
    await server.stop()


@contextlib.asynccontextmanager
async def connected(server):
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer_of(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    return status, headers, await reader.readexactly(int(headers.get(b"content-length", b"0")))


async def exchange(server, request):
    async with connected(server) as (reader, writer):
        writer.write(request)
        return await answer_of(reader)


async def test_header_names_with_underscores_reach_us(server):
    request = b"GET /echo HTTP/1.1\r\nHost: h\r\nApp_key: a\r\nAccess_token: b\r\nX-App-Key: c\r\n\r\n"
    _, _, body = await exchange(server, request)
    headers = json.loads(body)["headers"]
    assert (headers["app_key"], headers["access_token"], headers["x-app-key"]) == ("a", "b", "c")


@pytest.mark.parametrize("query", ["?&a=b", "&a=b&", "%00x%00a=b", "a=http://h:1/?x"])
async def test_queries_reach_us_as_they_were_written(server, query):
    request = f"GET /echo?{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode("latin-1")
    _, _, body = await exchange(server, request)
    assert json.loads(body)["query"] == query


async def test_a_delete_may_have_a_body_of_length_zero(server):
    status, _, body = await exchange(server, b"DELETE /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    assert (status, json.loads(body)["body"]) == (200, "")


async def test_whoever_waits_for_leave_to_send_gets_it(server):
    async with connected(server) as (reader, writer):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"abc")
        status, _, body = await answer_of(reader)
    assert (status, json.loads(body)["body"]) == (200, "abc")


async def test_an_empty_answer_names_its_type_and_the_connection_stays(server):
    async with connected(server) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
            status, headers, body = await answer_of(reader)
            assert (status, headers[b"content-type"], headers[b"content-length"], body) == (
                200,
                b"application/json",
                b"0",
                b"",
            )


@pytest.mark.parametrize("size", [(1 << 20) + 1, 10 << 20])
@pytest.mark.parametrize("chunked", [False, True])
async def test_whoever_sends_too_much_reads_why(server, size, chunked):
    async with connected(server) as (reader, writer):
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        writer.write(f"POST /echo HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n".encode())
        body = b"x" * size
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked else body)
        await writer.drain()
        status, headers, answer = await answer_of(reader)
    assert (status, headers[b"content-type"]) == (413, b"application/json")
    assert json.loads(answer) == {"error_code": "100022", "error_desc": "The input is invalid."}


@pytest.mark.parametrize("path", ["/", "/echo/", "/%00", "/%ff", "//echo"])
async def test_unknown_paths_are_told_as_json(server, path):
    status, headers, body = await exchange(server, f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (status, headers[b"content-type"]) == (404, b"application/json")
    assert json.loads(body)["error_code"] == "100225"
