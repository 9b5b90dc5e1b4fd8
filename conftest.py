"""Loaded before any other conftest: pytest names test modules after their folders, and `platform/` is one of them.

It imports the folder in place of the standard library's module of that name unless that module is loaded and looks
like a package; so it is made to look like an empty one.
"""

import os
import platform

import pytest
from hypothesis import HealthCheck, settings

_MOST_WORKERS = 6

platform.__path__ = []  # type: ignore[attr-defined]  # the reason stands above

# A busy machine makes any example slow: how long one takes says nothing. All else stays as hypothesis has it, which is
# different where CI is set.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say how much is done in tests/faults; a short form of them is part of every run."""
    group = parser.getgroup("faults")
    group.addoption(
        "--faults", dest="fault_scale", action="store_const", const="usual", default="short", help="in minutes"
    )
    group.addoption(
        "--long", dest="fault_scale", action="store_const", const="long", help="in the better part of an hour"
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return two workers more than processors: a good part of the tests waits for processes, disks and deadlines."""
    del config
    return min((os.cpu_count() or 1) + 2, _MOST_WORKERS)
