"""A package goes to an Idle device only, in the way that the device can take it."""

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import DeliveryMethod, Protocol, parse_delivery_method, parse_protocols
from firmcast.upgrades.model import DeviceUpgrade, Evidence, ResourcesReported
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import WINDOW_TOO_SHORT, failure, parse_state
from firmcast.upgrades.rules.turn import Turn


def choose_transfer(told: ResourcesReported, *, prefer_write: bool) -> CommandKind | None:
    """Return how the device can have the package, None when in no way that is offered.

    Source: OMA Object 5, resources 8 (Protocol Support, absent means CoAP) and 9 (Delivery Method).
    """
    # Through its session a device is offered a `coaps` address; one that lists no protocol speaks that of its session.
    wanted = Protocol.COAPS if told.is_secure else Protocol.COAP
    by_uri = not told.protocols or wanted in parse_protocols(told.protocols)
    method = parse_delivery_method(told.delivery_method)
    if method is DeliveryMethod.PULL:
        return CommandKind.TRANSFER_BY_URI if by_uri else None
    if method is DeliveryMethod.PUSH or prefer_write or not by_uri:
        return CommandKind.TRANSFER_BY_WRITE
    return CommandKind.TRANSFER_BY_URI


def is_ours(upgrade: DeviceUpgrade, told: ResourcesReported) -> bool:
    """Tell whether what the device holds came from this upgrade, as far as its Package URI tells.

    Several clients do not let it be read, and after a written package it is empty: then it is ours once we sent any.
    """
    if told.package_uri:
        return upgrade.transfer_token in told.package_uri
    return upgrade.evidence.transfer_kind is not None


def start_transfer(turn: Turn, told: ResourcesReported) -> None:
    """Give an Idle device the package, and keep what it told as the baseline for its later results."""
    if turn.window_is_over:
        turn.conclude(WINDOW_TOO_SHORT, parse_state(told.state))
        return
    kind = choose_transfer(told, prefer_write=turn.limits.prefer_write)
    if kind is None:
        turn.conclude(failure(wording.NO_COMMON_METHOD), parse_state(told.state))
        return
    known = turn.upgrade.evidence
    turn.change(
        evidence=Evidence(
            baseline_result=told.result or 0,
            transfer_kind=kind,
            lost_transfers=known.lost_transfers,
            spoilt=known.spoilt,
        )
    )
    turn.order(kind)
    turn.hold()
