"""Checks the rules of the house that ruff, mypy and import-linter do not know, and names each place that breaks one.

* no module over 500 lines, no function over 60;
* only clock.py (and _clock.py of the SDK) reads a clock;
* SQL of one capability names no table of another;
* the vendor's wire names are spelt at the edge only.

Usage: house_rules.py [ROOT]
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

MODULE_LINES = 500
FUNCTION_LINES = 60

CLOCK_MODULES = {"clock.py", "_clock.py"}
CLOCK_READS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("time", "monotonic_ns"),
    ("time", "perf_counter"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}

WIRE_NAMES = re.compile(
    r"^(notifyType|operationId|subOperationId|subOperation|stepDesc|callbackurl|callbackUrl|staResult|extendPara|"
    r"fwUpgrade\w+|swUpgrade\w+|error_code|error_desc|app_key)$"
)
WIRE_FOLDERS = ("rest/", "cli/")
WIRE_FILES = ("/api.py", "push/envelope.py")

SECTION = re.compile(r"^-- (\w+) -{10,}$")
CREATE_TABLE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)")
SQL_WORD = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+(\w+)", re.IGNORECASE)


def table_owners(root: Path) -> dict[str, str]:
    """Return the capability that owns each table: the section of the migration that creates it."""
    owners: dict[str, str] = {}
    for migration in sorted((root / "platform/src/firmcast/db/migrations").glob("*/*.sql")):
        section = ""
        for line in migration.read_text().splitlines():
            if found := SECTION.match(line):
                section = found[1]
            elif found := CREATE_TABLE.match(line):
                owners[found[1]] = section
    return owners


def too_long(path: str, nodes: Sequence[ast.AST], lines: int) -> Iterator[str]:
    """Yield what is longer than a reader holds in mind."""
    if lines > MODULE_LINES:
        yield f"{path}: {lines} lines, {MODULE_LINES} at the most"
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, {FUNCTION_LINES} at the most"


def clock_reads(path: str, nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the calls that ask a clock."""
    if Path(path).name in CLOCK_MODULES:
        return
    for node in nodes:
        if isinstance(node, ast.Attribute):
            value = node.value
            owner = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
            if (owner, node.attr) in CLOCK_READS:
                yield f"{path}:{node.lineno}: {owner}.{node.attr} reads a clock; take `now` as an argument"


def foreign_tables(path: str, nodes: Sequence[ast.AST], owners: dict[str, str]) -> Iterator[str]:
    """Yield the SQL that names another capability's table."""
    found = re.search(r"firmcast/(\w+)/", path)
    capability = found[1] if found else ""
    if capability == "db":
        return
    for node in nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search(r"\b(SELECT|INSERT|UPDATE|DELETE)\b", node.value)
        ):
            for table in SQL_WORD.findall(node.value):
                if owners.get(table, capability) != capability:
                    yield f"{path}:{node.lineno}: table {table} belongs to {owners[table]}; call its use cases"


def wire_names(path: str, nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the vendor's words that are spelt inside the platform."""
    if (
        "platform/" not in path
        or path.endswith(WIRE_FILES)
        or any(f"firmcast/{folder}" in path for folder in WIRE_FOLDERS)
    ):
        return
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WIRE_NAMES.match(node.value):
            yield f"{path}:{node.lineno}: {node.value!r} is a wire name; spell it in firmcast_sdk.wire"


def broken_rules(root: Path) -> Iterator[str]:
    """Yield a line for each place under `root` that breaks a rule."""
    owners = table_owners(root)
    for file in sorted([*root.glob("platform/src/**/*.py"), *root.glob("sdk/src/**/*.py")]):
        path = file.relative_to(root).as_posix()
        text = file.read_text()
        nodes = list(ast.walk(ast.parse(text, filename=path)))
        yield from too_long(path, nodes, text.count("\n"))
        yield from clock_reads(path, nodes)
        yield from foreign_tables(path, nodes, owners)
        yield from wire_names(path, nodes)


def main() -> None:
    """Print what breaks a rule; the exit status is 1 if anything does."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    broken = list(broken_rules(root))
    for line in broken:
        print(line)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
