"""The architecture is executable: each kind of violation, seeded into a copy of the tree, is caught and named."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]

IMPORT_SEEDS = [
    ("platform/src/firmcast/errors.py", "import firmcast.app", "Imports point down"),
    ("platform/src/firmcast/utils.py", "", "Imports point down"),
    ("platform/src/firmcast/gateway/server.py", "import firmcast.push.dispatcher", "Southbound never knows northbound"),
    ("platform/src/firmcast/push/retry.py", "import firmcast.upgrades.model", "Northbound never knows southbound"),
    ("platform/src/firmcast/simulator/device.py", "import firmcast.devices.model", "The virtual device knows"),
    ("platform/src/firmcast/push/retry.py", "import firmcast.clock", "Rules touch no I/O"),
    ("platform/src/firmcast/upgrades/state_machine.py", "import asyncio", "Rules touch no I/O"),
    ("platform/src/firmcast/coap/message.py", "import socket", "Rules touch no I/O"),
    ("platform/src/firmcast/app.py", "import firmcast.upgrades.store", "upgrades owns its tables"),
    ("platform/src/firmcast/gateway/server.py", "import firmcast.devices.store", "devices owns its tables"),
    ("platform/src/firmcast/upgrades/engine.py", "import firmcast.firmware.store", "firmware owns its tables"),
    ("platform/src/firmcast/upgrades/use_cases.py", "import firmcast.groups.store", "groups owns its tables"),
    ("platform/src/firmcast/groups/merge.py", "import firmcast.db.port", "Rules touch no I/O"),
    ("platform/src/firmcast/devices/use_cases.py", "import firmcast.groups.use_cases", "Imports point down"),
    ("platform/src/firmcast/push/use_cases.py", "import firmcast.applications.store", "applications owns its tables"),
    ("platform/src/firmcast/push/use_cases.py", "import firmcast.events.store", "events owns its tables"),
    ("platform/src/firmcast/push/use_cases.py", "import firmcast.subscriptions.store", "subscriptions owns its tables"),
    ("platform/src/firmcast/app.py", "import firmcast.push.store", "push owns its tables"),
    ("platform/src/firmcast/upgrades/use_cases.py", "import firmcast_sdk.wire.errors", "Wire names stay at the edge"),
    ("sdk/src/firmcast_sdk/events.py", "import firmcast.ids", "The SDK never imports the platform"),
    ("platform/src/firmcast/app.py", "import firmcast_sdk.client", "The platform serves applications"),
]

HOUSE_SEEDS = [
    ("platform/src/firmcast/push/retry.py", "\n" * 501, "lines, 500 at the most"),
    ("platform/src/firmcast/push/retry.py", "def long() -> None:\n" + "    print()\n" * 60, "long has 61 lines"),
    ("platform/src/firmcast/push/retry.py", "import time\nNOW = time.monotonic()", "reads a clock"),
    ("platform/src/firmcast/upgrades/store.py", 'X = "DELETE FROM device WHERE 1"', "table device belongs to devices"),
    ("platform/src/firmcast/upgrades/state_machine.py", 'X = "subOperationId"', "is a wire name"),
]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is checked."""
    copy = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("platform/src", "sdk/src"):
        shutil.copytree(ROOT / part, copy / part, ignore=ignored)
    shutil.copy(ROOT / ".importlinter", copy)
    return copy


@contextmanager
def seeded(tree: Path, *seeds: tuple[str, str]) -> Iterator[None]:
    """Add lines to modules of the copy, which may be new, until the end."""
    before = {tree / path: (tree / path).read_text() if (tree / path).exists() else None for path, _ in seeds}
    try:
        for path, line in seeds:
            with (tree / path).open("a") as file:
                file.write(f"\n{line}\n")
        yield
    finally:
        for module, text in before.items():
            if text is None:
                module.unlink()
            else:
                module.write_text(text)


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join(str(tree / part) for part in ("platform/src", "sdk/src"))
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("path", "line", "contract"), IMPORT_SEEDS)
def test_import_contract_catches(tree: Path, path: str, line: str, contract: str) -> None:
    with seeded(tree, (path, line)):
        finished = lint_imports(tree)
    assert finished.returncode == 1
    assert contract in finished.stdout


def test_import_contracts_hold_without_a_seed(tree: Path) -> None:
    finished = lint_imports(tree)
    assert finished.returncode == 0, finished.stdout


def house_rules(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/house_rules.py", tree]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_house_rules_catch_each_violation_and_nothing_else(tree: Path) -> None:
    """A rule looks at one place at a time, so all are seeded at once."""
    with seeded(tree, *((path, line) for path, line, _complaint in HOUSE_SEEDS)):
        finished = house_rules(tree)
    assert finished.returncode == 1
    said = finished.stdout.splitlines()
    assert len(said) == len(HOUSE_SEEDS), said
    for path, _line, complaint in HOUSE_SEEDS:
        assert any(each.startswith(path) and complaint in each for each in said), (path, complaint, said)


def test_house_rules_hold_without_a_seed(tree: Path) -> None:
    finished = house_rules(tree)
    assert finished.returncode == 0, finished.stdout
