"""A command prints one thing: words for a person, or with `--json` one JSON document; what follows prints lines."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table


def print_json(value: object) -> None:
    """Print one JSON document: a record as its wire form, anything else as it is."""
    typer.echo(msgspec.json.encode(value).decode())


def print_fields(record: Mapping[str, Any]) -> None:
    """Print a record for a person, a line for each field that holds something; the names as `--json` has them."""
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        if value not in (None, "", [], {}):
            typer.echo(f"{name:<{width}}  {_shown(value)}")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print a table of these fields of each row."""
    table = Table(*(column.replace("_", " ") for column in columns))
    for row in rows:
        table.add_row(*(_shown(row[column]) for column in columns))
    print_table(table)


def print_table(table: Table) -> None:
    """Print a table whose cells are whole, since the next command needs the ids in them."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 250
    console.print(table)


def plain(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record of the wire as words and numbers, under the wire's names."""
    built: dict[str, Any] = msgspec.to_builtins(record)
    return built


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return " ".join(map(str, value))
        case dict():
            return " ".join(f"{name}={_shown(each)}" for name, each in value.items() if each not in (None, ""))
        case _:
            return str(value)
