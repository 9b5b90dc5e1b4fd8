"""Writes docs/reference/virtual-devices.md from the profiles of virtual devices, so that the page cannot be wrong.

Usage: profiles_reference.py [--check]
"""

import ast
import inspect
import sys
from dataclasses import fields
from enum import Enum
from pathlib import Path

from firmcast.simulator.device import DeviceStatus
from firmcast.simulator.network import NetworkCounters
from firmcast.simulator.profile import DeviceProfile
from firmcast.simulator.profiles import NAMED_PROFILES, NamedProfile
from firmcast.simulator.sleep import SleepHabit
from firmcast.simulator.statistics import FleetStatistics

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/virtual-devices.md"

HEAD = """# Virtual devices

`firmcast simulate --profile NAME` runs devices that behave as one of these;
[simulate devices](../how-to/simulate-devices.md) tells how to use them. Each is as the one that the third column names,
but for what stands after it. This page is written by `scripts/profiles_reference.py`.

| profile | what it does | as |
| --- | --- | --- |
"""

QUIRKS = """
## What a profile says

`--quirk NAME=VALUE` changes one of all devices: yes or no, a number, a text, an enumeration by name or number, several
by commas, `none`; `sleep` is seconds awake and seconds between two updates, as 20/60. In Python
`dataclasses.replace(profile_named("anjay"), boot_time=30.0)` does the same.

| quirk | `plain` | what it is |
| --- | --- | --- |
"""


STATISTICS = """
## Statistics

What `firmcast simulate --json` prints at the end; with `--interval` also meanwhile, without `statuses`. Fields may be
added; these stay.

| field | what it is |
| --- | --- |
"""


def shown(value: object) -> str:
    """Return a value as a person reads it."""
    match value:
        case Enum():
            return value.name
        case frozenset() | tuple():
            return "{" + ", ".join(sorted(shown(one) for one in value)) + "}"
        case SleepHabit():
            return f"{value.awake_for:g}/{value.update_every:g}"
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def descriptions(record: type) -> dict[str, str]:
    """Return the docstring of each field, which only its source has."""
    body = ast.parse(inspect.getsource(record)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, told in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(told, ast.Expr)
            and isinstance(told.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(told.value.value).split())
    return found


def differences(named: NamedProfile) -> str:
    """Return what a profile is like, and in what it is not."""
    base = NAMED_PROFILES[named.like].profile
    different = (
        f"`{field.name}` {shown(getattr(named.profile, field.name))}"
        for field in fields(DeviceProfile)
        if field.name != "model" and getattr(named.profile, field.name) != getattr(base, field.name)
    )
    return f"`{named.like}` but {', '.join(different)}" if named.profile != base else "–"


def page() -> str:
    """Return the whole page."""
    told = descriptions(DeviceProfile)
    rows = [f"| `{name}` | {one.description}. | {differences(one)} |" for name, one in NAMED_PROFILES.items()]
    quirks = [
        f"| `{field.name}` | {shown(getattr(DeviceProfile(), field.name))} | {told[field.name]} |"
        for field in fields(DeviceProfile)
    ]
    parts = [HEAD + "\n".join(rows), QUIRKS + "\n".join(quirks), STATISTICS + "\n".join(counts(FleetStatistics))]
    parts += [
        f"\n`{name}`:\n\n| field | what it is |\n| --- | --- |\n" + "\n".join(counts(record))
        for name, record in (("datagrams", NetworkCounters), ("statuses", DeviceStatus))
    ]
    return "\n".join(parts) + "\n"


def counts(record: type) -> list[str]:
    """Return a line of the table for each field of a record that is told as JSON."""
    return [f"| `{name}` | {what} |" for name, what in descriptions(record).items()]


def main() -> None:
    """Write the page, or with --check say whether it is up to date by the exit status."""
    text = page()
    if "--check" in sys.argv:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text() == text
            else f"{PAGE.name} is out of date: run {Path(__file__).name}"
        )
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
