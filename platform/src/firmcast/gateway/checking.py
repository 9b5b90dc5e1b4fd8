"""A check asks a device for everything that clients are known to differ in, and leaves it as it was.

Only the result of its last update may be forgotten, upon an empty Package URI.

It reads, discovers, observes for a moment, and resets a firmware object that is Idle already, unless an upgrade has
begun; it never gives it a package, and never has anything installed.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from firmcast.coap.codes import Code, ContentFormat, code_text, is_success
from firmcast.gateway.device_link import TEXT, DeviceAsleepError, DeviceLink, DeviceSilentError
from firmcast.gateway.noting import values_told
from firmcast.lwm2m.errors import LinkFormatError, PathFormatError
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.lwm2m.link_format import parse_links
from firmcast.lwm2m.paths import (
    DELIVERY_METHOD,
    FIRMWARE_INSTANCE,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_UPDATE,
    FIRMWARE_VERSION,
    MANUFACTURER,
    MODEL_NUMBER,
    PACKAGE_URI,
    Path,
)
from firmcast.profiles.model import NO_ANSWER, Findings

_FORMATS: Final = {
    "TLV": int(ContentFormat.LWM2M_TLV),
    "SenML-CBOR": int(ContentFormat.SENML_CBOR),
    "SenML-JSON": int(ContentFormat.SENML_JSON),
    "LwM2M-CBOR": int(ContentFormat.LWM2M_CBOR),
    "LwM2M-JSON": int(ContentFormat.LWM2M_JSON),
}
_FIRMWARE_OBJECT: Final = f"/{FIRMWARE_UPDATE}/"
_IDLE: Final = str(int(FirmwareUpdateState.IDLE))

MayReset = Callable[[], Awaitable[str]]
"""Returns why an Idle device is not to be reset; empty when it may be."""


async def check(link: DeviceLink, may_reset: MayReset) -> Findings:
    """Return what a device does; what it did before it fell silent, if it does. Raises DeviceAsleepError."""
    findings = _Checking(link)
    try:
        await findings.identity()
        await findings.formats()
        if findings.found.is_absent:
            return findings.found
        await findings.discovery()
        await findings.observation()
        await findings.reset(may_reset)
    except DeviceAsleepError:
        raise
    except DeviceSilentError as error:
        findings.note(failure=str(error))
    return findings.found


class _Checking:
    def __init__(self, link: DeviceLink) -> None:
        self._link = link
        self.found = Findings(is_listed=not link.device.lists_no_firmware_object)

    def note(self, **said: object) -> None:
        self.found = msgspec.structs.replace(self.found, **said)

    async def identity(self) -> None:
        for path in (MANUFACTURER, MODEL_NUMBER, FIRMWARE_VERSION):
            await self._value(path)

    async def formats(self) -> None:
        """Read the whole object in each format; where none brings its state, read the state by itself.

        After one that is not answered no other is asked for: what a device does that knows few is known then.
        """
        answers: dict[str, str] = {}
        for name, number in _FORMATS.items():
            try:
                read = await self._link.read(FIRMWARE_INSTANCE, number, is_trial=True)
            except DeviceAsleepError:
                raise
            except DeviceSilentError:
                answers[name] = NO_ANSWER
                break
            answers[name] = code_text(read.code)
            if read.values is None and is_success(read.code):
                answers[name] += " unreadable"
            told = values_told(read.values or {})
            if str(FIRMWARE_STATE) in told:
                self._tell(told)
                if self.found.read_format is None:
                    self.note(read_format=number)
        self.note(formats=answers)
        if str(FIRMWARE_STATE) not in self.found.told:
            codes = {await self._value(path) for path in (FIRMWARE_STATE, FIRMWARE_RESULT, DELIVERY_METHOD)}
            tells_nothing = not any(told.startswith(_FIRMWARE_OBJECT) for told in self.found.told)
            self.note(is_absent=tells_nothing and codes == {Code.NOT_FOUND})

    async def discovery(self) -> None:
        response = await self._link.discover(FIRMWARE_INSTANCE)
        resources = _resources(response.payload) if is_success(response.code) else ()
        self.note(discover=code_text(response.code), resources=resources)

    async def observation(self) -> None:
        begun, ended = await self._link.try_observation(FIRMWARE_STATE)
        observed = begun.message.observe is not None
        self.note(observe=code_text(begun.code), observed=observed)
        if observed:
            self.note(cancel=NO_ANSWER if ended is None else code_text(ended.code))

    async def reset(self, may_reset: MayReset) -> None:
        """Write an empty Package URI, upon which a device that is Idle forgets a result at most (OMA Object 5)."""
        await self._value(FIRMWARE_STATE)
        state = self.found.told.get(str(FIRMWARE_STATE), "")
        why_not = f"it is in state {state}" if state and state != _IDLE else "" if state else "it tells no state"
        why_not = why_not or await may_reset()
        if why_not:
            self.note(not_reset=why_not)
            return
        code = await self._link.write(PACKAGE_URI, b"", TEXT)
        for path in (FIRMWARE_STATE, FIRMWARE_RESULT):
            await self._value(path)
        told = self.found.told
        after = f"{told.get(str(FIRMWARE_STATE), '?')} {told.get(str(FIRMWARE_RESULT), '?')}"
        self.note(reset=code_text(code), after_reset=after)

    async def _value(self, path: Path) -> int:
        read = await self._link.read(path, TEXT)
        if read.values is None and read.code in (Code.NOT_ACCEPTABLE, Code.BAD_OPTION):
            read = await self._link.read(path, None)
        self._tell(values_told(read.values or {}))
        return read.code

    def _tell(self, told: dict[str, str]) -> None:
        self.note(told={**self.found.told, **told})


def _resources(payload: bytes) -> tuple[int, ...]:
    """Return which resources of /5/0 a discovery lists; none where it makes no sense."""
    try:
        paths = [Path.parse(link.target) for link in parse_links(payload) if link.target.count("/") >= 3]
    except (LinkFormatError, PathFormatError):
        return ()
    own = {path.resource_id for path in paths if FIRMWARE_INSTANCE.covers(path)}
    return tuple(sorted(number for number in own if number is not None))
