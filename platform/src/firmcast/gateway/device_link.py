"""One request to one device at its present address: what comes back is a code and values, or one of two errors.

A device whose address changes while it is asked is asked again at the new one, and one that is read in its new session
too. One in queue mode is asked in its awake window only; a request that the end of the window finds unanswered is given
up with it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Final

from firmcast.coap.block import LARGEST_SZX
from firmcast.coap.client import BacklogFullError
from firmcast.coap.codes import Code, ContentFormat, code_text, is_success
from firmcast.coap.events import FailureReason, Peer, ResponseReceived
from firmcast.coap.exchange import BlockPace
from firmcast.coap.options import Options, options
from firmcast.coap.parameters import TransmissionParameters
from firmcast.coap.static_bodies import StaticBody
from firmcast.coap.udp import RequestFailedError, UdpEndpoint
from firmcast.devices.model import DeviceCommand
from firmcast.gateway.awake_windows import AwakeWindows
from firmcast.gateway.live_devices import LiveDevice
from firmcast.gateway.noting import values_told, written
from firmcast.gateway.resources import NOTHING, merged, resources_of
from firmcast.gateway.written_blocks import next_exponent
from firmcast.ids import DeviceUpgradeId
from firmcast.journal.model import Exchange, ExchangeKind
from firmcast.lwm2m.content import decode_content
from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import Path
from firmcast.lwm2m.values import ResourceValues
from firmcast.upgrades.model import ResourcesReported

LARGEST_READ: Final = 1 << 16
"""Bytes of the largest answer to a read; a firmware object has a few hundred."""

_MOST_ADDRESSES: Final = 5
_USUAL_PARAMETERS: Final = TransmissionParameters()
_SILENCE: Final = (FailureReason.TIMEOUT, FailureReason.UNREACHABLE, FailureReason.CANCELLED)
_PASSING: Final = (Code.TOO_MANY_REQUESTS, Code.SERVICE_UNAVAILABLE, Code.GATEWAY_TIMEOUT)


class DeviceSilentError(Exception):
    """The device did not answer, or not sensibly: whether it acted is unknown. The message is for a person."""

    def __init__(self, description: str, *, has_timed_out: bool = False) -> None:
        """Say what is known; `has_timed_out` tells that what was sent last was sent as often as it may be."""
        super().__init__(description)
        self.has_timed_out = has_timed_out


class DeviceBusyError(DeviceSilentError):
    """The device is there, and answered that it cannot answer now."""


class DeviceAsleepError(DeviceSilentError):
    """The device, in queue mode, does not listen; `asked` tells whether a request was sent that it may have heard."""

    def __init__(self, *, asked: bool, has_timed_out: bool = False) -> None:
        description = "the device fell asleep" if asked else "the device sleeps"
        super().__init__(description, has_timed_out=has_timed_out)
        self.asked = asked


class DeviceTakesNoBlocksError(DeviceSilentError):
    """The device took the first block of what it was written for the whole, so that it has something else."""

    def __init__(self) -> None:
        super().__init__("the device takes no blocks: it answered the first one as if that were the whole")


class DeviceRefusedError(Exception):
    """The device answered with an error."""

    def __init__(self, description: str, resources: ResourcesReported, *, has_lost_blocks: bool = False) -> None:
        """Say what was answered, what was read of the device afterwards, and whether it lacks blocks it was sent."""
        super().__init__(description)
        self.has_lost_blocks = has_lost_blocks
        self.description = description
        self.resources = resources


class NoFirmwareObjectError(DeviceRefusedError):
    """The device answered that it has no state of firmware updates, and told nothing else of them."""


@dataclass(frozen=True, slots=True)
class Read:
    """What came of a read: the answer's code, and the values if it had any that can be understood."""

    code: int
    values: ResourceValues | None


NoteExchange = Callable[[LiveDevice, Exchange, DeviceUpgradeId | None], None]
"""Notes an exchange with a device, made for an upgrade or for none."""


