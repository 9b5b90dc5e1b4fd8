"""The golden files: bodies written by hand from the contract page, the witness between sender and receiver."""

from collections.abc import Callable
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str], bytes]:
    """The bytes of a golden file, without the newline at its end."""
    return lambda name: (_FOLDER / name).read_bytes().rstrip(b"\n")
