"""A platform that serves is looked through for cycles less often, and they still go."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from firmcast.cli.serving import look_less_for_cycles


@pytest.fixture
def _collector_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class _Link:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("_collector_as_before")
def test_cycles_go_though_what_was_there_is_not_looked_at() -> None:
    look_less_for_cycles()

    assert gc.get_freeze_count() > 0, "what was there is looked at again"
    assert gc.get_threshold()[0] > 700
    link = weakref.ref(_Link())
    kept: list[list[int]] = []
    while link() is not None and len(kept) < 2 * gc.get_threshold()[0]:
        kept.append([])
    assert link() is None, "no cycle is found any more"
