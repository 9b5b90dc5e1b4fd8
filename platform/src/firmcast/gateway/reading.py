"""A device is read in the content format that it knows, and a value that no format brings was not told.

Clients differ: some answer the read of an object in TLV only, some in SenML or LwM2M CBOR only, some refuse it and
answer single resources; a resource of several instances is refused as text by some, and some are built without text.
Some do not answer at all when they are asked for a format that they do not know, and are there all the same.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from firmcast.coap.codes import Code, ContentFormat, is_success
from firmcast.gateway.device_link import (
    TEXT,
    DeviceAsleepError,
    DeviceBusyError,
    DeviceLink,
    DeviceRefusedError,
    DeviceSilentError,
    NoFirmwareObjectError,
    Read,
    asks_for_other_format,
    describe,
    is_passing,
)
from firmcast.gateway.resources import NOTHING, merged, resources_of
from firmcast.lwm2m.paths import (
    DELIVERY_METHOD,
    FIRMWARE_INSTANCE,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_VERSION,
    MANUFACTURER,
    MODEL_NUMBER,
    PACKAGE_URI,
    PROTOCOL_SUPPORT,
    Path,
)
from firmcast.upgrades.model import ResourcesReported

_TLV: Final = int(ContentFormat.LWM2M_TLV)
_SENML_CBOR: Final = int(ContentFormat.SENML_CBOR)
_LWM2M_JSON: Final = int(ContentFormat.LWM2M_JSON)
_OBJECT_FORMATS: Final = (
    _TLV,
    _SENML_CBOR,
    int(ContentFormat.SENML_JSON),
    int(ContentFormat.LWM2M_CBOR),
    _LWM2M_JSON,
)
_TEXT_FORMATS: Final = (TEXT, _SENML_CBOR, None)
_MULTIPLE_FORMATS: Final = (_TLV, _SENML_CBOR, None)
_QUIET_TRIES: Final = 3

Ask = Callable[[Path, int | None], Awaitable[Read]]


async def read_version(link: DeviceLink) -> ResourcesReported:
    """Return what /3/0/3 tells, nothing where the device does not have it. Raises DeviceSilentError."""
    return await _in_some_format(link.read, FIRMWARE_VERSION, _TEXT_FORMATS)


async def read_identity(link: DeviceLink) -> None:
    """Read manufacturer and model, so that what is learnt of the device holds for others. Raises DeviceSilentError."""
    for path in (MANUFACTURER, MODEL_NUMBER):
        await _read(link.read, path, _TEXT_FORMATS)


async def read_delivery_method(link: DeviceLink) -> ResourcesReported:
    """Return what /5/0/9 tells, nothing where the device does not have it. Raises DeviceSilentError."""
    return await _in_some_format(link.read, DELIVERY_METHOD, _TEXT_FORMATS)


async def has_address(link: DeviceLink) -> bool:
    """Tell whether the device has the address of a package, or may have one that it does not tell.

    Raises DeviceSilentError.
    """
    read = await _read(link.read, PACKAGE_URI, _TEXT_FORMATS)
    if read.values is None:
        return read.code != Code.NOT_FOUND
    return bool(resources_of(read.values).package_uri)


async def has_state(link: DeviceLink) -> bool:
    """Tell whether the device has a state of firmware updates, or may have one that it does not tell.

    Raises DeviceSilentError.
    """
    read = await _read(link.read, FIRMWARE_STATE, _TEXT_FORMATS)
    return read.values is not None or read.code != Code.NOT_FOUND


async def observe_firmware(link: DeviceLink) -> None:
    """Observe state and result, each by itself; a device that refuses is read instead. Raises DeviceSilentError."""
    for path in (FIRMWARE_STATE, FIRMWARE_RESULT):
        await _in_some_format(link.observe, path, _TEXT_FORMATS)


async def read_state_and_result(link: DeviceLink) -> ResourcesReported:
    """Return state and result, in this order: some clients show the new state before the new result.

    Raises DeviceSilentError.
    """

    async def read() -> ResourcesReported:
        state = await _in_some_format(link.read, FIRMWARE_STATE, _TEXT_FORMATS)
        return merged(state, await _in_some_format(link.read, FIRMWARE_RESULT, _TEXT_FORMATS))

    return await _while_quiet(link, read)


async def read_firmware_object(link: DeviceLink) -> ResourcesReported:
    """Return what /5/0 tells.

    Raises:
        DeviceSilentError: the device did not answer.
        DeviceRefusedError: it does not tell its state in any way.
        NoFirmwareObjectError: it has none.
    """

    async def read() -> ResourcesReported:
        if link.device.is_read_singly:
            return await _read_singly(link)
        whole = await _read_whole(link)
        if whole.state is not None:
            return whole
        try:
            return await _read_singly(link)
        except DeviceAsleepError:
            raise
        except DeviceSilentError:
            # It answered nothing at all: that says nothing about reads of the object.
            link.device.left_objects_unanswered = False
            raise

    return await _while_quiet(link, read)


async def _while_quiet(link: DeviceLink, read: Callable[[], Awaitable[ResourcesReported]]) -> ResourcesReported:
    """Read again when a notification came meanwhile, since what was read may be older than what it said."""
    told = NOTHING
    for _ in range(_QUIET_TRIES):
        before = link.notifications
        told = await read()
        if link.notifications == before:
            break
    return told


async def _read_whole(link: DeviceLink) -> ResourcesReported:
    known = link.device.read_format or link.device.choices.read_format
    formats = _OBJECT_FORMATS if known is None else (known, *_OBJECT_FORMATS)
    for content_format in dict.fromkeys(formats):
        read = await _try_whole(link, content_format, is_trial=known is None)
        if read is None:
            break
        if read.values is not None:
            link.device.read_format = content_format
            told = resources_of(read.values)
            lists_nonsense = told.protocols is None and any(map(PROTOCOL_SUPPORT.covers, read.values))
            return merged(told, await _read_protocols_again(link)) if lists_nonsense else told
        if not asks_for_other_format(read.code) and not _is_garbled(read):
            break
    return NOTHING


async def _read_protocols_again(link: DeviceLink) -> ResourcesReported:
    """Ask for the protocols in the JSON of LwM2M 1.0: coap-node writes them in that, and no number in TLV."""
    read = await _try(link, PROTOCOL_SUPPORT, _LWM2M_JSON)
    return NOTHING if read is None or read.values is None else resources_of(read.values)


async def _try(link: DeviceLink, path: Path, content_format: int) -> Read | None:
    """Return what came of a read that may be left unanswered, None where it was. Raises DeviceAsleepError."""
    try:
        return await link.read(path, content_format, is_trial=True)
    except DeviceAsleepError:
        raise
    except DeviceSilentError:
        return None


async def _try_whole(link: DeviceLink, content_format: int, *, is_trial: bool) -> Read | None:
    """Return what came of the read of /5/0, None where a trial was not answered. Raises DeviceSilentError.

    That it is not answered is noted beforehand: the device may fall asleep before that is known.
    """
    link.device.left_objects_unanswered = is_trial
    if is_trial:
        read = await _try(link, FIRMWARE_INSTANCE, content_format)
    else:
        read = await link.read(FIRMWARE_INSTANCE, content_format)
    if read is None:
        return None
    link.device.left_objects_unanswered = False
    if is_passing(read.code):
        raise DeviceBusyError(describe(read.code, f"the read of {FIRMWARE_INSTANCE}"))
    return read


async def _read_singly(link: DeviceLink) -> ResourcesReported:
    told = NOTHING
    for path in (PACKAGE_URI, DELIVERY_METHOD):
        told = merged(told, await _in_some_format(link.read, path, _TEXT_FORMATS))
    several = (None,) if link.device.is_read_singly else _MULTIPLE_FORMATS
    told = merged(told, await _in_some_format(link.read, PROTOCOL_SUPPORT, several))
    read = await _read(link.read, FIRMWARE_STATE, _TEXT_FORMATS)
    state = NOTHING if read.values is None else resources_of(read.values)
    told = merged(told, state)
    told = merged(told, await _in_some_format(link.read, FIRMWARE_RESULT, _TEXT_FORMATS))
    if told.state is None:
        what = f"the read of {FIRMWARE_STATE}"
        if told == NOTHING and read.code == Code.NOT_FOUND:
            raise NoFirmwareObjectError(describe(read.code, what), told)
        raise DeviceRefusedError(
            f"a senseless answer to {what}" if is_success(read.code) else describe(read.code, what), told
        )
    return told


async def _in_some_format(ask: Ask, path: Path, formats: tuple[int | None, ...]) -> ResourcesReported:
    read = await _read(ask, path, formats)
    return NOTHING if read.values is None else resources_of(read.values)


async def _read(ask: Ask, path: Path, formats: tuple[int | None, ...]) -> Read:
    read = await _checked(ask(path, formats[0]), path)
    for content_format in formats[1:]:
        if not asks_for_other_format(read.code) and not _is_garbled(read):
            break
        read = await _checked(ask(path, content_format), path)
    return read


async def _checked(asked: Awaitable[Read], path: Path) -> Read:
    read = await asked
    if is_passing(read.code):
        raise DeviceBusyError(describe(read.code, f"the read of {path}"))
    return read


def _is_garbled(read: Read) -> bool:
    return read.values is None and is_success(read.code)
