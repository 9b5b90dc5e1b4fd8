"""How a package is offered follows from what the device says it can, and from how it is reached."""

import pytest

from firmcast.devices.model import CommandKind
from firmcast.upgrades.model import ResourcesReported
from firmcast.upgrades.rules.offer import choose_transfer

BY_URI, BY_WRITE = CommandKind.TRANSFER_BY_URI, CommandKind.TRANSFER_BY_WRITE


@pytest.mark.parametrize(
    ("protocols", "is_secure", "expected"),
    [
        (None, None, BY_URI),
        ((0,), None, BY_URI),
        ((0, 1), False, BY_URI),
        ((1,), False, BY_WRITE),
        (None, True, BY_URI),
        ((0, 1), True, BY_URI),
        ((1,), True, BY_URI),
        ((0,), True, BY_WRITE),
    ],
)
def test_a_package_is_offered_by_the_protocol_that_the_device_is_reached_by(
    protocols: tuple[int, ...] | None, is_secure: bool | None, expected: CommandKind
) -> None:
    """OMA Object 5, resource 8: 0 is CoAP, 1 is CoAPs; absent means what the device speaks anyway."""
    told = ResourcesReported(protocols=protocols, delivery_method=2, is_secure=is_secure)
    assert choose_transfer(told, prefer_write=False) is expected
