"""The table in cells.md is what is expected of a cell, whoever runs it."""

import re
from functools import cache
from pathlib import Path

from tests.matrix.cells import FAULTS, Cell

PAGE = Path(__file__).with_name("cells.md")


@cache
def tables() -> list[list[list[str]]]:
    """Return the tables of the page, each without its head."""
    found = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()] for table in found]
    return [table[2:] for table in rows]


def _is_named(cell: str, name: str) -> bool:
    return name in [each.strip() for each in cell.split(",")] or cell in ("any", "every other")


def row_of(cell: Cell) -> list[str]:
    """Return the cells of the row that a cell is in."""
    return next(
        row
        for row in tables()[2]
        if _is_named(row[0], cell.kind) and _is_named(row[1], cell.way) and _is_named(row[2], cell.session)
    )


def pattern_of(cell: Cell) -> re.Pattern[str]:
    """Return what the page says of a cell, as a pattern of the words with a space after each."""
    written = row_of(cell)[3 + FAULTS.index(cell.fault)]
    written = dict(tables()[1]).get(written, written).strip("`")
    parts = re.findall(r"\w+|[()*?]", written)
    return re.compile("".join(f"{part} " if part.isalnum() else part for part in parts))


def is_as_written(cell: Cell, told: list[str]) -> bool:
    """Tell whether what an application was told, states and the end, is what the table says."""
    return pattern_of(cell).fullmatch("".join(f"{each} " for each in told)) is not None
