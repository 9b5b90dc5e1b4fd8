"""How many lanes are in memory, and in which state; and whether what lies still has a reason to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from firmcast.ids import DeviceId
from firmcast.push.scheduling.breaker import BreakerState
from firmcast.push.scheduling.group_lanes import GroupLanes
from firmcast.push.scheduling.lane import LaneState

_BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What was counted."""

    lanes: dict[str, int] = field(default_factory=dict)
    """By state. `blocked` are those that stand still until somebody acts, and those whose callback is down."""

    breakers: dict[str, int] = field(default_factory=dict)


def take_census(groups: Iterable[GroupLanes[Any]]) -> Census:
    """Count the lanes and the breakers of callback groups."""
    lanes = {_BLOCKED: 0, **{state.value: 0 for state in LaneState if state is not LaneState.GONE}}
    breakers = {state.value: 0 for state in BreakerState}
    for group in groups:
        state = group.breaker.state
        breakers[state.value] += 1
        lanes[_BLOCKED] += group.absent.blocked
        lanes[LaneState.WAITING.value] += group.absent.parked
        for lane in group.lanes.values():
            blocked = state is not BreakerState.CLOSED and lane.state is not LaneState.IN_FLIGHT
            lanes[_BLOCKED if blocked else lane.state.value] += 1
    return Census(lanes=lanes, breakers=breakers)


def has_reason_to_rest(group: GroupLanes[Any], device_id: DeviceId) -> bool:
    """Say whether it is right that a group does not send the event at the head of a device's lane just now.

    It is, while the group is paused, its callback is down or has attempts under way, or the lane waits for its time, or
    for somebody.
    """
    if group.paused or group.in_flight or group.breaker.state is not BreakerState.CLOSED or device_id in group.absent:
        return True
    lane = group.lanes.get(device_id)
    return lane is not None and lane.state is LaneState.WAITING
