"""One quirk of a profile is changed by its name and a text, as a person types them."""

from dataclasses import fields, replace
from enum import IntEnum
from math import isfinite
from typing import Any

from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.firmware_update import DeliveryMethod, FirmwareUpdateState, Protocol, UpdateResult
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.sleep import SleepHabit

_STATES = FirmwareUpdateState
_OF_NUMBER: dict[str, type[IntEnum]] = {
    "delivery": DeliveryMethod,
    "default_content_format": ContentFormat,
    "missing_package_is": UpdateResult,
    "rejects_package_with": UpdateResult,
    "first_result": UpdateResult,
    "failed_install_returns_to": _STATES,
    "defers_from": _STATES,
    "registers_anew_in": _STATES,
    "changes_port_in": _STATES,
    "leaves_addresses": _STATES,
}
_OF_NUMBERS: dict[str, type[IntEnum]] = {
    "protocols": Protocol,
    "speaks": Protocol,
    "content_formats": ContentFormat,
    "names_package_in": _STATES,
    "unnotified": _STATES,
    "honours_reset_in": _STATES,
}
_MAYBE = (
    "sleep",
    "rejects_package_with",
    "failed_install_returns_to",
    "leaves_addresses",
    "registers_anew_in",
    "changes_port_in",
    "defers_for",
)
_SECONDS = ("defers_for",)
_YES_OR_NO = {"yes": True, "no": False, "true": True, "false": False}

QUIRKS = tuple(field.name for field in fields(DeviceProfile))
"""What can be changed."""


def with_quirk(profile: DeviceProfile, assignment: str) -> DeviceProfile:
    """Return the profile with one quirk as `name=value` says.

    Enumerations are told by number or name, several by commas, `sleep` as AWAKE/EVERY in seconds. Raises ValueError,
    saying what is wrong.
    """
    name, separator, text = (part.strip() for part in assignment.partition("="))
    name = name.replace("-", "_")
    if not separator or name not in QUIRKS:
        raise ValueError(f"{assignment!r} is not NAME=VALUE with one of {', '.join(QUIRKS)}")
    try:
        value = _value(name, text, getattr(profile, name))
    except (KeyError, ValueError, OverflowError):
        raise ValueError(f"{text!r} is no value of {name}") from None
    return replace(profile, **{name: value})


def _value(name: str, text: str, present: object) -> Any:
    if name in _MAYBE and text.lower() == "none":
        return None
    if name == "sleep":
        awake, every = text.split("/")
        return SleepHabit(awake_for=_seconds(awake), update_every=_seconds(every))
    if name in _OF_NUMBER:
        return _member(_OF_NUMBER[name], text)
    if name in _OF_NUMBERS:
        members = [_member(_OF_NUMBERS[name], word.strip()) for word in text.split(",") if word.strip()]
        return frozenset(members) if isinstance(present, frozenset) else tuple(members)
    if isinstance(present, bool):
        return _YES_OR_NO[text.lower()]
    if isinstance(present, float) or name in _SECONDS:
        return _seconds(text)
    if isinstance(present, int):
        return int(text)
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not isfinite(seconds):
        raise ValueError(text)
    return seconds


def _member(kind: type[IntEnum], text: str) -> IntEnum:
    return kind(int(text)) if text.isdecimal() else kind[text.upper()]
