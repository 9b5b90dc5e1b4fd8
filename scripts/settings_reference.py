"""Writes docs/reference/settings.md from the settings themselves, so that the page cannot be wrong.

Usage: settings_reference.py [--check]
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from firmcast.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/settings.md"

HEAD = """# Settings

Every setting has a default. It is set by an environment variable, or in a TOML file given to
`firmcast serve --config`; the environment goes first. A duration is a number of seconds, or ISO 8601 such as `PT15S`
(15 seconds), `PT1H` or `P7D`. This page is written by `scripts/settings_reference.py`.

| environment variable | in the file | default | what it is |
| --- | --- | --- | --- |
"""


def shown(value: object) -> str:
    """Return a default as it would be written."""
    if value is PydanticUndefined or value in (None, "", ()):
        return "–"
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case timedelta():
            return f"`{to_jsonable_python(value)}`"
        case tuple():
            return f"`{json.dumps(to_jsonable_python(value))}`"
        case frozenset():
            return f"`{','.join(sorted(value))}`"
        case _:
            return f"`{value}`"


def rows(part: type[BaseModel], path: tuple[str, ...] = ()) -> list[str]:
    """Return a line of the table for each setting of `part`."""
    lines: list[str] = []
    for name, field in part.model_fields.items():
        here = (*path, name)
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            lines += rows(nested, here)
        else:
            lines.append(row(here, field))
    return lines


def row(path: tuple[str, ...], field: FieldInfo) -> str:
    """Return the line of one setting."""
    variable = "FIRMCAST_" + "__".join(path).upper()
    return f"| `{variable}` | `{'.'.join(path)}` | {shown(field.default)} | {field.description or ''} |"


def main() -> None:
    """Write the page, or with --check say whether it is up to date by the exit status."""
    page = HEAD + "\n".join(rows(Settings)) + "\n"
    if "--check" in sys.argv:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text() == page
            else f"{PAGE.name} is out of date: run {Path(__file__).name}"
        )
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
