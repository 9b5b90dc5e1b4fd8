"""A command that cannot do its work says why in one line on standard error; status 1, or 2 for wrong usage."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from firmcast.errors import FirmcastError

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandError(FirmcastError):
    """The command cannot do its work."""


def say_error(message: str) -> None:
    """Say what went wrong, of a command that goes on."""
    errors.print(f"[bold red]error:[/] {escape(message)}")


def fail(message: str) -> typer.Exit:
    """Say `message` and return what to raise."""
    say_error(message)
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
