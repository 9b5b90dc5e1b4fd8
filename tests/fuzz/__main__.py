"""Looks for inputs that break a reader, guided by what of its code they reach; `make fuzz` installs what it needs.

Usage: python -m tests.fuzz [--seconds N] [TARGET ...]. New inputs that reach something new are gathered in
build/fuzz/TARGET; one that breaks a target is written beside them, and belongs into tests/fuzz/corpus/TARGET once the
fault is mended, where the tests try it for ever.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.corpus import CORPUS
from tests.fuzz.targets import TARGETS

_FOUND = Path("build/fuzz")
_LONGEST_INPUT = 4096


def main() -> None:
    """Try each target in a process of its own: a fuzzer ends its process."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    chosen = parser.parse_args()
    unknown = set(chosen.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    broken = []
    for name in chosen.targets or TARGETS:
        found = _FOUND / name
        found.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(found), str(CORPUS / name)]
        limits = [f"-max_total_time={chosen.seconds}", f"-max_len={_LONGEST_INPUT}", f"-artifact_prefix={found}/"]
        if subprocess.run([*command, *limits], check=False).returncode:
            broken.append(name)
    if broken:
        raise SystemExit(f"broken: {', '.join(broken)}; see {_FOUND}")


if __name__ == "__main__":
    main()
