"""A package goes to an Idle device only, in the way that the device can take it."""

from dataclasses import dataclass
from typing import Final

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import DeliveryMethod, Protocol, parse_delivery_method, parse_protocols
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceUpgrade, Evidence, ResourcesReported
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import WINDOW_TOO_SHORT, failure, parse_state
from firmcast.upgrades.rules.turn import Turn

_BY_HTTP: Final = (Protocol.HTTP, Protocol.HTTPS)
_TO_SECURE: Final = (Protocol.COAPS, Protocol.HTTPS)
_TO_CLEAR: Final = (Protocol.COAP, Protocol.HTTP, Protocol.HTTPS)


@dataclass(frozen=True, slots=True)
class Offer:
    """How a device is given a package; by what it fetches it where it does."""

    kind: CommandKind
    protocol: Protocol | None = None


def choose_transfer(told: ResourcesReported, size: int, limits: Limits) -> Offer | None:
    """Return how the device can have a package of `size` bytes, None when in no way that is offered.

    Source: OMA Object 5, resources 8 (Protocol Support, absent means CoAP) and 9 (Delivery Method).
    """
    taken = protocols_of(told)
    fitting = [protocol for protocol in offered_to(told, limits) if protocol in taken]
    if size < limits.http_from:
        fitting.sort(key=lambda protocol: protocol in _BY_HTTP)
    method = parse_delivery_method(told.delivery_method)
    by_write = method is DeliveryMethod.PUSH or (
        method is not DeliveryMethod.PULL and (limits.prefer_write or not fitting)
    )
    if by_write:
        return Offer(CommandKind.TRANSFER_BY_WRITE)
    return Offer(CommandKind.TRANSFER_BY_URI, fitting[0]) if fitting else None


def protocols_of(told: ResourcesReported) -> frozenset[Protocol]:
    """Return by what the device fetches packages; one that lists none speaks that by which it is reached."""
    if not told.protocols:
        return frozenset({Protocol.COAPS if told.is_secure else Protocol.COAP})
    return parse_protocols(told.protocols)


def offered_to(told: ResourcesReported, limits: Limits) -> tuple[Protocol, ...]:
    """Return what the device may be offered, the most wanted first.

    A device with a secure session is offered nothing in clear, and fetches by CoAPs through that session; one without a
    session has no key for CoAPs.
    """
    fitting = _TO_SECURE if told.is_secure else _TO_CLEAR
    return tuple(protocol for protocol in limits.protocols if protocol in fitting)


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
    offer = choose_transfer(told, turn.upgrade.bytes_total, turn.limits)
    if offer is None:
        description = wording.describe_no_method(protocols_of(told), offered_to(told, turn.limits))
        turn.conclude(failure(description), parse_state(told.state))
        return
    known = turn.upgrade.evidence
    evidence = Evidence(
        baseline_result=told.result or 0,
        transfer_kind=offer.kind,
        transfer_protocol=offer.protocol,
        lost_transfers=known.lost_transfers,
        spoilt=known.spoilt,
        slept=known.slept,
        turn_came=known.turn_came,
    )
    turn.change(evidence=evidence)
    turn.order(offer.kind)
    turn.hold()
