"""Every kind of device, way, session and fault ends as the hand-written table in cells.md says, in virtual time."""

from dataclasses import replace
from itertools import product

import pytest
from tests.matrix.cells import AS_LISTED, FAULTS, KINDS, LONGEST, SESSIONS, UNTRUE, WAYS, Cell, Outcome, moments, run
from tests.matrix.table import is_as_written, pattern_of, row_of, tables

from firmcast.devices.model import CommandKind

ALIKE = {
    "pull",
    "push",
    "anjay-push",
    "http",
    "https",
    "http-only",
    "leaves-http",
    "leaves-http-in-0",
    "lists-http",
    "lists-http-late",
}
"""They differ from others in the way for their packages alone, which is the cell's here."""
DIFFERENT = sorted(set(KINDS) - ALIKE)
MOST_TRANSFERS = 7
LYING_ADDRESSES = 5
"""Addresses that are written before it turns out that they are let lie, from which nothing is sent."""
TRANSFERS = {CommandKind.TRANSFER_BY_URI.value, CommandKind.TRANSFER_BY_WRITE.value}


def assert_as_written(cell: Cell, at: float | None, outcome: Outcome) -> None:
    where = f"{cell}, the fault at {at}: {outcome}"
    assert outcome.lasted < LONGEST, where
    assert is_as_written(cell, outcome.told.split()), f"{pattern_of(cell).pattern} is expected of {where}"
    has_succeeded = outcome.told.endswith("succeeded")
    assert has_succeeded or any(outcome.description.startswith(each) for each in row_of(cell)[8].split(", ")), where
    assert outcome.runs_new_firmware == has_succeeded, where
    is_gone = (cell.kind, cell.way, cell.session) == ("port-changing", "written", "secure")
    most = MOST_TRANSFERS + (LYING_ADDRESSES if cell.kind == "leaves-http-in-0" else 0)
    assert is_gone or sum(order in TRANSFERS for order in outcome.orders) <= most, where


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_cell_ends_as_it_is_written(fault: str, way: str) -> None:
    for kind, session in product(DIFFERENT, SESSIONS):
        cell = Cell(kind, way, session, fault)
        (at,) = moments(cell, 1)
        assert_as_written(cell, at, run(cell, at))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_way_that_is_listed_and_does_not_work_costs_no_upgrade(fault: str) -> None:
    for kind, session in product(UNTRUE, SESSIONS):
        cell = Cell(kind, AS_LISTED, session, fault)
        (at,) = moments(cell, 1)
        outcome = run(cell, at)
        assert_as_written(cell, at, outcome)
        assert sum(order in TRANSFERS for order in outcome.orders) > 1


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
    cells = [Cell(kind, way, session, "nothing") for kind, way, session in product(DIFFERENT, WAYS, SESSIONS)]
    cells += [Cell(kind, AS_LISTED, session, "nothing") for kind, session in product(UNTRUE, SESSIONS)]
    assert {tuple(row_of(cell)) for cell in cells} == {tuple(row) for row in tables()[2]}
