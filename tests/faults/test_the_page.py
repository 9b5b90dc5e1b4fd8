"""The page of the faults names tests that exist, and every fault of this folder stands on it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/faults.md"
NAMED = re.compile(r"`((?:platform/)?tests/[\w/]+\.py)::(\w+)`")
FAULTS = 24
NOT_FAULTS = {"test_oracle.py", Path(__file__).name}


def names_in(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_test_that_it_names_exists() -> None:
    named = NAMED.findall(PAGE.read_text())
    assert named
    missing = [f"{path}::{name}" for path, name in named if name not in names_in(ROOT / path)]
    assert not missing


def test_every_row_names_a_test() -> None:
    tables, _, _ = PAGE.read_text().partition("## What was seen")
    rows = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    headings = [row for row in rows if row.lower().rstrip(" |").endswith("shown by")]
    assert len(headings) == 2
    assert [row for row in rows if row not in headings and not NAMED.search(row)] == []
    numbers = [int(found[1]) for row in rows if (found := re.match(r"\| (\d+) \|", row))]
    assert numbers == list(range(1, FAULTS + 1))


def test_every_test_of_this_folder_is_named() -> None:
    named = {(path, name) for path, name in NAMED.findall(PAGE.read_text())}
    folder = Path(__file__).parent
    unnamed = [
        f"{path.name}::{name}"
        for path in sorted(folder.glob("test_*.py"))
        if path.name not in NOT_FAULTS
        for name in sorted(names_in(path))
        if (path.relative_to(ROOT).as_posix(), name) not in named
    ]
    assert not unnamed
