"""How each order is carried out on a device; what comes of it is judged elsewhere.

Every order may be given twice, since a crash can come between the device's answer and its record. Sources: OMA LwM2M
Object 5, and the ways of real clients.
"""

from collections.abc import Container
from typing import assert_never

from msgspec.structs import replace

from firmcast.coap.codes import Code, is_success
from firmcast.coap.dtls.peers import is_secure
from firmcast.coap.exchange import BlockPace
from firmcast.coap.static_bodies import StaticBody
from firmcast.gateway.device_link import (
    OPAQUE,
    TEXT,
    DeviceBusyError,
    DeviceLink,
    DeviceRefusedError,
    DeviceSilentError,
    DeviceTakesNoBlocksError,
    NoFirmwareObjectError,
    describe,
    is_passing,
)
from firmcast.gateway.reading import (
    has_address,
    has_state,
    observe_firmware,
    read_delivery_method,
    read_firmware_object,
    read_identity,
    read_state_and_result,
    read_version,
)
from firmcast.gateway.resources import NOTHING, merged
from firmcast.lwm2m.content import ContentFormat, encode_content
from firmcast.lwm2m.firmware_update import DeliveryMethod, FirmwareUpdateState, ResetWay, parse_delivery_method
from firmcast.lwm2m.paths import CANCEL, PACKAGE, PACKAGE_URI, UPDATE
from firmcast.upgrades.model import ResourcesReported

_UNDER_WAY = (FirmwareUpdateState.DOWNLOADING, FirmwareUpdateState.DOWNLOADED)
_BESIDE_TEXT = (ContentFormat.SENML_CBOR, ContentFormat.TLV)
_WITHOUT_BLOCKS = (Code.REQUEST_ENTITY_INCOMPLETE, Code.NOT_FOUND)
"""RFC 7959, section 2.9.2, and Zephyr's answer to a block of a transfer that it does not know, as after a restart."""


async def inspect(link: DeviceLink) -> ResourcesReported:
    """Observe state and result, then read everything; state and result are read last, so that they are the newest.

    Of a device that has no firmware object no state is told: that is what it answers, or its registration and one
    answer. Raises DeviceSilentError, DeviceRefusedError.
    """
    is_doubtful = link.device.lists_no_firmware_object and not link.device.choices.has_firmware_object
    if is_doubtful and not await has_state(link):
        return await read_version(link)
    await observe_firmware(link)
    version = await read_version(link)
    if link.device.choices.asks_who_it_is and not link.device.asked_who_it_is:
        await read_identity(link)
        link.device.asked_who_it_is = True
    try:
        told = merged(version, await read_firmware_object(link))
    except NoFirmwareObjectError:
        return version
    except DeviceRefusedError as error:
        raise DeviceRefusedError(error.description, merged(version, error.resources)) from error
    told = replace(told, avoided_ways=link.device.choices.avoided_ways)
    return replace(told, is_secure=True) if is_secure(link.device.peer) else told


async def probe(link: DeviceLink) -> ResourcesReported:
    """Read version, state and result. Raises DeviceSilentError."""
    version = await read_version(link)
    return merged(version, await read_state_and_result(link))


async def transfer_by_uri(link: DeviceLink, uri: str, *, may_be_repeat: bool) -> ResourcesReported:
    """Write the Package URI, unless an earlier try turns out to have done so.

    Raises DeviceSilentError, DeviceRefusedError.
    """
    if may_be_repeat:
        told = await read_firmware_object(link)
        if told.state in _UNDER_WAY and told.package_uri == uri:
            return told
    code = await _write_address(link, uri)
    if not is_success(code):
        await _refused(link, code, f"the write of {PACKAGE_URI}")
    return NOTHING


async def _write_address(link: DeviceLink, uri: str) -> int:
    """Write the Package URI as text, or where a client does not take text in what it takes; return the code."""
    code = await link.write(PACKAGE_URI, uri.encode(), TEXT)
    for content_format in _BESIDE_TEXT:
        if code != Code.UNSUPPORTED_CONTENT_FORMAT:
            break
        payload = encode_content(content_format, {PACKAGE_URI: uri}, PACKAGE_URI)
        code = await link.write(PACKAGE_URI, payload, content_format)
    return code


