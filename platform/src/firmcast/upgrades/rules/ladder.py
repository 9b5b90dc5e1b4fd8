"""Applications see a device climb 0, 1, 2, 3 and step down, one legal edge at a time; what nobody saw is filled in.

The published ladder is narrower than what devices do: a package written in blocks goes from 0 to 2 on several
clients, and applications are told of 1 all the same, marked as synthesised.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from firmcast.lwm2m.firmware_update import FirmwareUpdateState

IDLE: Final = FirmwareUpdateState.IDLE
DOWNLOADING: Final = FirmwareUpdateState.DOWNLOADING
DOWNLOADED: Final = FirmwareUpdateState.DOWNLOADED
UPDATING: Final = FirmwareUpdateState.UPDATING

EDGES: Final = frozenset(
    {
        (IDLE, DOWNLOADING),
        (DOWNLOADING, DOWNLOADED),
        (DOWNLOADING, IDLE),
        (DOWNLOADED, UPDATING),
        (DOWNLOADED, IDLE),
        (UPDATING, IDLE),
        (UPDATING, DOWNLOADED),
    }
)
"""Every step that applications are told of."""

_WAYS: Final[Mapping[tuple[FirmwareUpdateState, FirmwareUpdateState], tuple[FirmwareUpdateState, ...]]] = (
    MappingProxyType(
        {
            (IDLE, DOWNLOADING): (DOWNLOADING,),
            (IDLE, DOWNLOADED): (DOWNLOADING, DOWNLOADED),
            (IDLE, UPDATING): (DOWNLOADING, DOWNLOADED, UPDATING),
            (DOWNLOADING, IDLE): (IDLE,),
            (DOWNLOADING, DOWNLOADED): (DOWNLOADED,),
            (DOWNLOADING, UPDATING): (DOWNLOADED, UPDATING),
            (DOWNLOADED, IDLE): (IDLE,),
            (DOWNLOADED, DOWNLOADING): (IDLE, DOWNLOADING),
            (DOWNLOADED, UPDATING): (UPDATING,),
            (UPDATING, IDLE): (IDLE,),
            (UPDATING, DOWNLOADING): (IDLE, DOWNLOADING),
            (UPDATING, DOWNLOADED): (DOWNLOADED,),
        }
    )
)


def way(published: FirmwareUpdateState, observed: FirmwareUpdateState) -> tuple[FirmwareUpdateState, ...]:
    """Return the states to publish on the way from one to the other, the latter last; none when they are the same."""
    return () if published is observed else _WAYS[published, observed]


def way_through_updating(published: FirmwareUpdateState) -> tuple[FirmwareUpdateState, ...]:
    """Return the states on the way to Idle when the device is known to have installed in between."""
    return (*way(published, UPDATING), IDLE)


def is_forward(published: FirmwareUpdateState, told: FirmwareUpdateState) -> bool:
    """Tell whether `told` is further up; a lone notification that leads down is asked about before it is believed."""
    return told > published
