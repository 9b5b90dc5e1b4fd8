import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
SCRIPTS = [
    "commands_reference.py",
    "metrics_reference.py",
    "profiles_reference.py",
    "settings_reference.py",
    "upgrade_states_page.py",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_page_that_is_drawn_from_the_code_is_up_to_date(script: str) -> None:
    command = [sys.executable, ROOT / "scripts" / script, "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
