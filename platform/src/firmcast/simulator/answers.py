"""What a device answers is decided here from its values and the request alone; nothing is sent."""

from dataclasses import dataclass
from typing import assert_never

from firmcast.coap.codes import Code
from firmcast.coap.codes import ContentFormat as CoapFormat
from firmcast.lwm2m.content import decode_content, encode_content
from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.link_format import Link, format_links
from firmcast.lwm2m.paths import CANCEL, PACKAGE, PACKAGE_URI, UPDATE, Path
from firmcast.lwm2m.values import ResourceValues, as_text
from firmcast.simulator.firmware_steps import (
    Answer,
    CancelExecuted,
    Input,
    PackageWritten,
    ResetWritten,
    UpdateExecuted,
    UriWritten,
)
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.resources import values_in, without_value

_RESETS = (b"", b"\x00")
_OPAQUE = (None, CoapFormat.OCTET_STREAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response: `content_format` is that of the payload."""

    code: Code
    payload: bytes = b""
    content_format: int | None = None


def reply_to_read(values: ResourceValues, path: Path, accept: int | None, profile: DeviceProfile) -> Reply:
    """Answer a read of `path` in the format that `accept` asks for, or in the usual one of the profile."""
    if path in without_value(profile):
        return Reply(code=Code.METHOD_NOT_ALLOWED)
    inside = values_in(values, path)
    if not inside:
        return Reply(code=Code.NOT_FOUND)
    if accept == CoapFormat.LINK_FORMAT:
        return _discovered(inside, path, profile)
    content_format = int(profile.default_content_format) if accept is None else accept
    if content_format not in profile.content_formats:
        return Reply(code=Code.NOT_ACCEPTABLE)
    try:
        payload = encode_content(content_format, inside, path)
    except ContentFormatError:
        return Reply(code=Code.NOT_ACCEPTABLE)
    return Reply(code=Code.CONTENT, payload=payload, content_format=content_format)


def input_of_write(path: Path, content_format: int | None, payload: bytes, size: int, *, intact: bool) -> Input | Reply:
    """Return what a write means to the firmware object, or why it means nothing.

    `size` is that of the whole body, `intact` how the integrity check of a package ended.
    """
    if path == PACKAGE:
        if content_format not in _OPAQUE:
            return Reply(code=Code.UNSUPPORTED_CONTENT_FORMAT)
        if size <= 1 and payload in _RESETS:
            return ResetWritten()
        return PackageWritten(intact=intact)
    if path == PACKAGE_URI:
        try:
            return UriWritten(uri=as_text(decode_content(content_format, payload, path)[path]))
        except (ContentFormatError, KeyError):
            return Reply(code=Code.BAD_REQUEST)
    return Reply(code=Code.METHOD_NOT_ALLOWED)


def input_of_execute(path: Path, profile: DeviceProfile) -> Input | Reply:
    """Return what an execute means to the firmware object, or why it means nothing."""
    if path == UPDATE:
        return UpdateExecuted()
    if path == CANCEL:
        return CancelExecuted() if profile.has_cancel else Reply(code=Code.NOT_FOUND)
    return Reply(code=Code.METHOD_NOT_ALLOWED)


def reply_of(answer: Answer) -> Reply | None:
    """Return how the firmware object's answer is spelt in CoAP; None is silence."""
    match answer:
        case Answer.CHANGED:
            return Reply(code=Code.CHANGED)
        case Answer.BAD_REQUEST:
            return Reply(code=Code.BAD_REQUEST)
        case Answer.NOT_ALLOWED:
            return Reply(code=Code.METHOD_NOT_ALLOWED)
        case Answer.NONE:
            return None
        case _:
            assert_never(answer)


def _discovered(inside: ResourceValues, path: Path, profile: DeviceProfile) -> Reply:
    places = {path, *(Path(place.identifiers[:3]) for place in inside)}
    places |= {place for place in without_value(profile) if path.covers(place)}
    document = format_links(Link(target=str(place)) for place in sorted(places))
    return Reply(code=Code.CONTENT, payload=document.encode(), content_format=CoapFormat.LINK_FORMAT)
