"""A package goes to an Idle device only, in the way that the device can take it."""

from dataclasses import dataclass
from typing import Final

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import (
    DeliveryMethod,
    Protocol,
    TransferWay,
    parse_delivery_method,
    parse_protocols,
)
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.model import DeviceUpgrade, Evidence, ResourcesReported
from firmcast.upgrades.rules import wording
from firmcast.upgrades.rules.evidence import WINDOW_TOO_SHORT, failure, has_begun, parse_state
from firmcast.upgrades.rules.turn import Turn

_BY_HTTP: Final = (Protocol.HTTP, Protocol.HTTPS)
_TO_SECURE: Final = (Protocol.COAPS, Protocol.HTTPS)
_TO_CLEAR: Final = (Protocol.COAP, Protocol.HTTP, Protocol.HTTPS)


@dataclass(frozen=True, slots=True)
class Offer:
    """How a device is given a package; by what it fetches it where it does."""

    kind: CommandKind
    protocol: Protocol | None = None

    @property
    def way(self) -> TransferWay:
        """What it is called."""
        return TransferWay.WRITTEN if self.protocol is None else TransferWay[self.protocol.name]


def choose_transfers(told: ResourcesReported, size: int, limits: Limits) -> tuple[Offer, ...]:
    """Return how the device can have a package of `size` bytes, the most wanted first; empty when in no way offered.

    What the device did not take before comes last. Source: OMA Object 5, resources 8 (Protocol Support, absent means
    CoAP) and 9 (Delivery Method).
    """
    taken = protocols_of(told)
    fitting = [protocol for protocol in offered_to(told, limits) if protocol in taken]
    if size < limits.http_from:
        fitting.sort(key=lambda protocol: protocol in _BY_HTTP)
    method = parse_delivery_method(told.delivery_method)
    is_guess = not fitting and _may_mean_its_session(told, limits)
    fetched = [Offer(CommandKind.TRANSFER_BY_URI, protocol) for protocol in ([Protocol.COAPS] if is_guess else fitting)]
    written = [Offer(CommandKind.TRANSFER_BY_WRITE)]
    if method is not None and method is not DeliveryMethod.BOTH:
        offers = written if method is DeliveryMethod.PUSH else fetched
    else:
        # What it says that it takes comes before what it may mean.
        written_first = limits.prefer_write or (is_guess and method is not None)
        offers = [*written, *fetched] if written_first else [*fetched, *written]
    return tuple(sorted(offers, key=lambda offer: offer.way in told.avoided_ways))


def protocols_of(told: ResourcesReported) -> frozenset[Protocol]:
    """Return by what the device fetches packages; one that lists none speaks that by which it is reached."""
    if not told.protocols:
        return frozenset({Protocol.COAPS if told.is_secure else Protocol.COAP})
    return parse_protocols(told.protocols)


def offered_to(told: ResourcesReported, limits: Limits) -> tuple[Protocol, ...]:
    """Return what the device may be offered, the most wanted first.

    A device with a secure session is offered nothing in clear, and fetches by CoAPs through that session; one without a
    session has no key for CoAPs. Where the operator allows it, a device that lists no secure way is offered HTTP; one
    whose secure ways did not work is not, or whoever disturbs them could have it done without.
    """
    fitting = _TO_SECURE if told.is_secure else _TO_CLEAR
    offered = tuple(protocol for protocol in limits.protocols if protocol in fitting)
    is_allowed = limits.http_in_clear and Protocol.HTTP in limits.protocols
    return (Protocol.HTTP,) if is_allowed and _needs_http_in_clear(told) else offered


def _may_mean_its_session(told: ResourcesReported, limits: Limits) -> bool:
    """Tell whether a device with a secure session, which lists CoAP and nothing secure, may fetch through that session.

    Zephyr's sample lists so, however it is reached, and LiteOS tells 0 there, where it means its delivery method.
    """
    return bool(told.is_secure) and Protocol.COAPS in limits.protocols and Protocol.COAP in protocols_of(told)


def _needs_http_in_clear(told: ResourcesReported) -> bool:
    """Tell whether a device with a secure session only fetches packages, and lists HTTP and nothing secure."""
    only_fetches = parse_delivery_method(told.delivery_method) is DeliveryMethod.PULL
    taken = protocols_of(told)
    return bool(told.is_secure) and only_fetches and Protocol.HTTP in taken and not taken.intersection(_TO_SECURE)


def is_ours(upgrade: DeviceUpgrade, told: ResourcesReported) -> bool:
    """Tell whether what the device holds came from this upgrade, as far as its Package URI tells.

    Several clients do not let it be read, and after a written package it is empty: then it is ours once we sent any.
    """
    if told.package_uri:
        return upgrade.transfer_token in told.package_uri
    return upgrade.evidence.transfer_kind is not None


def _tells_other_address(upgrade: DeviceUpgrade, told: ResourcesReported) -> bool:
    return bool(told.package_uri) and upgrade.transfer_token not in (told.package_uri or "")


def start_transfer(turn: Turn, told: ResourcesReported) -> None:
    """Give an Idle device the package in the first way that is left, and keep what it told as the baseline for later.

    A device that has none left has failed.
    """
    if turn.window_is_over:
        turn.conclude(WINDOW_TOO_SHORT, parse_state(told.state))
        return
    known = turn.upgrade.evidence
    given_up = {refused.way for refused in known.refused_ways}
    offers = choose_transfers(told, turn.upgrade.bytes_total, turn.limits)
    left = [offer for offer in offers if offer.way not in given_up]
    if not left:
        turn.conclude(failure(_why_none_is_left(turn, told)), parse_state(told.state))
        return
    offer = left[0]
    if offer.protocol is None and _tells_other_address(turn.upgrade, told) and not known.reset_ordered:
        # Anjay tells the last address that it was given for as long as nobody takes that back, and would tell it of
        # the written package too.
        turn.note(reset_ordered=True)
        turn.order(CommandKind.RESET)
        turn.hold()
        return
    goes_on = (known.transfer_kind, known.transfer_protocol) == (offer.kind, offer.protocol) and not has_begun(known)
    evidence = Evidence(
        baseline_result=told.result or 0,
        transfer_kind=offer.kind,
        transfer_protocol=offer.protocol,
        refused_ways=known.refused_ways,
        another_way=len(left) > 1,
        asks_by=known.asks_by if goes_on else None,
        lost_transfers=known.lost_transfers,
        lost_packages=known.lost_packages,
        spoilt=known.spoilt,
        deferred_since=known.deferred_since,
        slept=known.slept,
        turn_came=known.turn_came,
    )
    turn.change(evidence=evidence)
    turn.order(offer.kind)
    turn.hold()


def _why_none_is_left(turn: Turn, told: ResourcesReported) -> str:
    refused = turn.upgrade.evidence.refused_ways
    if refused:
        return wording.describe_ways(refused)
    is_forbidden = _needs_http_in_clear(told) and not turn.limits.http_in_clear
    offered = offered_to(told, turn.limits)
    return wording.describe_no_method(protocols_of(told), offered, http_is_forbidden=is_forbidden)
