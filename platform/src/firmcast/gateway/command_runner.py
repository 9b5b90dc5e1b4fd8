"""An order becomes an exchange with its device, and whatever comes of it becomes one input of the state machine."""

import asyncio
from functools import partial
from typing import Final, assert_never

import structlog

from firmcast.coap.events import Peer
from firmcast.db.patience import patiently
from firmcast.devices.model import CommandKind, DeviceCommand
from firmcast.errors import StoreError
from firmcast.firmware.package_files import PackageUnreadableError
from firmcast.gateway import commands
from firmcast.gateway.addresses import PackageAddresses
from firmcast.gateway.checks import Checks
from firmcast.gateway.device_link import (
    DeviceAsleepError,
    DeviceBusyError,
    DeviceLink,
    DeviceRefusedError,
    DeviceSilentError,
)
from firmcast.gateway.fetch_places import FetchPlaces
from firmcast.gateway.transfers import Transfer, Transfers
from firmcast.ids import DeviceId
from firmcast.lwm2m.firmware_update import LONGEST_PACKAGE_URI, Protocol
from firmcast.upgrades.model import CommandAnswered, CommandFailed, CommandFailure, ResourcesReported

_log = structlog.get_logger()
_REPEATABLE: Final = (CommandKind.INSPECT, CommandKind.PROBE, CommandKind.RESET, CommandKind.CHECK)
"""What may be asked of a device once more whether it heard it or not; of anything else its state is in doubt then."""

_LOOKS: Final = (CommandKind.INSPECT, CommandKind.PROBE)

_NO_TRANSFER: Final = "no open upgrade has this transfer token"


class _ImpossibleError(Exception):
    """The order cannot be given as things are. The message is for a person."""


