"""What a client did, what follows from it for how it is driven, and whether that is by the book; one line for each.

By the book means: as the text of OMA Object 5 has it, so that a plain driver would do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.firmware_update import (
    DeliveryMethod,
    FirmwareUpdateState,
    ResetWay,
    TransferWay,
    parse_delivery_method,
)
from firmcast.profiles.driving import DriverChoices
from firmcast.profiles.model import Findings, KnownClient, Shown, Traits, WayVerdict, combined

_FORMATS: Final = {number.value: number.name.replace("_", "-") for number in ContentFormat}
_STATES: Final = (FirmwareUpdateState.DOWNLOADING, FirmwareUpdateState.DOWNLOADED)
_WAYS: Final = {
    ResetWay.FORGET_ADDRESS: "an empty Package URI",
    ResetWay.CANCEL: "Cancel",
    ResetWay.FORGET_PACKAGE: "a NUL byte as package",
}
_NAMES: Final = {
    TransferWay.COAP: "by CoAP",
    TransferWay.COAPS: "by CoAPs",
    TransferWay.HTTP: "by HTTP",
    TransferWay.HTTPS: "by HTTPS",
    TransferWay.WRITTEN: "written",
}


class Mark(StrEnum):
    """Whether what a device did is by the book."""

    OK = "ok"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    """It was not seen yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the report."""

    about: str
    did: str
    """What the device did."""
    will: str
    """What the platform therefore does."""
    mark: Mark


def report(known: KnownClient, findings: Findings | None, choices: DriverChoices) -> list[Line]:
    """Return what is known of a client, and what its latest check found, with what is therefore chosen."""
    traits = combined(known.model, known.device.traits)
    return [
        *_shown(known.device.shown, findings),
        *([] if findings is None else _checked(findings, traits)),
        *_transfers(traits, choices),
        *_resets(choices),
        *_silence(choices),
        *_habits(traits),
    ]


def read_format_name(number: int | None) -> str:
    """Return what a content format is called."""
    return "the usual formats" if number is None else _FORMATS.get(number, str(number))


def _shown(shown: Shown, findings: Findings | None) -> Iterator[Line]:
    told = " ".join(part for part in (shown.manufacturer, shown.model, shown.version) if part)
    named = bool(shown.manufacturer or shown.model)
    if named or findings is not None:
        yield Line(
            about="identity",
            did=told or "tells neither manufacturer nor model",
            will="what it teaches holds for its model" if named else "what it teaches holds for this device alone",
            mark=Mark.OK if named else Mark.DIFFERS,
        )
    queue = ", sleeps between" if shown.queue_mode else ""
    yield Line(
        about="registration",
        did=f"LwM2M {shown.lwm2m_version or '?'}, binding {shown.binding or '?'}{queue}"
        + (f", object 5 version {shown.object_version}" if shown.object_version else ""),
        will="is talked to after it registers, updates or tells something"
        if shown.queue_mode
        else "is talked to at once",
        mark=Mark.OK,
    )


def _checked(findings: Findings, traits: Traits) -> Iterator[Line]:
    yield from _firmware_object(findings)
    answers = ", ".join(f"{name} {answer}" for name, answer in findings.formats.items())
    if answers and not findings.is_absent:
        some = findings.read_format is not None
        yield Line(
            about="read of /5/0",
            did=answers,
            will=f"read in {read_format_name(findings.read_format)}" if some else "its resources are read one by one",
            mark=Mark.OK if some else Mark.DIFFERS,
        )
    if findings.discover:
        listed = " ".join(map(str, findings.resources))
        yield Line(
            about="discover of /5/0",
            did=f"{findings.discover}: {listed}" if listed else findings.discover,
            will="Cancel is tried last"
            if findings.resources and 10 not in findings.resources
            else "Cancel is tried too",
            mark=Mark.OK if findings.resources else Mark.DIFFERS,
        )
    if findings.observe:
        yield Line(
            about="observe /5/0/3",
            did=f"{findings.observe}" + ("" if findings.observed else ", and does not notify"),
            will="is waited for" if findings.observed else "is read again and again",
            mark=Mark.OK if findings.observed else Mark.DIFFERS,
        )
    if findings.cancel:
        yield Line(
            about="end of the observation",
            did=findings.cancel,
            will="is ended so" if findings.cancel.startswith("2.") else "is reset when it notifies",
            mark=Mark.OK if findings.cancel.startswith("2.") else Mark.DIFFERS,
        )
    method = parse_delivery_method(traits.delivery_method)
    if method is not None:
        yield Line(
            about="delivery",
            did={
                DeliveryMethod.PULL: "fetches packages only",
                DeliveryMethod.PUSH: "takes written packages only",
                DeliveryMethod.BOTH: "fetches packages, and takes written ones",
            }[method],
            will="is written the package" if method is DeliveryMethod.PUSH else "is given the address",
            mark=Mark.OK,
        )
    yield from _reset_in_idle(findings)
    if findings.failure:
        yield Line(about="the check", did=findings.failure, will="check again", mark=Mark.UNKNOWN)


def _firmware_object(findings: Findings) -> Iterator[Line]:
    if findings.is_absent:
        listed = "" if findings.is_listed else ", and is not among the objects of its registration"
        yield Line(
            about="firmware object",
            did=f"has none: each read of it is answered with 4.04{listed}",
            will="its upgrades fail when they begin",
            mark=Mark.DIFFERS,
        )
    elif not findings.is_listed:
        told = any(path.startswith("/5/") for path in findings.told)
        yield Line(
            about="firmware object",
            did="is not among the objects of its registration" + (", and is there" if told else ""),
            will="is upgraded all the same" if told else "its upgrades fail when they begin",
            mark=Mark.DIFFERS,
        )


def _reset_in_idle(findings: Findings) -> Iterator[Line]:
    if findings.not_reset:
        yield Line(about="reset in Idle", did=f"not tried: {findings.not_reset}", will="", mark=Mark.UNKNOWN)
    elif findings.reset:
        stays = findings.after_reset.startswith("0 ")
        good = findings.reset.startswith("2.") and stays
        yield Line(
            about="reset in Idle",
            did=f"{findings.reset} to an empty Package URI, then state and result {findings.after_reset}",
            will="an address that was just written is taken back so" if good else "its state is read after each try",
            mark=Mark.OK if good else Mark.DIFFERS,
        )


def _transfers(traits: Traits, choices: DriverChoices) -> Iterator[Line]:
    takes, refuses, leaves = (
        ", ".join(name for way, name in _NAMES.items() if way.value in traits.ways_that(did)) for did in WayVerdict
    )
    last = ", ".join(_NAMES[way] for way in choices.avoided_ways)
    seen = [
        *([f"takes them {takes}"] if takes else []),
        *([f"takes none {refuses}"] if refuses else []),
        *([f"took an address and asked for nothing {leaves}"] if leaves else []),
    ]
    yield Line(
        about="packages",
        did=", ".join(seen) or "not seen yet",
        will=f"is sent them {last} last" if last else "is sent them as it says that it takes them",
        mark=(Mark.DIFFERS if last else Mark.OK) if seen else Mark.UNKNOWN,
    )


def _resets(choices: DriverChoices) -> Iterator[Line]:
    for state in _STATES:
        ways = choices.reset_ways(state)
        helped = [way for way in ways if f"{state.value} {way.value}" in choices.resets_by]
        failed = [way for way in ways if f"{state.value} {way.value}" in choices.resets_not_by]
        seen = [
            *(f"{_WAYS[way]} brings it back" for way in helped),
            *(f"{_WAYS[way]} does not" for way in failed),
        ]
        by_the_book = ResetWay.FORGET_ADDRESS not in failed
        yield Line(
            about=f"back from {state.name.capitalize()}",
            did=", ".join(seen) or "not seen yet",
            will="first " + ", then ".join(_WAYS[way] for way in ways),
            mark=(Mark.OK if by_the_book else Mark.DIFFERS) if seen else Mark.UNKNOWN,
        )


def _silence(choices: DriverChoices) -> Iterator[Line]:
    if choices.leaves_objects_unanswered:
        yield Line(
            about="unknown formats",
            did="leaves the read of an object unanswered, and answers others",
            will="its resources are read one by one",
            mark=Mark.DIFFERS,
        )


def _habits(traits: Traits) -> Iterator[Line]:
    yield _habit(
        "state 1 while written",
        traits.shows_downloading_when_written,
        "shows it",
        "never shows it",
        "told as seen",
        "told when the first block has arrived, as unseen",
        book=True,
    )
    yield _habit(
        "after the reboot",
        traits.forgets_state,
        "forgets state and result",
        "tells its result",
        "its version decides",
        "its result decides",
        book=False,
    )
    yield _habit(
        "end of an update",
        traits.notifies_end,
        "notifies it",
        "does not notify it",
        "is told at once",
        "is read when it has registered anew",
        book=None,
    )
    if traits.failed_install_returns_to is not None:
        back = traits.failed_install_returns_to
        yield Line(
            about="a failed installation",
            did=f"leaves it in state {back} {FirmwareUpdateState(back).name.lower()}",
            will="is told as failed, and is brought back to Idle" if back else "is told as failed",
            mark=Mark.OK,
        )
    if traits.defers:
        yield Line(about="installation", did="puts it off (result 11)", will="it is waited for", mark=Mark.OK)
    if traits.largest_block is not None:
        small = traits.largest_block < 1024
        yield Line(
            about="blocks",
            did=f"fetches {traits.largest_block} bytes at once",
            will="is served as it asks",
            mark=Mark.DIFFERS if small else Mark.OK,
        )


def _habit(
    about: str, seen: bool | None, if_so: str, if_not: str, then: str, otherwise: str, *, book: bool | None
) -> Line:
    if seen is None:
        return Line(about=about, did="not seen yet", will="both are expected", mark=Mark.UNKNOWN)
    good = book is None or seen is book
    return Line(
        about=about,
        did=if_so if seen else if_not,
        will=then if seen else otherwise,
        mark=Mark.OK if good else Mark.DIFFERS,
    )
