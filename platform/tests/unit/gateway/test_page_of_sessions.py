"""The page of the sessions names a test in every row, and each of them exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs/explanation/sessions.md"
FOLDER = ROOT / "platform/tests/integration/gateway"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_every_row_names_a_test_that_exists() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    for row in rows:
        file, name = NAMED.findall(row)[0]
        nodes = ast.walk(ast.parse((FOLDER / file).read_text()))
        assert name in {node.name for node in nodes if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}, row
