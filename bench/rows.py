"""A benchmark's result is a row: our value, the reference's value, and the ratio of both."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from rich.console import Console
from rich.table import Table


class Row(TypedDict):
    """One line of `build/bench.json`."""

    name: str
    value: float
    unit: str
    against: str
    reference: float
    ratio: float


def row(name: str, value: float, unit: str, against: str, reference: float) -> Row:
    """Return the row of `value` against `reference`, both in `unit`."""
    return Row(
        name=name,
        value=round(value, 1),
        unit=unit,
        against=against,
        reference=round(reference, 1),
        ratio=round(value / reference, 3),
    )


def row_of_rounds(name: str, values: Sequence[float], unit: str, against: str, references: Sequence[float]) -> Row:
    """Return the row of the round whose ratio is the median: both its values are of the same minutes of the machine."""
    rounds = sorted(zip(values, references, strict=True), key=lambda pair: pair[0] / pair[1])
    value, reference = rounds[len(rounds) // 2]
    return row(name, value, unit, against, reference)


def show(rows: list[Row], remarks: list[str]) -> None:
    """Print the rows as a table, and what could not be measured below it."""
    table = Table(title="Benchmarks: ours against the reference of the same run")
    for heading, side in (("name", "left"), ("ours", "right"), ("reference", "right"), ("unit", "left")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    table.add_column("against")
    table.add_column("ratio", justify="right")
    for each in rows:
        ours, reference = f"{each['value']:,.0f}", f"{each['reference']:,.0f}"
        table.add_row(each["name"], ours, reference, each["unit"], each["against"], f"{each['ratio']:.2f}")
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    for remark in remarks:
        console.print(f"left out: {remark}")


def write(rows: list[Row], path: Path) -> None:
    """Write the rows as JSON, replacing the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")
