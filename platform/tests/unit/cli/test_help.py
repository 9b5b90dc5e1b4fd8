"""Help reads as prose: its lines break where the terminal ends, not where the source does."""

from collections.abc import Iterator

import pytest
import typer
from typer.main import get_command

from firmcast.cli.main import app


def commands(tree: typer.Typer) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of each command."""

    def walk(command: object, path: str) -> Iterator[tuple[str, str]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield path, getattr(command, "help", None) or ""
        for name, child in (below or {}).items():
            yield from walk(child, f"{path} {name}")

    yield from walk(get_command(tree), "firmcast")


@pytest.mark.parametrize(("path", "text"), list(commands(app)))
def test_no_line_of_help_breaks_within_a_paragraph(path: str, text: str) -> None:
    assert text, f"{path} has no help"
    assert all("\n" not in paragraph for paragraph in text.split("\n\n"))