def _not_noted(_device: LiveDevice, _what: Exchange, _device_upgrade_id: DeviceUpgradeId | None) -> None:
    """Leave it unnoted."""


CountUnanswered = Callable[[bool], None]
"""Counts a request without an answer; is told whether the device had fallen asleep, which is no fault of it."""


def _not_counted(_is_asleep: bool) -> None:
    """Leave it uncounted."""


class DeviceLink:
    """The way to one device, for as long as its registration lives."""

    def __init__(
        self,
        udp: UdpEndpoint,
        device: LiveDevice,
        windows: AwakeWindows,
        *,
        note: NoteExchange = _not_noted,
        block_exponent: int = 6,
        parameters: TransmissionParameters = _USUAL_PARAMETERS,
        count: CountUnanswered = _not_counted,
    ) -> None:
        self.device = device
        self.command: DeviceCommand | None = None
        """The order that is being carried out; what is exchanged is noted as done for it."""
        self._answers: list[ResourceValues] = []
        self._udp = udp
        self._note = note
        self._count = count
        self._windows = windows
        self._block_exponent = block_exponent
        self._short_patience = parameters.three_transmissions
        self._under_way: tuple[Peer, bytes] | None = None
        self.notifications = 0
        """How many notifications have come; a read during which this changes may be older than they are."""

    def begin(self, command: DeviceCommand) -> None:
        """Carry out an order: what is exchanged from now on is done for it."""
        self.command = command
        self._answers = []

    def told(self) -> ResourcesReported:
        """Return what the device has told in answer to the order so far."""
        return reduce(merged, map(resources_of, self._answers), NOTHING)

    def moved(self) -> None:
        """Give up waiting at the former address: what is under way begins again at the present one."""
        if self._under_way is not None and self._under_way[0] != self.device.peer:
            self._give_up()

    def fell_asleep(self) -> None:
        """Give up waiting for an answer."""
        if self._under_way is not None:
            self._give_up()

    def _give_up(self) -> None:
        assert self._under_way is not None
        self._udp.endpoint.cancel_request(*self._under_way, self._udp.now())
        self._udp.flush()

    async def read(self, path: Path, content_format: int | None, *, is_trial: bool = False) -> Read:
        """Read `path` (LwM2M Read), asking for a content format. Raises DeviceSilentError.

        A trial, which devices are known to leave without an answer, is given up earlier.
        """
        asked = self._ask(Code.GET, self._to(path, accept=content_format))
        if is_trial:
            asked = self._briefly(asked)
        response, values = await self._noted(ExchangeKind.READ, path, asked)
        return Read(response.code, values)

    async def observe(self, path: Path, content_format: int | None) -> Read:
        """Observe `path`, one of `live_devices.OBSERVED`, anew; the values are those of now. Raises DeviceSilentError.

        Notifications come under the device's token of that path.
        """
        token = self.device.token(path)
        wording = self._to(path, accept=content_format)

        async def begin(peer: Peer) -> ResponseReceived:
            self._udp.endpoint.forget_observation(peer, token, self._udp.now())
            return await self._udp.observe(peer, wording, token)

        asked = self._repeated(begin, token, only_reads=True)
        response, values = await self._noted(ExchangeKind.OBSERVE, path, asked)
        return Read(response.code, values)

    async def discover(self, path: Path) -> ResponseReceived:
        """Discover what there is at `path` (LwM2M Discover); the answer is link format. Raises DeviceSilentError."""
        asked = self._ask(Code.GET, self._to(path, accept=int(ContentFormat.LINK_FORMAT)))
        return (await self._noted(ExchangeKind.DISCOVER, path, asked))[0]

    async def try_observation(self, path: Path) -> tuple[ResponseReceived, ResponseReceived | None]:
        """Observe `path` beside whatever else observes it, and end that at once; return both answers.

        There is no second one where the device did not begin to observe, or does not answer to the end of it.
        Raises DeviceSilentError.
        """
        token = secrets.token_bytes(8)
        peer = self.device.peer
        begun, _ = await self._noted(
            ExchangeKind.OBSERVE, path, self._once(self._udp.observe(peer, self._to(path), token))
        )
        if begun.message.observe is None:
            return begun, None
        ended = self._briefly(self._once(self._ended(peer, token)))
        try:
            return begun, (await self._noted(ExchangeKind.READ, path, ended))[0]
        except DeviceSilentError:
            return begun, None

    async def _briefly(self, asked: Awaitable[ResponseReceived]) -> ResponseReceived:
        try:
            async with asyncio.timeout(self._short_patience):
                return await asked
        except TimeoutError as error:
            raise DeviceSilentError("no answer from the device: asked three times or more") from error

    async def _ended(self, peer: Peer, token: bytes) -> ResponseReceived:
        ended = await self._udp.cancel_observation(peer, token)
        if ended is None:
            raise DeviceSilentError("the observation ended by itself")
        return ended

    async def _once(self, asked: Awaitable[ResponseReceived]) -> ResponseReceived:
        try:
            return await asked
        except RequestFailedError as error:
            raise DeviceSilentError(f"no answer from the device: {error.reason.value}") from error

    async def write(
        self, path: Path, payload: bytes | StaticBody, content_format: int, *, pace: BlockPace | None = None
    ) -> int:
        """Write a resource, block by block where it is large; return the code. Raises DeviceSilentError.

        `pace` tells how long each block has to wait.
        """
        wording = self._to(path, content_format=content_format)
        told = written(path, payload.size if isinstance(payload, StaticBody) else payload, content_format)
        asked = self._ask(Code.PUT, wording, payload, pace)
        return (await self._noted(ExchangeKind.WRITE, path, asked, told))[0].code

    def write_otherwise(self) -> None:
        """Write in other blocks the next time: the first of these found no answer, as if it were too large."""
        tried = min(self._exponent, self._udp.largest_szx(self.device.peer))
        self.device.block_exponent = next_exponent(tried, LARGEST_SZX)

    @property
    def _exponent(self) -> int:
        return min(self._block_exponent, self.device.block_exponent)

    async def execute(self, path: Path) -> int:
        """Execute a resource; return the code. Raises DeviceSilentError."""
        return (await self._noted(ExchangeKind.EXECUTE, path, self._ask(Code.POST, self._to(path))))[0].code

    async def _noted(
        self,
        kind: ExchangeKind,
        path: Path,
        asked: Awaitable[ResponseReceived],
        told: dict[str, str] | None = None,
    ) -> tuple[ResponseReceived, ResourceValues | None]:
        """Return the answer to a request and the values in it, if it was to have any and they can be understood.

        It is noted: `told` was said with it, or else those values.
        """
        began = self._udp.now()
        answer, failure, words, content_format = "", "", told or {}, None
        try:
            response = await asked
        except DeviceSilentError as error:
            failure = str(error)
            raise
        except asyncio.CancelledError:
            failure = "given up: the order is not wanted any more, or the gateway stops"
            raise
        else:
            answer = code_text(response.code)
            values = None
            if kind in (ExchangeKind.READ, ExchangeKind.OBSERVE):
                values = _understood(path, response)
                if values is not None:
                    self._answers.append(values)
                words = values_told(values or {})
                content_format = response.message.content_format
            return response, values
        finally:
            command = self.command
            self._note(
                self.device,
                Exchange(
                    kind=kind,
                    path=str(path),
                    told=words,
                    answer=answer,
                    failure=failure,
                    seconds=round(self._udp.now() - began, 3),
                    order="" if command is None else command.kind.value,
                    format=content_format,
                ),
                None if command is None else command.device_upgrade_id,
            )

    async def _ask(
        self, method: Code, wording: Options, payload: bytes | StaticBody = b"", pace: BlockPace | None = None
    ) -> ResponseReceived:
        token = secrets.token_bytes(8)
        first = self.device.peer

        async def ask(peer: Peer) -> ResponseReceived:
            response = await self._udp.request(
                peer,
                method,
                options=wording,
                payload=payload,
                token=token,
                szx=self._exponent,
                max_body=LARGEST_READ,
                pace=pace,
                # A package is stored, which may begin with the erasure of what was there, and end with a check.
                slow=isinstance(payload, StaticBody),
            )
            if is_success(response.code) and peer == first:
                # Elsewhere it may be known from before.
                self.device.answered_from = peer
            return response

        return await self._repeated(ask, token, only_reads=method is Code.GET)

    async def _repeated(
        self, ask: Callable[[Peer], Awaitable[ResponseReceived]], token: bytes, *, only_reads: bool
    ) -> ResponseReceived:
        asked = has_timed_out = False
        for _ in range(_MOST_ADDRESSES):
            peer = self.device.peer
            if not self._windows.is_awake(self.device):
                if asked:
                    self._count(True)
                raise DeviceAsleepError(asked=asked, has_timed_out=has_timed_out)
            self._under_way = peer, token
            asked = True
            try:
                response = await ask(peer)
            except RequestFailedError as error:
                if error.reason is FailureReason.NOT_IN_BLOCKS:
                    raise DeviceTakesNoBlocksError from error
                has_timed_out = error.reason is FailureReason.TIMEOUT
                if self.device.queue_mode and error.reason in _SILENCE:
                    if peer == self.device.peer and error.reason is not FailureReason.CANCELLED:
                        self._windows.unanswered(self.device)
                elif peer == self.device.peer and not (only_reads and self._has_other_session(error.reason)):
                    why = f"no answer from the device: {error.reason.value}"
                    self._count(False)
                    raise DeviceSilentError(why, has_timed_out=has_timed_out) from error
            except BacklogFullError as error:
                raise DeviceSilentError(str(error)) from error
            else:
                self._windows.heard(self.device)
                return response
            finally:
                self._under_way = None
        raise DeviceSilentError("no answer from the device: its address changes again and again")

    def _has_other_session(self, reason: FailureReason) -> bool:
        """Tell whether a request was given up since the device has begun another session, at the same address.

        Some do so in place of an answer when they have said nothing for a while, lest a NAT has forgotten them. Or it
        was switched off and on: then it is not told again what it was to do.
        """
        return reason is FailureReason.CANCELLED and self._udp.has_session(self.device.peer)

    def _to(self, path: Path, *, accept: int | None = None, content_format: int | None = None) -> Options:
        return _wording(self.device.root, path, accept, content_format)


