"""A command that cannot do its work says why in one line on standard error; status 1, or 2 for wrong usage."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.table import Table

from firmcast.errors import FirmcastError

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandError(FirmcastError):
    """The command cannot do its work."""


def fail(message: str) -> typer.Exit:
    """Say `message` and return what to raise."""
    errors.print(f"[bold red]error:[/] {message}")
    return typer.Exit(1)


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn the foreseen errors of a command into one line and status 1."""
    try:
        yield
    except FirmcastError as error:
        raise fail(str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def print_table(table: Table) -> None:
    """Print a table whose cells are whole, since the next command needs the ids in them."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 250
    console.print(table)