class CommandRunner:
    """Carries out one order at a time for each device, and not more than so many transfers in all."""

    def __init__(
        self,
        transfers: Transfers,
        addresses: PackageAddresses,
        *,
        transfer_limit: int,
        fetch_places: FetchPlaces,
        checks: Checks | None = None,
    ) -> None:
        self._transfers = transfers
        self._fetch_places = fetch_places
        self._checks = checks
        self._addresses = addresses
        self._slots = asyncio.Semaphore(transfer_limit)
        self._written: dict[DeviceId, Transfer] = {}

    async def run(
        self, link: DeviceLink, command: DeviceCommand, *, may_be_repeat: bool
    ) -> CommandAnswered | CommandFailed | None:
        """Carry out `command`; `may_be_repeat` tells that an earlier try may have reached the device.

        Returns None where the order goes on waiting, since the device sleeps. A store that is away is waited for.
        Raises StoreError when it is broken or closed.
        """
        command_id = command.command_id
        failure, description, resources = CommandFailure.REJECTED, "", ResourcesReported()
        is_busy = False
        try:
            told = await self._carry_out(link, command, may_be_repeat=may_be_repeat)
            return CommandAnswered(command_id=command_id, resources=told)
        except DeviceAsleepError as error:
            if command.kind in _REPEATABLE or not error.asked:
                return None
            failure, description = CommandFailure.UNREACHABLE, str(error)
        except DeviceSilentError as error:
            failure, description = CommandFailure.UNREACHABLE, str(error)
            is_busy = isinstance(error, DeviceBusyError)
            # What it told before it fell silent may be all that it ever tells.
            resources = link.told() if command.kind in _LOOKS else resources
        except DeviceRefusedError as error:
            failure = CommandFailure.BROKEN_OFF if error.has_lost_blocks else CommandFailure.REJECTED
            description, resources = error.description, error.resources
        except PackageUnreadableError as error:
            failure, description = CommandFailure.NO_BYTES, str(error)
        except _ImpossibleError as error:
            description = str(error)
        except StoreError:
            raise
        except Exception as error:
            # A fault of ours with one device must not stop the others.
            _log.error("command.fault", kind=command.kind.value, device_id=command.device_id, exc_info=error)
            description = f"a fault of the platform: {type(error).__name__}"
        return CommandFailed(
            command_id=command_id, failure=failure, description=description, resources=resources, is_busy=is_busy
        )

    def acknowledged(self, device_id: DeviceId, sent: int) -> None:
        """Note that a device has acknowledged `sent` bytes of the package that is being written to it."""
        transfer = self._written.get(device_id)
        if transfer is not None:
            self._transfers.advance(transfer, sent, 0)

    async def _carry_out(self, link: DeviceLink, command: DeviceCommand, *, may_be_repeat: bool) -> ResourcesReported:
        match command.kind:
            case CommandKind.INSPECT:
                return await commands.inspect(link)
            case CommandKind.PROBE:
                return await commands.probe(link)
            case CommandKind.TRANSFER_BY_URI:
                return await self._transfer_by_uri(link, command.transfer_token, may_be_repeat=may_be_repeat)
            case CommandKind.TRANSFER_BY_WRITE:
                return await self._transfer_by_write(link, command.transfer_token)
            case CommandKind.EXECUTE:
                return await commands.execute(link, may_be_repeat=may_be_repeat)
            case CommandKind.RESET:
                self._transfers.forget(command.transfer_token)
                return await commands.reset(link)
            case CommandKind.CHECK:
                if self._checks is not None:
                    await self._checks.carry_out(link)
                return ResourcesReported()
            case _:
                assert_never(command.kind)

    async def _transfer_by_uri(self, link: DeviceLink, token: str, *, may_be_repeat: bool) -> ResourcesReported:
        # Looked up before the device can ask, and so that it is not sent after bytes that are not there.
        transfer = await patiently(partial(self._transfers.look_up, token))
        if transfer is None:
            raise _ImpossibleError(_NO_TRANSFER)
        transfer.offered_to = link.device.answered_from
        if not may_be_repeat:
            await self._fetch_places.take(transfer)
            self._transfers.begin_anew(transfer)
        try:
            uri = self._uri(token, link.device.peer, transfer.target.protocol)
            return await commands.transfer_by_uri(link, uri, may_be_repeat=may_be_repeat)
        except BaseException:
            self._fetch_places.leave(transfer)
            raise

    async def _transfer_by_write(self, link: DeviceLink, token: str) -> ResourcesReported:
        async with self._slots:
            transfer = await self._find(token)
            device_id = link.device.device_id
            self._transfers.begin_anew(transfer, by_write=True)
            self._written[device_id] = transfer
            try:
                pace = None if transfer.pace is None else transfer.pace.reserve
                told = await commands.transfer_by_write(link, transfer.body, pace)
            except DeviceSilentError as error:
                if error.has_timed_out and not transfer.reached:
                    link.write_otherwise()
                await patiently(partial(self._transfers.check_bytes, transfer))
                raise
            except DeviceRefusedError:
                self._transfers.refused(transfer)
                raise
            finally:
                del self._written[device_id]
            self._transfers.finish(transfer)
            return told

    async def _find(self, token: str) -> Transfer:
        transfer = await patiently(partial(self._transfers.find, token))
        if transfer is None:
            raise _ImpossibleError(_NO_TRANSFER)
        return transfer

    def _uri(self, token: str, peer: Peer, protocol: Protocol | None) -> str:
        try:
            uri = self._addresses.uri(token, peer, protocol)
        except OSError as error:
            raise _ImpossibleError(f"no address to fetch the package from: {error}") from error
        except KeyError:
            raise _ImpossibleError("packages are no longer served by the protocol that was chosen") from None
        if not uri.isascii():
            raise _ImpossibleError(f"the address of the package is not ASCII: {uri}")
        if len(uri) > LONGEST_PACKAGE_URI:
            raise _ImpossibleError(f"the address of the package has more than {LONGEST_PACKAGE_URI} characters")
        return uri
