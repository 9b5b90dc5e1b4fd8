"""A resolver that does not answer costs the attempt its time for connecting, and nobody else anything."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LOOKUP_SECONDS = 5.0


def test_a_lookup_that_is_not_answered_ends_in_time(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or no way to load what it makes")
    library = tmp_path / "slow_lookup.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "slow_lookup.c", "-ldl"], check=True)
    told = subprocess.run(
        [sys.executable, HERE / "lookup_process.py"],
        env={**os.environ, "LD_PRELOAD": str(library)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    found = json.loads(told.stdout)
    assert found["kinds"] == ["unresolved"] * 3
    # Far less than the look-up takes, on a machine that is busy with other work.
    assert max(found["seconds"], found["stood_still"], found["closing"]) < LOOKUP_SECONDS / 2
