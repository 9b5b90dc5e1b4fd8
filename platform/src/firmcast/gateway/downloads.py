"""A device fetches its package from `/fw/<token>`, any block at any time; the token opens it to whoever has it.

But not to one who has proved, by a secure session, to be another device.

Blocks of a transfer that is known are answered within the engine; the first request for a token after a start waits
for the store, and one whose bytes may not leave yet for its time.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from firmcast.coap.block import LARGEST_SZX, Block, BlockError
from firmcast.coap.codes import Code
from firmcast.coap.dtls.peers import identity_of
from firmcast.coap.events import Peer, RequestReceived
from firmcast.coap.options import options
from firmcast.coap.static_bodies import StaticBody, StaticRequest
from firmcast.coap.udp import UdpEndpoint
from firmcast.errors import StoreError
from firmcast.firmware.package_files import PackageUnreadableError
from firmcast.gateway.addresses import PACKAGE_PATH, is_same_host
from firmcast.gateway.live_devices import LiveDevice
from firmcast.gateway.transfers import Transfer, Transfers
from firmcast.ids import DeviceId

_LOOK_UPS_AT_ONCE: Final = 64
_LOOK_UPS_WAITING: Final = 4096
_PACED_LIMIT: Final = 50_000
_log = structlog.get_logger()


class Downloads:
    """The downloads of all devices."""

    def __init__(
        self,
        transfers: Transfers,
        largest_szx: Callable[[Peer], int],
        *,
        device_of: Callable[[DeviceId], LiveDevice | None],
        block_exponent: int = LARGEST_SZX,
    ) -> None:
        """Bind the parts; `largest_szx` tells for a peer which blocks it takes at the most, `device_of` who is live."""
        self._transfers = transfers
        self._device_of = device_of
        self._largest_szx = largest_szx
        self._block_exponent = block_exponent
        self._turns = asyncio.Semaphore(_LOOK_UPS_AT_ONCE)
        self._look_ups: set[asyncio.Task[None]] = set()
        self._paced: set[asyncio.TimerHandle] = set()

    def route(self, request: StaticRequest, peer: Peer) -> StaticBody | None:
        """Return the package that a request is for, if its transfer is known and its blocks may be of any size."""
        path = request.uri_path
        if len(path) != 2 or path[0] != PACKAGE_PATH or self._largest_szx(peer) < self._block_exponent:
            return None
        transfer = self._transfers.known(path[1])
        if transfer is None or (transfer.pace is not None and not transfer.pace.may_send()):
            return None
        return transfer.body if _may_fetch(peer, transfer) else None

    def block_served(self, _peer: Peer, path: tuple[str, ...], offset: int, length: int, _total: int) -> None:
        """Note that a block has gone out."""
        transfer = self._transfers.known(path[1])
        if transfer is not None:
            if transfer.pace is not None:
                transfer.pace.reserve(length)
            self._transfers.advance(transfer, offset, length)

    def answer(self, request: RequestReceived, udp: UdpEndpoint) -> None:
        """Answer a request when its transfer is known, for which the store is asked, and its bytes may leave."""
        transfer = self._transfers.known(request.message.uri_path[1])
        if transfer is not None and _may_fetch(request.peer, transfer):
            self._serve_at_its_pace(request, transfer, udp)
            return
        if len(self._look_ups) >= _LOOK_UPS_WAITING:
            udp.respond(request, Code.SERVICE_UNAVAILABLE)
            return
        look_up = asyncio.create_task(self._look_up(request, udp), name="download-look-up")
        self._look_ups.add(look_up)
        look_up.add_done_callback(self._look_ups.discard)

    async def stop(self) -> None:
        """Leave what is being looked up unanswered; its devices ask again."""
        for look_up in self._look_ups:
            look_up.cancel()
        await asyncio.gather(*self._look_ups, return_exceptions=True)
        for timer in self._paced:
            timer.cancel()

    async def _look_up(self, request: RequestReceived, udp: UdpEndpoint) -> None:
        token = request.message.uri_path[1]
        try:
            async with self._turns:
                # Anew where it is known: the device may have been given another name since.
                transfer = await self._transfers.look_up(token)
        except PackageUnreadableError as error:
            _log.error("download.unreadable", reason=str(error))
            udp.respond(request, Code.INTERNAL_SERVER_ERROR)
            return
        except StoreError:
            udp.respond(request, Code.SERVICE_UNAVAILABLE)
            return
        if transfer is None:
            udp.respond(request, Code.NOT_FOUND)
        elif not _may_fetch(request.peer, transfer):
            _log.warning("download.foreign", device_id=transfer.target.device_id, identity=identity_of(request.peer))
            udp.respond(request, Code.FORBIDDEN)
        else:
            self._serve_at_its_pace(request, transfer, udp)

    def _serve_at_its_pace(self, request: RequestReceived, transfer: Transfer, udp: UdpEndpoint) -> None:
        """Answer when the bytes may leave: the engine acknowledges meanwhile, so that the device does not ask again."""
        if self._is_where_its_device_is(request.peer, transfer):
            udp.endpoint.vouch_for_bodies(request.peer)
        pace = transfer.pace
        wait = 0.0 if pace is None else pace.reserve(self._block_size(request))
        if pace is None or wait <= 0:
            self._serve(request, transfer, udp)
            return
        if len(self._paced) >= _PACED_LIMIT:
            udp.respond(request, Code.SERVICE_UNAVAILABLE)
            return

        def serve() -> None:
            self._paced.discard(timer)
            pace.waiting -= 1
            self._serve(request, transfer, udp)

        pace.waiting += 1
        timer = asyncio.get_running_loop().call_later(wait, serve)
        self._paced.add(timer)

    def _is_where_its_device_is(self, peer: Peer, transfer: Transfer) -> bool:
        """Tell whether whoever knows a token is on the host on which its device was asked something, and did it.

        A device fetches from another port than it registered from, and goes on when its registration has run out.
        Anybody else has to show himself to the engine: the device may name whose address it likes.
        """
        device = self._device_of(transfer.target.device_id)
        known = (transfer.offered_to, None if device is None else device.answered_from)
        return any(address is not None and is_same_host(address, peer) for address in known)

    def _block_size(self, request: RequestReceived) -> int:
        try:
            asked = request.message.block2
        except BlockError:
            asked = None
        largest = min(self._block_exponent, self._largest_szx(request.peer))
        return 1 << (4 + (largest if asked is None else min(asked.szx, largest)))

    def _serve(self, request: RequestReceived, transfer: Transfer, udp: UdpEndpoint) -> None:
        body, respond = transfer.body, udp.respond
        try:
            asked = request.message.block2
        except BlockError:
            respond(request, Code.BAD_REQUEST)
            return
        largest = min(self._block_exponent, self._largest_szx(request.peer))
        block = Block(0, more=False, szx=largest) if asked is None else asked
        if block.szx > largest:
            block = Block(block.offset >> (largest + 4), more=False, szx=largest)
        if block.number and block.offset >= body.size:
            respond(request, Code.BAD_REQUEST)
            return
        if request.message.accept not in (None, body.content_format):
            respond(request, Code.NOT_ACCEPTABLE)
            return
        try:
            payload = body.read(block.offset, block.size)
        except OSError as error:
            _log.error("download.unreadable", reason=str(error))
            respond(request, Code.INTERNAL_SERVER_ERROR)
            return
        more = block.offset + len(payload) < body.size
        wording = options(
            etag=body.etag,
            content_format=body.content_format,
            block2=Block(block.number, more=more, szx=block.szx),
            size2=None if block.number else body.size,
        )
        # Of what is held back, a piece may go, or nothing: that the device has asked is all that is known.
        goes = len(payload) if udp.endpoint.takes_bodies(request.peer) else 0
        if respond(request, Code.CONTENT, options=wording, payload=payload):
            self._transfers.advance(transfer, block.offset, goes)


def _may_fetch(peer: Peer, transfer: Transfer) -> bool:
    identity = identity_of(peer)
    return identity is None or identity == transfer.target.endpoint_name
