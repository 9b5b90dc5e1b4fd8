"""What passes between the gateway and a device is noted in words; nothing that is secret or large is among them.

The address of a package opens it to whoever has it, so it is noted without its last segment. Of values, those are
noted that firmware updates are about.
"""

from typing import Final

from firmcast.coap.codes import Code, code_text
from firmcast.devices.model import NewRegistration, RegistrationUpdate
from firmcast.journal.model import Exchange, ExchangeKind
from firmcast.lwm2m.content import decode_content
from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import (
    DELIVERY_METHOD,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_VERSION,
    MANUFACTURER,
    MODEL_NUMBER,
    PACKAGE_NAME,
    PACKAGE_URI,
    PACKAGE_VERSION,
    PROTOCOL_SUPPORT,
    Path,
)
from firmcast.lwm2m.values import ResourceValues, Value, as_integer, as_text

_LONGEST: Final = 80
_LONGEST_OBJECTS: Final = 160
_NUMBERS: Final = frozenset({FIRMWARE_STATE, FIRMWARE_RESULT, DELIVERY_METHOD})
_TEXTS: Final = frozenset({FIRMWARE_VERSION, MANUFACTURER, MODEL_NUMBER, PACKAGE_NAME, PACKAGE_VERSION})


def registering(told: NewRegistration) -> Exchange:
    """Return what is noted of a registration that was made."""
    words = {
        "address": _address(told.host, told.port),
        "lifetime": str(told.lifetime_seconds),
        "lwm2m": told.lwm2m_version,
        "binding": told.binding + ("Q" if told.queue_mode else ""),
    }
    if told.is_secure:
        words["secure"] = "yes"
    return Exchange(kind=ExchangeKind.REGISTER, told=words, answer=code_text(Code.CREATED))


def updating(told: RegistrationUpdate, *, moved: bool) -> Exchange:
    """Return what is noted of an update of a registration."""
    changed = {
        "address": _address(told.host, told.port) if moved else None,
        "lifetime": None if told.lifetime_seconds is None else str(told.lifetime_seconds),
        "binding": told.binding,
        "objects": None if told.objects is None else told.objects[:_LONGEST_OBJECTS],
    }
    words = {name: word for name, word in changed.items() if word is not None}
    return Exchange(kind=ExchangeKind.UPDATE, told=words, answer=code_text(Code.CHANGED))


def is_news(told: RegistrationUpdate, *, moved: bool) -> bool:
    """Tell whether an update says more than that the device is still there."""
    return moved or told.lifetime_seconds is not None or told.binding is not None or told.objects is not None


def leaving() -> Exchange:
    """Return what is noted of a de-registration."""
    return Exchange(kind=ExchangeKind.DEREGISTER, answer=code_text(Code.DELETED))


def values_told(values: ResourceValues) -> dict[str, str]:
    """Return those of the values that are noted, by their paths."""
    told = {}
    for path, value in sorted(values.items()):
        word = _word(path, value)
        if word is not None:
            told[str(path)] = word
    return told


def written(path: Path, payload: bytes | int, content_format: int) -> dict[str, str]:
    """Return what is noted of a write; of a package only its bytes are counted, `payload` being how many."""
    if isinstance(payload, int):
        return {str(path): f"{payload} bytes"}
    if path == PACKAGE_URI:
        return values_told(decode_content(content_format, payload, path))
    return {str(path): f"{len(payload)} bytes"}


def package_address(uri: str) -> str:
    """Return the address of a package without the token in it."""
    origin, separator, _ = uri.rpartition("/")
    return f"{origin[:_LONGEST]}{separator}..." if uri else ""


def _word(path: Path, value: Value) -> str | None:
    try:
        if path in _NUMBERS or PROTOCOL_SUPPORT.covers(path):
            return str(as_integer(value))
        if path == PACKAGE_URI:
            return package_address(as_text(value))
        return as_text(value)[:_LONGEST] if path in _TEXTS else None
    except ContentFormatError:
        return "senseless"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
