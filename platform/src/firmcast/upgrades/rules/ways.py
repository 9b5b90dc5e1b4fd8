"""A way for the package that a device does not take is not tried again in this attempt; the next one is.

A refusal speaks against the way, as do the results Invalid URI and Unsupported Protocol, a transfer that the device
has lost as often as it may, and an address that it took and let lie. It is the end of the upgrade when no other way is
left.
"""

from typing import Final

from msgspec.structs import replace

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import TransferWay, UpdateResult, parse_result
from firmcast.upgrades.model import Evidence, RefusedWay
from firmcast.upgrades.rules import wording

AGAINST_THE_WAY: Final = (UpdateResult.INVALID_URI, UpdateResult.UNSUPPORTED_PROTOCOL)
"""Results that say nothing of the package."""

_LONGEST_ANSWER: Final = 160
_MAY_DEPEND_ON_THE_WAY: Final = (*AGAINST_THE_WAY, UpdateResult.CONNECTION_LOST, UpdateResult.OUT_OF_MEMORY)


def way_of(evidence: Evidence) -> TransferWay | None:
    """Return the way in which the package was last sent; None where that is not known, or it was not sent."""
    if evidence.transfer_kind is CommandKind.TRANSFER_BY_WRITE:
        return TransferWay.WRITTEN
    return None if evidence.transfer_protocol is None else TransferWay[evidence.transfer_protocol.name]


def speaks_against_the_way(result: int | None) -> bool:
    """Tell whether a result says that the package may be had in another way than this one."""
    return result is not None and parse_result(result) in AGAINST_THE_WAY


def is_given_up(evidence: Evidence) -> bool:
    """Tell whether the way in which the package was last sent was found not to work."""
    way = way_of(evidence)
    return any(refused.way is way for refused in evidence.refused_ways)


def give_up_way(evidence: Evidence, answer: str, *, was_left: bool = False) -> Evidence:
    """Return the evidence with the way that the package was last sent in among those that do not work."""
    way = way_of(evidence)
    if way is None or is_given_up(evidence):
        return evidence
    refused = RefusedWay(way=way, answer=answer[:_LONGEST_ANSWER], was_left=was_left)
    return replace(evidence, refused_ways=(*evidence.refused_ways, refused), lost_transfers=0)


def describe_end(evidence: Evidence, answer: str, result: int | None) -> str | None:
    """Return why the last way has failed like the ones before; None where it was the only one, or its result is final.

    `answer` is what the device answered to that last one.
    """
    is_final = result is not None and result != 0 and parse_result(result) not in _MAY_DEPEND_ON_THE_WAY
    refused = give_up_way(evidence, answer).refused_ways
    return None if is_final or len(refused) < 2 else wording.describe_ways(refused)
