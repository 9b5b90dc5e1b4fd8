"""The corpus is a folder of small files for each target: what real clients send, and whatever once broke a reader."""

from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"


def inputs(target: str) -> dict[str, bytes]:
    """Return the inputs of a target by the names of their files."""
    return {file.name: file.read_bytes() for file in sorted((CORPUS / target).iterdir())}
