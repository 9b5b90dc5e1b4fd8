"""A package on its way to a device is known by its token, and how far it came to whoever asks; neither is stored.

What is stored is that a transfer has begun or ended: the first block is reported, and for a written package the last.
Of a block between them hardly anything is to be done, and each costs as much as the bookkeeping that it makes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from firmcast.coap.events import Peer
from firmcast.coap.static_bodies import StaticBody
from firmcast.db.port import Database
from firmcast.errors import NotFoundError
from firmcast.gateway.images import PackageImages
from firmcast.gateway.pacing import Pace, Pacing
from firmcast.ids import DeviceId, DeviceUpgradeId
from firmcast.journal.model import Transfer as JournalTransfer
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.model import DeviceReport, TransferProgressed, TransferTarget

_KNOWN_LIMIT: Final = 100_000

Report = Callable[[DeviceReport], None]

TellBlock = Callable[["Transfer", bool], None]
"""Is told of each block, but for those of a transfer that is followed, and whether it was the last one to go."""


def _untold(_transfer: "Transfer", _completes: bool) -> None:
    """Tell nobody."""


class Transfer:
    """One package on its way to one device."""

    __slots__ = (
        "began_at",
        "blocks",
        "body",
        "by_write",
        "first_block",
        "has_begun",
        "is_followed",
        "is_over",
        "last_at",
        "noted_at",
        "offered_to",
        "pace",
        "reached",
        "restarts",
        "target",
    )

    def __init__(self, target: TransferTarget, body: StaticBody, pace: Pace | None = None) -> None:
        self.target = target
        self.body = body
        self.pace = pace
        """How fast its bytes may leave, whichever way they go; None for no bound."""
        self.reached = 0
        """Bytes up to the furthest block that was served, or acknowledged."""
        self.has_begun = False
        self.is_followed = False
        """True while those who are told of blocks look by themselves how far it has come, and need not be told."""
        self.is_over = False
        """True when no more of it is to be sent."""
        self.by_write = False
        """True when the package is written to the device, False when the device fetches it."""
        self.began_at: datetime | None = None
        """When the first block since the order went to the device, and the latest one; None before it."""
        self.last_at: datetime | None = None
        self.blocks = 0
        self.first_block = 0
        """Bytes of the first of them that was fetched."""
        self.restarts = 0
        self.offered_to: Peer | None = None
        """Where its device had done what it was asked to, when its address was written to it."""
        self.noted_at: datetime | None = None
        """When the journal was last told how far it has come; None since the order."""

    @property
    def is_complete(self) -> bool:
        """True when the last byte has gone to the device."""
        return self.reached >= self.body.size

    def summary(self) -> JournalTransfer | None:
        """Return how far it has come since the order, for the journal; None before the first block."""
        if self.began_at is None or self.last_at is None:
            return None
        return JournalTransfer(
            way="write" if self.by_write else "uri",
            began_at=self.began_at,
            last_at=self.last_at,
            blocks=self.blocks,
            reached=self.reached,
            total=self.body.size,
            restarts=self.restarts,
            block=self.first_block,
        )


class Transfers:
    """Every transfer that was lately begun or asked for."""

    def __init__(
        self,
        database: Database,
        images: PackageImages,
        *,
        report: Report,
        heard: Callable[[DeviceId], None],
        now: Callable[[], datetime],
        pacing: Pacing | None = None,
        tell_block: TellBlock = _untold,
    ) -> None:
        """Say by `report` what is to be stored, and by `heard` whose device shows that it listens."""
        self._database = database
        self._images = images
        self._report = report
        self._heard = heard
        self._now = now
        self._pacing = pacing or Pacing()
        self._by_token: dict[str, Transfer] = {}
        self._by_upgrade: dict[DeviceUpgradeId, Transfer] = {}
        self._tell_block = tell_block
        self.known: Callable[[str], Transfer | None] = self._by_token.get
        """Returns the transfer of a token if it was found before; is asked twice for each block."""

    async def find(self, token: str) -> Transfer | None:
        """Return the transfer of a token, None where no open upgrade has that token.

        Raises:
            PackageUnreadableError: the bytes of the package cannot be read.
        """
        transfer = self._by_token.get(token)
        if transfer is None:
            try:
                target = await self._database.read(upgrades.transfer, token)
            except NotFoundError:
                return None
            body = await self._images.body(target.digest, target.size)
            transfer = self._by_token.get(token) or self._keep(token, Transfer(target, body, self._pacing.pace()))
        return transfer

    async def look_up(self, token: str) -> Transfer | None:
        """Return the same as `find`, and as the store has it now: its upgrade may have ended, or offer it otherwise."""
        transfer = self._by_token.get(token)
        if transfer is None:
            return await self.find(token)
        try:
            transfer.target = await self._database.read(upgrades.transfer, token)
        except NotFoundError:
            self.forget(token)
            return None
        return transfer

    async def check_bytes(self, transfer: Transfer) -> None:
        """Find out whether the package can be read from end to end, and go on with what was read.

        Raises PackageUnreadableError, and StoreError while the store that keeps the bytes cannot be read.
        """
        transfer.body = await self._images.check(transfer.target.digest, transfer.target.size)

    def progress(self, device_upgrade_id: DeviceUpgradeId) -> tuple[int, int] | None:
        """Return how many bytes of how many have gone to the device; None where no transfer of it is known."""
        transfer = self._by_upgrade.get(device_upgrade_id)
        return None if transfer is None else (transfer.reached, transfer.body.size)

    def forget(self, token: str) -> None:
        """Look a transfer up in the store before it is served again: its upgrade may have ended.

        A device that goes on fetching whatever it is told gets no further block then.
        """
        transfer = self._by_token.pop(token, None)
        if transfer is not None:
            transfer.is_over = True

    def begin_anew(self, transfer: Transfer, *, by_write: bool = False) -> None:
        """Note that the package goes to the device from its first byte on, since that was ordered."""
        transfer.reached = 0
        transfer.has_begun = transfer.is_followed = False
        transfer.by_write = by_write
        transfer.began_at = transfer.last_at = transfer.noted_at = None
        transfer.blocks = transfer.restarts = transfer.first_block = 0

    def advance(self, transfer: Transfer, offset: int, length: int) -> None:
        """Note that `length` bytes from `offset` went to the device; the first ones are reported, and the last fetched.

        A device that asks for the first byte again has begun anew.
        """
        self._heard(transfer.target.device_id)
        now = self._now()
        end = offset + length
        if transfer.is_followed and offset and transfer.reached < end < transfer.body.size:
            transfer.reached = end
            transfer.last_at = now
            transfer.blocks += 1
            return
        self._advance(transfer, offset, length, now)

    def _advance(self, transfer: Transfer, offset: int, length: int, now: datetime) -> None:
        was_complete = transfer.is_complete
        if not offset and transfer.reached > length:
            transfer.restarts += 1
        transfer.reached = max(transfer.reached if offset else 0, offset + length)
        transfer.began_at, transfer.last_at = transfer.began_at or now, now
        transfer.blocks += 1
        transfer.first_block = transfer.first_block or length
        self._tell_block(transfer, transfer.is_complete and not was_complete)
        if not transfer.has_begun:
            transfer.has_begun = True
            self._report_progress(transfer, finished=False)
        if transfer.is_complete and not was_complete and not transfer.by_write:
            self._report_progress(transfer, finished=True)

    def refused(self, transfer: Transfer) -> None:
        """Note that the device takes no more blocks of what is written to it."""
        if transfer.blocks and not transfer.is_complete:
            self._tell_block(transfer, True)

    def finish(self, transfer: Transfer) -> None:
        """Note, and report, that the device has taken the last byte."""
        if not transfer.is_complete:
            self.advance(transfer, transfer.body.size, 0)
        self._report_progress(transfer, finished=True)

    def _report_progress(self, transfer: Transfer, *, finished: bool) -> None:
        told = TransferProgressed(finished=finished)
        self._report(DeviceReport(device_id=transfer.target.device_id, input=told, occurred_at=self._now()))

    def _keep(self, token: str, transfer: Transfer) -> Transfer:
        self._by_token[token] = transfer
        self._by_upgrade[transfer.target.device_upgrade_id] = transfer
        if len(self._by_token) > _KNOWN_LIMIT:
            # The oldest one is found again in the store if its device still asks.
            oldest = self._by_token.pop(next(iter(self._by_token)))
            if self._by_upgrade.get(oldest.target.device_upgrade_id) is oldest:
                del self._by_upgrade[oldest.target.device_upgrade_id]
        return transfer
