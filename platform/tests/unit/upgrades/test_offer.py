"""How a package is offered follows from what the device says it can, how it is reached, and what is served."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firmcast.devices.model import CommandKind
from firmcast.lwm2m.firmware_update import Protocol, TransferWay
from firmcast.settings import GatewaySettings, UpgradeSettings
from firmcast.upgrades.limits import Limits, limits_of
from firmcast.upgrades.model import ResourcesReported
from firmcast.upgrades.rules.offer import Offer, choose_transfers

COAP, COAPS, HTTP, HTTPS = Protocol.COAP, Protocol.COAPS, Protocol.HTTP, Protocol.HTTPS
BY_WRITE = Offer(CommandKind.TRANSFER_BY_WRITE)
WITHOUT_HTTP = limits_of(UpgradeSettings())
WITH_HTTP = limits_of(UpgradeSettings(), GatewaySettings(package_port=80, package_secure_port=443))


def choose_transfer(told: ResourcesReported, size: int, limits: Limits) -> Offer | None:
    """Return the first way for a package, None for none."""
    return next(iter(choose_transfers(told, size, limits)), None)


def by_uri(protocol: Protocol) -> Offer:
    return Offer(CommandKind.TRANSFER_BY_URI, protocol)


@pytest.mark.parametrize(
    ("protocols", "is_secure", "expected"),
    [
        (None, None, by_uri(COAP)),
        ((0,), None, by_uri(COAP)),
        ((0, 1), False, by_uri(COAP)),
        ((1,), False, BY_WRITE),
        (None, True, by_uri(COAPS)),
        ((0, 1), True, by_uri(COAPS)),
        ((1,), True, by_uri(COAPS)),
        ((0,), True, BY_WRITE),
        ((2, 3), True, BY_WRITE),
        ((0, 2, 3), False, by_uri(COAP)),
    ],
)
def test_a_package_is_offered_by_the_protocol_that_the_device_is_reached_by(
    protocols: tuple[int, ...] | None, is_secure: bool | None, expected: Offer
) -> None:
    """OMA Object 5, resource 8: 0 is CoAP, 1 is CoAPs; absent means what the device speaks anyway."""
    told = ResourcesReported(protocols=protocols, delivery_method=2, is_secure=is_secure)
    assert choose_transfer(told, 1000, WITHOUT_HTTP) == expected


@pytest.mark.parametrize(
    ("protocols", "is_secure", "expected"),
    [
        (None, False, by_uri(COAP)),
        ((0, 2, 3), False, by_uri(HTTPS)),
        ((0, 2), False, by_uri(HTTP)),
        ((0, 2), True, BY_WRITE),
        ((1, 2), True, by_uri(COAPS)),
        ((1, 2, 3), True, by_uri(HTTPS)),
        ((4, 5, 77), False, BY_WRITE),
        ((3, 99), False, by_uri(HTTPS)),
    ],
)
def test_http_is_offered_where_it_is_served_and_never_in_clear_to_a_device_with_a_session(
    protocols: tuple[int, ...] | None, is_secure: bool, expected: Offer
) -> None:
    told = ResourcesReported(protocols=protocols, delivery_method=2, is_secure=is_secure)
    assert choose_transfer(told, 1000, WITH_HTTP) == expected


@pytest.mark.parametrize(
    ("protocols", "method", "expected"),
    [
        ((0,), 0, (by_uri(COAPS),)),
        ((0,), None, (by_uri(COAPS), BY_WRITE)),
        ((0,), 1, (BY_WRITE,)),
        ((0,), 2, (BY_WRITE, by_uri(COAPS))),
        ((0, 2), 2, (BY_WRITE, by_uri(COAPS))),
        ((2,), 2, (BY_WRITE,)),
        ((0, 1), 2, (by_uri(COAPS), BY_WRITE)),
        ((0, 3), 2, (by_uri(HTTPS), BY_WRITE)),
    ],
)
def test_a_device_with_a_session_that_lists_coap_alone_may_mean_that_session(
    protocols: tuple[int, ...], method: int | None, expected: tuple[Offer, ...]
) -> None:
    """Zephyr's sample lists 0 however it is reached; LiteOS has its delivery method in the place of the protocols."""
    told = ResourcesReported(protocols=protocols, delivery_method=method, is_secure=True)
    assert choose_transfers(told, 1000, WITH_HTTP) == expected
    not_served = replace(WITH_HTTP, protocols=(HTTPS, HTTP, COAP))
    assert by_uri(COAPS) not in choose_transfers(told, 1000, not_served)


def test_the_order_is_the_operators() -> None:
    told = ResourcesReported(protocols=(0, 2, 3), delivery_method=0)
    coap_first = UpgradeSettings(protocols=("coap", "coaps", "http"))
    limits = limits_of(coap_first, GatewaySettings(package_port=80, package_secure_port=443))
    assert choose_transfer(told, 1000, limits) == by_uri(COAP)
    without_coap = structs.replace(told, protocols=(2, 3))
    assert choose_transfer(without_coap, 1000, limits) == by_uri(HTTP)
    large_by_http = limits_of(UpgradeSettings(http_from=5000), GatewaySettings(package_port=80))
    assert choose_transfer(told, 4999, large_by_http) == by_uri(COAP)
    assert choose_transfer(told, 5000, large_by_http) == by_uri(HTTP)
    assert choose_transfer(without_coap, 1, large_by_http) == by_uri(HTTP)


