"""Fixtures for pytest, for those who ask for them: `pytest_plugins = ["firmcast_sdk.testing.pytest_plugin"]`."""

import base64
import secrets
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from firmcast_sdk.signatures import SECRET_PREFIX
from firmcast_sdk.testing.pushes import OutgoingPush, Trouble, troubled

Troubling = Callable[[Iterable[OutgoingPush]], list[OutgoingPush]]


@pytest.fixture
def signing_secret() -> str:
    """A secret that the receiver and the platform of one test share."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(params=list(Trouble), ids=lambda trouble: trouble.value.replace(" ", "-"))
def trouble(request: pytest.FixtureRequest) -> Troubling:
    """Makes of pushes what arrives when something goes wrong on the way; the test runs once for each kind."""
    return partial(troubled, trouble=request.param)
