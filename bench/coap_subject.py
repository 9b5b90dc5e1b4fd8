"""A CoAP server or client to be measured, in a process of its own.

Usage: python -m bench.coap_subject serve|push ours|ours-secure|aiocoap BODY_SIZE. A server prints its port. A client
reads the ports of its devices from standard input, one line, and pushes a body to each of them over and over. Both go
on until standard input ends.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable

from bench.load_peers import KEY
from firmcast.coap.codes import Code
from firmcast.coap.dtls.layer import Deliver, Ended, Transmit
from firmcast.coap.dtls.parameters import DtlsParameters
from firmcast.coap.dtls.server import DtlsServer
from firmcast.coap.endpoint import Event, RequestReceived, StaticBody
from firmcast.coap.options import options
from firmcast.coap.udp import UdpEndpoint

_GREETING = b"hello"
_CONTENT_FORMAT = 42


async def _end_of_input() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def serve_ours(body: bytes, *, secure: bool = False) -> None:
    """Answer /greeting by an event each, /static and /firmware from static bodies."""
    firmware = StaticBody(body, etag=b"bench", content_format=_CONTENT_FORMAT)
    greeting = StaticBody(_GREETING, etag=b"bench", content_format=0)
    bodies: dict[tuple[str, ...], StaticBody] = {("firmware",): firmware, ("static",): greeting}

    def answer(event: Event) -> None:
        if isinstance(event, RequestReceived):
            udp.respond(event, Code.CONTENT, payload=_GREETING)

    udp = UdpEndpoint.closed(on_event=answer)
    if secure:
        await _listen_securely(udp)
    else:
        await udp.listen("127.0.0.1", 0)
    udp.endpoint.fast_route(lambda request, _peer: bodies.get(request.uri_path))
    print(udp.address[1], flush=True)
    await _end_of_input()
    udp.close()


async def _listen_securely(udp: UdpEndpoint) -> None:
    servers: list[DtlsServer] = []

    def look_up(identity: str) -> None:
        servers[0].key_found(identity, KEY, udp.now())

    def make(deliver: Deliver, transmit: Transmit, ended: Ended) -> DtlsServer:
        parameters = DtlsParameters(sessions_of_identity=1000)
        servers.append(
            DtlsServer(
                deliver=deliver,
                transmit=transmit,
                ended=ended,
                look_up=look_up,
                count=lambda _: None,
                parameters=parameters,
            )
        )
        return servers[0]

    await udp.listen_securely("127.0.0.1", 0, make)


async def serve_aiocoap(body: bytes) -> None:
    """Serve the same with aiocoap."""
    import aiocoap
    import aiocoap.resource

    class Fixed(aiocoap.resource.Resource):  # type: ignore[misc]  # aiocoap ships no types
        def __init__(self, payload: bytes) -> None:
            super().__init__()
            self.payload = payload

        async def render_get(self, _request: aiocoap.Message) -> aiocoap.Message:
            return aiocoap.Message(payload=self.payload)

    site = aiocoap.resource.Site()
    site.add_resource(["greeting"], Fixed(_GREETING))
    site.add_resource(["firmware"], Fixed(body))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port))
    print(port, flush=True)
    await _end_of_input()
    await context.shutdown()


async def push_ours(ports: list[int], body: bytes) -> None:
    """Push to all devices at once, over and over, with our client role."""
    udp = await UdpEndpoint.open("127.0.0.1", 0)
    wording = options(uri_path=("5", "0", "0"), content_format=_CONTENT_FORMAT)

    async def push(port: int) -> None:
        await udp.request(("127.0.0.1", port), Code.PUT, options=wording, payload=body)

    await _push_until_told(ports, push)
    udp.close()


async def push_aiocoap(ports: list[int], body: bytes) -> None:
    """Push the same with aiocoap."""
    import aiocoap

    context = await aiocoap.Context.create_client_context()

    async def push(port: int) -> None:
        uri = f"coap://127.0.0.1:{port}/5/0/0"
        message = aiocoap.Message(code=aiocoap.PUT, uri=uri, payload=body, content_format=_CONTENT_FORMAT)
        await context.request(message).response

    await _push_until_told(ports, push)
    await context.shutdown()


async def _push_until_told(ports: list[int], push: Callable[[int], Awaitable[None]]) -> None:
    async def repeat(port: int) -> None:
        while True:
            await push(port)

    tasks = [asyncio.ensure_future(repeat(port)) for port in ports]
    await _end_of_input()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Run the subject that the command line names."""
    role, engine, size = sys.argv[1:]
    body = bytes(range(256)) * (int(size) // 256)
    if role == "serve":
        served = serve_aiocoap(body) if engine == "aiocoap" else serve_ours(body, secure=engine == "ours-secure")
        asyncio.run(served)
    else:
        ports = [int(port) for port in sys.stdin.readline().split()]
        asyncio.run(push_ours(ports, body) if engine == "ours" else push_aiocoap(ports, body))


if __name__ == "__main__":
    main()