@lru_cache(maxsize=256)
def _wording(root: tuple[str, ...], path: Path, accept: int | None, content_format: int | None) -> Options:
    """Return what is the same of a request to every device whose objects lie at the same place."""
    return options(uri_path=(*root, *path.segments), accept=accept, content_format=content_format)


def _understood(path: Path, response: ResponseReceived) -> ResourceValues | None:
    if not is_success(response.code):
        return None
    try:
        return decode_content(response.message.content_format, response.payload, path)
    except ContentFormatError:
        return None


def describe(code: int, what: str) -> str:
    """Return, for a person, that a device answered `code` to `what`."""
    name = Code(code).name.replace("_", " ").lower() if code in frozenset(Code) else "an unknown code"
    return f"{code_text(code)} {name} to {what}"


def is_passing(code: int) -> bool:
    """Tell whether an answer says nothing about the device but that it cannot answer now."""
    return code in _PASSING


def asks_for_other_format(code: int) -> bool:
    """Tell whether an answer means that the value exists, though not in the content format asked for."""
    return code in (Code.NOT_ACCEPTABLE, Code.BAD_OPTION, Code.UNSUPPORTED_CONTENT_FORMAT)


TEXT: Final = int(ContentFormat.TEXT)
OPAQUE: Final = int(ContentFormat.OCTET_STREAM)
