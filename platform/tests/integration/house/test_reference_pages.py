import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    command = [sys.executable, ROOT / "scripts/settings_reference.py", "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
