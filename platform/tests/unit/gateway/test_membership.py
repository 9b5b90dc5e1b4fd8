"""Gateways of one site are those that the settings name so, or that listen on the same address of one machine."""

import pytest

from firmcast.devices.model import NOBODY
from firmcast.gateway.membership import Membership, site_name
from firmcast.ids import GatewayId, site_of
from firmcast.settings import GatewaySettings


async def nobody(_tx):
    return ()


def test_a_site_is_named_or_follows_from_the_address() -> None:
    assert site_name(GatewaySettings(site="east", port=0)) == "east"
    here = site_name(GatewaySettings(port=5683))
    assert here == site_name(GatewaySettings(port=5683, secure_port=5684))
    others = [
        GatewaySettings(port=5693),
        GatewaySettings(port=5683, secure=False),
        GatewaySettings(port=5683, secure_port=5999),
        GatewaySettings(port=5683, host="127.0.0.2"),
    ]
    assert len({here, *map(site_name, others)}) == 5
    # An unknown port is nobody else's.
    assert site_name(GatewaySettings(port=0)) != site_name(GatewaySettings(port=0))
    assert site_name(GatewaySettings(port=5683, secure_port=0)) != site_name(GatewaySettings(port=5683, secure_port=0))


def test_each_life_has_a_name_of_its_own_at_its_site() -> None:
    one, two = (Membership.of("a:b", nobody, 1.0) for _ in range(2))
    assert one.gateway_id != two.gateway_id
    assert site_of(one.gateway_id) == site_of(two.gateway_id) == "a:b"


@pytest.mark.parametrize(
    ("other", "several", "alone"),
    [("a/1", True, True), ("b/1", False, True), ("a:2/1", False, True), (NOBODY, True, True)],
)
def test_what_others_held_may_be_taken_up_within_the_site(other: str, several: bool, alone: bool) -> None:
    assert Membership.of("a", nobody, 1.0).may_adopt(GatewayId(other)) is several
    assert Membership.alone().may_adopt(GatewayId(other)) is alone


def test_nobody_adopts_what_is_his_own() -> None:
    for member in (Membership.alone(), Membership.of("a", nobody, 1.0)):
        assert not member.may_adopt(member.gateway_id)