async def transfer_by_write(link: DeviceLink, body: StaticBody, pace: BlockPace | None = None) -> ResourcesReported:
    """Write the package block by block, at its pace. Raises DeviceSilentError, DeviceRefusedError."""
    try:
        code = await link.write(PACKAGE, body, OPAQUE, pace=pace)
    except DeviceTakesNoBlocksError as error:
        # Whatever state it shows then is about a piece of the package.
        raise DeviceRefusedError(str(error), NOTHING) from error
    if not is_success(code):
        await _refused(link, code, f"the write of {PACKAGE}", without_blocks=_WITHOUT_BLOCKS)
    return NOTHING


async def execute(link: DeviceLink, *, may_be_repeat: bool) -> ResourcesReported:
    """Have the package installed, unless an earlier try has the device at it.

    Raises DeviceSilentError, DeviceRefusedError.
    """
    if may_be_repeat:
        told = await read_state_and_result(link)
        if told.state == FirmwareUpdateState.UPDATING:
            return told
    code = await link.execute(UPDATE)
    if not is_success(code):
        await _refused(link, code, f"the execution of {UPDATE}")
    return NOTHING


async def reset(link: DeviceLink) -> ResourcesReported:
    """Bring the firmware object back to Idle, in the ways that clients know, mildest first; each is judged by a read.

    An empty Package URI is the usual way; some answer it with success and do nothing, some know only Cancel (resource
    10, object 1.1), and some only a NUL byte as package. What helped this device before is tried first, or what helped
    others of its model. Raises DeviceSilentError, DeviceRefusedError.
    """
    told = await read_state_and_result(link)
    if told.state == FirmwareUpdateState.UPDATING:
        raise DeviceRefusedError("the device installs, which cannot be taken back", told)
    if told.state == FirmwareUpdateState.IDLE:
        # An address that was just written to it may be about to be obeyed.
        await _take_back(link, ResetWay.FORGET_ADDRESS)
        return await read_state_and_result(link)
    answers: list[str] = []
    device = link.device
    ways = device.choices.reset_ways(told.state)
    # Asked first, since the mildest way may be to take the address away.
    may_fetch = told.state == FirmwareUpdateState.DOWNLOADING and await has_address(link)
    for way in ways if device.reset_way is None else dict.fromkeys((device.reset_way, *ways)):
        if way is ResetWay.FORGET_PACKAGE and may_fetch and await _would_take_for_package(link, told):
            answers.append("a NUL byte would be taken for a piece of the package")
            continue
        answers.append(await _take_back(link, way))
        former, told = told, await read_state_and_result(link)
        if way is ResetWay.FORGET_PACKAGE and _took_for_the_rest(former, told):
            answers.append(await _take_back(link, way))
            told = await read_state_and_result(link)
        if told.state == FirmwareUpdateState.IDLE:
            link.device.reset_way = way
            return told
    raise DeviceRefusedError(f"the device stays in state {told.state}: {', '.join(answers)}", told)


async def _take_back(link: DeviceLink, way: ResetWay) -> str:
    """Try a way, and return what the device answered to it, for a person."""
    match way:
        case ResetWay.FORGET_ADDRESS:
            return describe(await _write_address(link, ""), f"an empty {PACKAGE_URI}")
        case ResetWay.CANCEL:
            return describe(await link.execute(CANCEL), f"the execution of {CANCEL}")
        case ResetWay.FORGET_PACKAGE:
            return describe(await link.write(PACKAGE, b"\x00", OPAQUE), f"a NUL byte as {PACKAGE}")
        case _:
            assert_never(way)


async def _would_take_for_package(link: DeviceLink, told: ResourcesReported) -> bool:
    """Tell whether a device may take a NUL byte for a piece of what it downloads, as some do that fetch packages."""
    if told.state != FirmwareUpdateState.DOWNLOADING:
        return False
    return parse_delivery_method((await read_delivery_method(link)).delivery_method) is not DeliveryMethod.PUSH


def _took_for_the_rest(former: ResourcesReported, told: ResourcesReported) -> bool:
    """Tell whether a device took a NUL byte for the end of what it was written: another one brings it back."""
    was_downloading = former.state == FirmwareUpdateState.DOWNLOADING
    return was_downloading and told.state == FirmwareUpdateState.DOWNLOADED


async def _refused(link: DeviceLink, code: int, what: str, *, without_blocks: Container[int] = ()) -> None:
    """Say what the device thinks of an order that it did not take; some set a result and show no change of state.

    By the codes of `without_blocks` it says that it lacks what was sent before.
    """
    description = describe(code, what)
    if is_passing(code):
        raise DeviceBusyError(description)
    try:
        resources = await read_state_and_result(link)
    except DeviceSilentError:
        resources = NOTHING
    raise DeviceRefusedError(description, resources, has_lost_blocks=code in without_blocks)
