"""The public surface is a list: sorted, complete, importable, and typed as a checker's own file says."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "module", ["firmcast_sdk", "firmcast_sdk.client", "firmcast_sdk.receiver", "firmcast_sdk.testing"]
)
def test_public_names_are_listed_in_order_and_there(module):
    imported = importlib.import_module(module)
    assert imported.__all__ == sorted(set(imported.__all__))
    assert [name for name in imported.__all__ if not hasattr(imported, name)] == []


@pytest.mark.parametrize("module", ["firmcast_sdk", "firmcast_sdk.client", "firmcast_sdk.receiver"])
def test_nothing_is_imported_there_but_to_be_listed(module):
    imported = importlib.import_module(module)
    strays = {
        name
        for name, value in vars(imported).items()
        if not name.startswith("_") and getattr(value, "__module__", None) is not None and name not in imported.__all__
    }
    assert strays == set()


def test_a_type_checker_agrees():
    # With the cache that checking the sources has left, if any: it is a matter of seconds then.
    command = [sys.executable, "-m", "mypy", "sdk/tests/typing/client.py", "sdk/tests/typing/public_surface.py"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_types_travel_with_the_package():
    assert (ROOT / "sdk/src/firmcast_sdk/py.typed").exists()
