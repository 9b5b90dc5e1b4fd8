"""A payload is read and written by its content format; whatever is wrong with it is one ContentFormatError."""

from enum import IntEnum, unique
from typing import assert_never

from firmcast.lwm2m.cbor import decode_cbor, decode_lwm2m_cbor
from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import Path
from firmcast.lwm2m.senml import decode_lwm2m_json, decode_senml_cbor, decode_senml_json, encode_senml_cbor
from firmcast.lwm2m.tlv import decode_tlv, encode_tlv
from firmcast.lwm2m.values import ResourceValues, as_text


@unique
class ContentFormat(IntEnum):
    """The numbers of CoAP's Content-Format registry that carry LwM2M values."""

    TEXT = 0
    OPAQUE = 42
    CBOR = 60
    SENML_JSON = 110
    SENML_CBOR = 112
    TLV = 11542
    LWM2M_JSON = 11543
    LWM2M_CBOR = 11544


# Numbers that clients of LwM2M 1.0 drafts still send.
_FORMER_NUMBERS = {1541: ContentFormat.TEXT, 1542: ContentFormat.TLV, 1543: ContentFormat.LWM2M_JSON}


def decode_content(content_format: int | None, payload: bytes, base: Path) -> ResourceValues:
    """Return what `payload` says about `base`, the path that was read, observed or sent.

    Without a content format a resource is taken for text and everything above it for TLV.
    Raises ContentFormatError.
    """
    match _known(content_format, base):
        case ContentFormat.TEXT:
            return {_single(base): _utf8(payload)}
        case ContentFormat.OPAQUE:
            return {_single(base): payload}
        case ContentFormat.SENML_JSON:
            return decode_senml_json(payload, base)
        case ContentFormat.SENML_CBOR:
            return decode_senml_cbor(payload, base)
        case ContentFormat.TLV:
            return decode_tlv(payload, base)
        case ContentFormat.CBOR:
            return decode_cbor(payload, _single(base))
        case ContentFormat.LWM2M_JSON:
            return decode_lwm2m_json(payload, base)
        case ContentFormat.LWM2M_CBOR:
            return decode_lwm2m_cbor(payload, base)
        case never:
            assert_never(never)


def decode_sent(content_format: int | None, payload: bytes) -> ResourceValues:
    """Return what a Send (POST /dp, LwM2M 1.1 and 1.2) tells, whatever places it names. Raises ContentFormatError."""
    if content_format == ContentFormat.SENML_CBOR:
        return decode_senml_cbor(payload, None)
    if content_format == ContentFormat.SENML_JSON:
        return decode_senml_json(payload, None)
    if content_format == ContentFormat.LWM2M_CBOR:
        return decode_lwm2m_cbor(payload, None)
    raise ContentFormatError(f"a Send comes in SenML or LwM2M CBOR, not in content format {content_format}")


def encode_content(content_format: int, values: ResourceValues, base: Path) -> bytes:
    """Write `values` as the answer to a read of `base`.

    Raises ContentFormatError where the format cannot say it, or is not one that is written here.
    """
    match _known(content_format, base):
        case ContentFormat.TEXT:
            return as_text(_only(values, base)).encode()
        case ContentFormat.OPAQUE:
            value = _only(values, base)
            if not isinstance(value, bytes):
                raise ContentFormatError(f"{base} is not opaque")
            return value
        case ContentFormat.SENML_CBOR:
            return encode_senml_cbor(values, base)
        case ContentFormat.TLV:
            return encode_tlv(values, base)
        case ContentFormat.SENML_JSON | ContentFormat.CBOR | ContentFormat.LWM2M_JSON | ContentFormat.LWM2M_CBOR:
            raise ContentFormatError(f"content format {content_format} is read only")
        case never:
            assert_never(never)


def _known(content_format: int | None, base: Path) -> ContentFormat:
    if content_format is None:
        return ContentFormat.TEXT if base.depth >= 3 else ContentFormat.TLV
    try:
        return ContentFormat(_FORMER_NUMBERS.get(content_format, content_format))
    except ValueError as error:
        raise ContentFormatError(f"content format {content_format} is not known") from error


def _single(base: Path) -> Path:
    if base.depth < 3:
        raise ContentFormatError(f"{base} is more than one value")
    return base


def _utf8(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ContentFormatError("the text is not UTF-8") from error


def _only(values: ResourceValues, base: Path) -> bool | int | float | str | bytes:
    if set(values) != {base}:
        raise ContentFormatError(f"{base} is not one value")
    return values[base]
