"""What the operator sets becomes rules and limits, or says what is wrong with it."""

import pytest

from firmcast.errors import StartError
from firmcast.push.configuration import destination_rules, sender_limits
from firmcast.settings import PushSettings


def test_networks_of_both_kinds_are_allowed() -> None:
    rules = destination_rules(PushSettings(allowed_networks=("10.0.0.0/8", "fd00::/8")))
    assert rules.permits("10.1.2.3", 443)
    assert rules.permits("fd00::1", 443)
    assert rules.permits("64:ff9b::10.1.2.3", 443)
    assert not rules.permits("192.168.0.1", 443)


def test_a_translator_of_ones_own_takes_the_place_of_the_known_one() -> None:
    settings = PushSettings(allowed_networks=("10.0.0.0/8",), nat64_networks=("64:ff9b:1::/96",))
    rules = destination_rules(settings)
    assert rules.permits("64:ff9b:1::10.1.2.3", 443)
    assert not rules.permits("64:ff9b:1::127.0.0.1", 443)
    assert not rules.permits("64:ff9b::8.8.8.8", 443)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (PushSettings(allowed_networks=("10.0.0.1/8",)), "push.allowed_networks: 10.0.0.1/8 has host bits set"),
        (PushSettings(allowed_networks=("intranet",)), "push.allowed_networks: 'intranet'"),
        (PushSettings(nat64_networks=("10.0.0.0/8",)), "push.nat64_networks: "),
        (PushSettings(nat64_networks=("64:ff9b::/80",)), "push.nat64_networks: 64:ff9b::/80 is none of /32"),
    ],
)
def test_what_is_no_network_ends_the_start(settings: PushSettings, told: str) -> None:
    with pytest.raises(StartError, match=told):
        destination_rules(settings)


def test_http2_can_be_switched_off() -> None:
    assert sender_limits(PushSettings()).http2
    assert not sender_limits(PushSettings(http2=False)).http2
