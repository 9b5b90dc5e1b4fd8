"""How each order is carried out on a device; what comes of it is judged elsewhere.

Every order may be given twice, since a crash can come between the device's answer and its record. Sources: OMA LwM2M
Object 5, and the ways of real clients.
"""

from dataclasses import replace

from firmcast.coap.codes import is_success
from firmcast.coap.dtls.peers import is_secure
from firmcast.coap.static_bodies import StaticBody
from firmcast.gateway.device_link import (
    OPAQUE,
    TEXT,
    DeviceLink,
    DeviceRefusedError,
    DeviceSilentError,
    describe,
    is_passing,
)
from firmcast.gateway.reading import observe_firmware, read_firmware_object, read_state_and_result, read_version
from firmcast.gateway.resources import NOTHING, merged
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.lwm2m.paths import CANCEL, PACKAGE, PACKAGE_URI, UPDATE
from firmcast.upgrades.model import ResourcesReported

_UNDER_WAY = (FirmwareUpdateState.DOWNLOADING, FirmwareUpdateState.DOWNLOADED)


async def inspect(link: DeviceLink) -> ResourcesReported:
    """Observe state and result, then read everything; state and result are read last, so that they are the newest.

    Raises DeviceSilentError, DeviceRefusedError.
    """
    await observe_firmware(link)
    version = await read_version(link)
    try:
        told = merged(version, await read_firmware_object(link))
    except DeviceRefusedError as error:
        raise DeviceRefusedError(error.description, merged(version, error.resources)) from error
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
    code = await link.write(PACKAGE_URI, uri.encode(), TEXT)
    if not is_success(code):
        await _refused(link, code, f"the write of {PACKAGE_URI}")
    return NOTHING


async def transfer_by_write(link: DeviceLink, body: StaticBody) -> ResourcesReported:
    """Write the package block by block. Raises DeviceSilentError, DeviceRefusedError."""
    code = await link.write(PACKAGE, body, OPAQUE)
    if not is_success(code):
        await _refused(link, code, f"the write of {PACKAGE}")
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

    An empty Package URI is the usual way, some know only Cancel (resource 10, object 1.1), and some only a NUL byte as
    package. Raises DeviceSilentError, DeviceRefusedError.
    """

    async def forget_address() -> int:
        return await link.write(PACKAGE_URI, b"", TEXT)

    async def cancel() -> int:
        return await link.execute(CANCEL)

    async def forget_package() -> int:
        return await link.write(PACKAGE, b"\x00", OPAQUE)

    answers: list[str] = []
    told = NOTHING
    for what, attempt in (
        (f"an empty {PACKAGE_URI}", forget_address),
        (f"the execution of {CANCEL}", cancel),
        (f"a NUL byte as {PACKAGE}", forget_package),
    ):
        answers.append(describe(await attempt(), what))
        told = await read_state_and_result(link)
        if told.state == FirmwareUpdateState.IDLE:
            return told
    raise DeviceRefusedError(f"the device stays in state {told.state}: {', '.join(answers)}", told)


async def _refused(link: DeviceLink, code: int, what: str) -> None:
    """Say what the device thinks of an order that it did not take; some set a result and show no change of state."""
    description = describe(code, what)
    if is_passing(code):
        raise DeviceSilentError(description)
    try:
        resources = await read_state_and_result(link)
    except DeviceSilentError:
        resources = NOTHING
    raise DeviceRefusedError(description, resources)
