"""A download goes on until the package is whole, and after a break from where it stopped; by CoAP it is block by block.

It goes on only while the package is still the one it was, as its entity tag tells; otherwise it begins again.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firmcast.clock import Clock
from firmcast.coap.block import Block
from firmcast.coap.codes import Code
from firmcast.coap.events import FailureReason, Peer, ResponseReceived
from firmcast.coap.options import Options, options
from firmcast.coap.udp import RequestFailedError
from firmcast.lwm2m.firmware_update import UpdateResult
from firmcast.simulator import http_download
from firmcast.simulator.download_errors import DownloadFailedError, ServerBusyError
from firmcast.simulator.firmware_object import wrong_with
from firmcast.simulator.package_address import PackageAddress, PackageAddressError, parse_package_address
from firmcast.simulator.package_intake import PackageIntake
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.timing import DeviceTiming
from firmcast.simulator.transport import Transport

LARGEST_PACKAGE = 1 << 30
"""Bytes; it bounds what a device takes, and nothing is kept of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloader:
    """What downloads of one device have in common; `on_progress` is called after each block.

    `authority` is a PEM file: whom the device trusts with HTTPS, None for those that this machine trusts.
    """

    transport: Transport
    profile: DeviceProfile
    timing: DeviceTiming
    clock: Clock
    on_progress: Callable[[PackageIntake], None]
    authority: Path | None = None

    async def fetch(self, uri: str, intake: PackageIntake) -> None:
        """Bring the package at `uri` into `intake`. Raises DownloadFailedError."""
        wrong = wrong_with(self.profile, uri)
        if wrong is not None:
            raise DownloadFailedError(wrong)
        try:
            address = parse_package_address(uri)
        except PackageAddressError as error:
            raise DownloadFailedError(UpdateResult.INVALID_URI) from error
        if address.scheme not in (self.transport.scheme, *http_download.SCHEMES):
            raise DownloadFailedError(UpdateResult.UNSUPPORTED_PROTOCOL)
        received, since = -1, self.clock.monotonic()
        while True:
            try:
                if await self._fetch_rest(address, intake):
                    return
            except DownloadFailedError as error:
                if error.result is UpdateResult.INVALID_URI:
                    raise DownloadFailedError(self.profile.missing_package_is) from error
                raise
            except (RequestFailedError, OSError) as error:
                if isinstance(error, RequestFailedError) and error.reason is FailureReason.TOO_LARGE:
                    raise DownloadFailedError(UpdateResult.NOT_ENOUGH_FLASH) from error
                now = self.clock.monotonic()
                if intake.received != received:
                    received, since = intake.received, now
                elif now - since >= self.timing.download_patience:
                    raise DownloadFailedError(UpdateResult.CONNECTION_LOST) from error
                await asyncio.sleep(self.timing.download_retry_delay)

    async def _fetch_rest(self, address: PackageAddress, intake: PackageIntake) -> bool:
        """Fetch what is missing; False when the package has changed meanwhile and must be fetched from its start."""
        if not self.profile.resumes:
            intake.begin()
        if address.scheme not in http_download.SCHEMES:
            peer = self.transport.peer(await resolve(address.host, address.port))
            return await self._fetch_blocks(peer, address, intake)
        return await http_download.fetch_rest(
            address.without_query() if self.profile.drops_query else address,
            intake,
            authority=self.authority,
            patience=self.timing.download_patience,
            largest=LARGEST_PACKAGE,
            on_progress=self.on_progress,
        )

    async def _fetch_blocks(self, peer: Peer, address: PackageAddress, intake: PackageIntake) -> bool:
        szx = self.profile.block_szx
        number = intake.received >> (szx + 4)
        # One block alone first: it tells which package this is before the rest is trusted to follow.
        first = await self._get(peer, address, Block(number, False, szx), whole=False)
        block = first.message.block2
        if number and first.message.etag != intake.entity_tag:
            intake.begin()
            return False
        if number == 0:
            intake.begin()
            intake.entity_tag, intake.total = first.message.etag, first.message.size2
        intake.write(number << (szx + 4), first.payload)
        self.on_progress(intake)
        if block is None or not block.more:
            return True
        following = Block(intake.received >> (block.szx + 4), False, block.szx)
        last = await self._get(peer, address, following, whole=True, intake=intake)
        if last.message.etag != intake.entity_tag:
            intake.begin()
            return False
        return True

    async def _get(
        self,
        peer: Peer,
        address: PackageAddress,
        block: Block,
        *,
        whole: bool,
        intake: PackageIntake | None = None,
    ) -> ResponseReceived:
        def take(offset: int, chunk: bytes) -> None:
            if intake is not None:
                intake.write(offset, chunk)
                self.on_progress(intake)

        try:
            response = await self.transport.udp.request(
                peer,
                Code.GET,
                options=self._wording(address, block),
                szx=block.szx,
                max_body=LARGEST_PACKAGE,
                whole=whole,
                sink=None if intake is None else take,
            )
        except RequestFailedError as error:
            if error.reason is FailureReason.TIMEOUT:
                self.transport.unanswered(peer)
            raise
        if response.code == Code.CONTENT:
            return response
        if response.code >= Code.INTERNAL_SERVER_ERROR or response.code == Code.TOO_MANY_REQUESTS:
            raise ServerBusyError(response.code)
        raise DownloadFailedError(UpdateResult.INVALID_URI)

    def _wording(self, address: PackageAddress, block: Block) -> Options:
        query = () if self.profile.drops_query else address.query
        return options(uri_path=address.path, uri_query=query, block2=block)


async def resolve(host: str, port: int) -> Peer:
    """Return the socket address of a host. Raises OSError when its name is not known."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return found[0][4]
