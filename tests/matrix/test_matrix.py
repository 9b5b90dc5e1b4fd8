"""Every kind of device, way, session and fault ends as the hand-written table in cells.md says, in virtual time."""

import re
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from tests.matrix.cells import FAULTS, LONGEST, SESSIONS, WAYS, Cell, Outcome, moments, run

from firmcast.devices.model import CommandKind
from firmcast.simulator.profiles import PROFILES

PAGE = Path(__file__).with_name("cells.md")
ALIKE = {"pull", "push", "anjay-push", "http", "https"}
"""They differ from others in the way for their packages alone, which is the cell's here."""
KINDS = sorted(set(PROFILES) - ALIKE)
MOST_TRANSFERS = 7
TRANSFERS = {CommandKind.TRANSFER_BY_URI.value, CommandKind.TRANSFER_BY_WRITE.value}


@cache
def tables() -> list[list[list[str]]]:
    """Return the tables of the page, each without its head."""
    found = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()] for table in found]
    return [table[2:] for table in rows]


def named(cell: str, name: str) -> bool:
    return name in [each.strip() for each in cell.split(",")] or cell in ("any", "every other")


def row_of(cell: Cell) -> list[str]:
    return next(row for row in tables()[2] if named(row[0], cell.kind) and named(row[1], cell.way))


def pattern_of(cell: Cell) -> re.Pattern[str]:
    """Return what the page says of a cell, as a pattern of the words with a space after each."""
    written = row_of(cell)[2 + FAULTS.index(cell.fault)]
    written = dict(tables()[1]).get(written, written).strip("`")
    parts = re.findall(r"\w+|[()*?]", written)
    return re.compile("".join(f"{part} " if part.isalnum() else part for part in parts))


def assert_as_written(cell: Cell, at: float | None, outcome: Outcome) -> None:
    where = f"{cell}, the fault at {at}: {outcome}"
    assert outcome.lasted < LONGEST, where
    assert pattern_of(cell).fullmatch(f"{outcome.told} "), f"{pattern_of(cell).pattern} is expected of {where}"
    has_succeeded = outcome.told.endswith("succeeded")
    assert has_succeeded or any(outcome.description.startswith(each) for each in row_of(cell)[7].split(", ")), where
    assert outcome.runs_new_firmware == has_succeeded, where
    is_gone = (cell.kind, cell.way) == ("port-changing", "written")
    assert is_gone or sum(order in TRANSFERS for order in outcome.orders) <= MOST_TRANSFERS, where


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_cell_ends_as_it_is_written(fault: str, way: str) -> None:
    for kind, session in product(KINDS, SESSIONS):
        cell = Cell(kind, way, session, fault)
        (at,) = moments(cell, 1)
        assert_as_written(cell, at, run(cell, at))


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_a_fault_is_one(fault: str) -> None:
    cells = [Cell("anjay", way, session, fault) for way in WAYS for session in SESSIONS]
    changed = 0
    for cell in cells:
        undisturbed = run(replace(cell, fault="nothing"))
        for at in moments(cell, 2):
            disturbed = run(cell, at)
            is_later = disturbed.lasted > undisturbed.lasted + 0.5
            changed += is_later or disturbed.orders != undisturbed.orders
    assert changed >= len(cells), "at least every second one costs time, or other orders"


def test_a_cell_is_the_same_for_the_same_seed() -> None:
    cell = Cell("anjay", "written", "secure", "loss")
    assert run(cell) == run(cell)
    assert run(cell) != run(replace(cell, seed=2))


def test_the_table_is_about_everything() -> None:
    rows = [tuple(row_of(Cell(kind, way, "clear", "nothing"))) for kind in KINDS for way in WAYS]
    assert set(rows) == {tuple(row) for row in tables()[2]}
