"""Set-up needs an interpreter and pip, nothing else: this script makes the virtual environment and fills it.

Usage: bootstrap.py FOLDER platform|development|lock
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST = (3, 11)
OURS = {"firmcast", "firmcast-sdk"}
TOOLS = {"pip", "setuptools", "wheel", "virtualenv"}


def run(*command: str | Path) -> None:
    """Run a command and end with its status if it fails."""
    finished = subprocess.run([str(word) for word in command], cwd=ROOT, check=False)
    if finished.returncode:
        sys.exit(finished.returncode)


def make_environment(folder: Path) -> Path:
    """Return the interpreter of the environment in `folder`, which is made if it is not there."""
    python = folder / "bin" / "python"
    if python.exists():
        return python
    print(f"setting up {folder.name} with Python {sys.version.split()[0]}", file=sys.stderr, flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, check=False)
    if made.returncode:
        # Some distributions take ensurepip out of Python; pip itself is there, and virtualenv needs no more.
        shutil.rmtree(folder, ignore_errors=True)
        tool = ROOT / "build" / "virtualenv"
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", tool, "virtualenv")
        run(
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(tool)!r}); import virtualenv; virtualenv.cli_run([{str(folder)!r}])",
        )
    return python


def install(python: Path, *what: str | Path, constrained: bool = True) -> None:
    """Install into the environment, quietly."""
    limits = ["-c", str(CONSTRAINTS)] if constrained else []
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *limits, *what)


def lock(python: Path) -> None:
    """Write constraints.txt from what was installed without any constraint."""
    frozen = subprocess.run(
        [str(python), "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    kept = [line for line in frozen if line.split("==")[0].lower() not in OURS | TOOLS]
    CONSTRAINTS.write_text(
        "# Versions that the checks were run with; `make lock` writes this file.\n"
        + "".join(f"{line}\n" for line in sorted(kept, key=str.lower))
    )


def main() -> None:
    """Do what the command line says."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Python {'.'.join(map(str, OLDEST))} or newer is needed; this is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 …"
        )
    folder, purpose = Path(sys.argv[1]).absolute(), sys.argv[2]
    python = make_environment(folder)
    distributions = ("-e", "sdk[client]", "-e", "platform")
    if purpose == "platform":
        install(python, *distributions)
    elif purpose == "development":
        install(python, "-r", "requirements-dev.txt", *distributions)
    else:
        install(python, "-r", "requirements-dev.txt", *distributions, constrained=False)
        lock(python)


if __name__ == "__main__":
    main()
