"""The pages of what becomes of sessions and of real clients name a test in every row, and each of them exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGES = ("sessions.md", "real-clients.md")
TESTS = ROOT / "platform/tests"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


@pytest.mark.parametrize("page", PAGES)
def test_every_row_names_a_test_that_exists(page: str) -> None:
    lines = (ROOT / "docs/explanation" / page).read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| --- ", "| what "))]
    assert len(rows) > 10
    for row in rows:
        file, name = NAMED.findall(row)[0]
        assert any(name in names_in(found) for found in TESTS.rglob(file)), row


def names_in(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}