def test_behind_a_proxy_its_scheme_alone_is_offered() -> None:
    behind = GatewaySettings(package_port=80, package_url="https://fw.example.org")
    told = ResourcesReported(protocols=(2, 3), delivery_method=0)
    assert choose_transfer(told, 1, limits_of(UpgradeSettings(), behind)) == by_uri(HTTPS)
    assert choose_transfer(structs.replace(told, protocols=(2,)), 1, limits_of(UpgradeSettings(), behind)) is None


@pytest.mark.parametrize(
    ("protocols", "method", "is_secure", "expected"),
    [
        ((2,), 0, True, by_uri(HTTP)),
        ((0, 2), 0, True, by_uri(HTTP)),
        ((0, 2, 3), 0, True, by_uri(HTTPS)),
        ((1, 2), 0, True, by_uri(COAPS)),
        ((), 0, True, by_uri(COAPS)),
        ((2,), 2, True, BY_WRITE),
        ((2,), None, True, BY_WRITE),
        ((2,), 1, True, BY_WRITE),
        ((0,), 0, True, by_uri(COAPS)),
        ((2,), 0, False, by_uri(HTTP)),
    ],
)
def test_http_in_clear_is_for_devices_with_a_session_that_list_nothing_secure(
    protocols: tuple[int, ...], method: int | None, is_secure: bool, expected: Offer | None
) -> None:
    limits = replace(WITH_HTTP, http_in_clear=True)
    told = ResourcesReported(protocols=protocols, delivery_method=method, is_secure=is_secure)
    assert choose_transfer(told, 1000, limits) == expected
    if expected == by_uri(HTTP) and is_secure:
        otherwise = by_uri(COAPS) if 0 in protocols else None
        assert choose_transfer(told, 1000, WITH_HTTP) == otherwise
        assert choose_transfer(told, 1000, replace(limits, protocols=(HTTPS, COAPS))) == otherwise, "it is not served"


def test_a_device_that_lists_https_gets_nothing_in_clear_where_https_is_not_served() -> None:
    limits = replace(WITH_HTTP, http_in_clear=True, protocols=(HTTP, COAPS))
    told = ResourcesReported(protocols=(2, 3), delivery_method=0, is_secure=True)
    assert choose_transfer(told, 1000, limits) is None


NUMBERS = st.lists(st.integers(-1, 9), max_size=5).map(tuple)


@given(
    protocols=st.none() | NUMBERS,
    method=st.none() | st.integers(-1, 4),
    is_secure=st.booleans(),
    prefer_write=st.booleans(),
    served=st.lists(st.sampled_from([COAP, COAPS, HTTP, HTTPS]), unique=True).map(tuple),
    http_from=st.integers(0, 3),
    avoided_ways=st.sets(st.sampled_from(TransferWay)),
    http_in_clear=st.booleans(),
)
def test_no_offer_is_one_that_the_device_does_not_take(
    protocols: tuple[int, ...] | None,
    method: int | None,
    is_secure: bool,
    prefer_write: bool,
    served: tuple[Protocol, ...],
    http_from: int,
    avoided_ways: set[TransferWay],
    http_in_clear: bool,
) -> None:
    limits = replace(WITH_HTTP, prefer_write=prefer_write, protocols=served, http_from=http_from)
    limits = replace(limits, http_in_clear=http_in_clear)
    told = ResourcesReported(protocols=protocols, delivery_method=method, is_secure=is_secure)
    avoided = choose_transfers(structs.replace(told, avoided_ways=tuple(avoided_ways)), 2, limits)
    offers = choose_transfers(told, 2, limits)
    assert len({offer.way for offer in offers}) == len(offers)
    assert sorted(avoided, key=offers.index) == list(offers), "nothing is left out for what is known of the device"
    assert [offer.way in avoided_ways for offer in avoided] == sorted(offer.way in avoided_ways for offer in avoided)
    if not offers:
        assert method == 0
    for offer in offers:
        assert_is_taken(offer, protocols, method, is_secure=is_secure, served=served)
    if is_secure and TransferWay.HTTP in {offer.way for offer in offers}:
        assert http_in_clear
        assert len(offers) == 1, "a device that has a secure way is never led to another"


def assert_is_taken(
    offer: Offer,
    protocols: tuple[int, ...] | None,
    method: int | None,
    *,
    is_secure: bool,
    served: tuple[Protocol, ...],
) -> None:
    if offer.kind is CommandKind.TRANSFER_BY_WRITE:
        assert method != 0
        assert offer.protocol is None
    else:
        assert method != 1
        assert offer.protocol in served
        listed = protocols or (COAPS if is_secure else COAP,)
        assert offer.protocol in listed or (offer.protocol is COAPS and COAP in listed)
        assert not (is_secure and offer.protocol is COAP)
        assert not (not is_secure and offer.protocol is COAPS)
