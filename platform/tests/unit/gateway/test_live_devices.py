"""Whatever happens to registrations and addresses, each way to find a device leads to the device that is live."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmcast.coap.dtls.peers import secure_peer
from firmcast.devices.model import Registration
from firmcast.gateway.addresses import peer_of
from firmcast.gateway.live_devices import (
    OBSERVED,
    LiveDevices,
    ids_begin_with,
    key_of,
    observation_token,
    observed_of,
)
from firmcast.ids import (
    REGISTRATION_ID_BITS,
    DeviceId,
    RegistrationId,
    new_registration_id,
    spelt_registration_id,
)
from firmcast.lwm2m.paths import FIRMWARE_STATE

START = datetime(2026, 1, 1, tzinfo=UTC)
SECURE = (2, 3)


def registration_id(number: int) -> RegistrationId:
    """Return an id as it is given out now, or for odd numbers as former versions did."""
    return RegistrationId(f"{number:014x}{'0' * 18}") if number % 2 else spelt_registration_id(number)


def registration(device: int, number: int, port: int) -> Registration:
    return Registration(
        registration_id=registration_id(number),
        device_id=DeviceId(f"d{device}"),
        endpoint_name=f"ep{device}",
        host="192.0.2.1",
        port=port,
        lifetime_seconds=60,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects="",
        registered_at=START,
        updated_at=START,
        expires_at=START + timedelta(seconds=60),
        is_secure=device in SECURE,
    )


def address(device: int, port: int):
    return peer_of("192.0.2.1", port, f"ep{device}" if device in SECURE else None)


class LiveDevicesMachine(RuleBasedStateMachine):
    """Few devices and few ports, so that addresses are taken from one another all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.live = LiveDevices()
        self.model: dict[int, tuple[int, int]] = {}
        self.latest_at: dict[int, int] = {}
        self.numbers = 0

    @rule(device=st.integers(0, 3), port=st.integers(1, 3))
    def register(self, device: int, port: int) -> None:
        self.numbers += 1
        former = self.live.add(registration(device, self.numbers, port))
        assert (former is not None) == (device in self.model)
        self._note(device, port)
        self.model[device] = (self.numbers, port)

    @rule(device=st.integers(0, 3), port=st.integers(1, 3))
    def update(self, device: int, port: int) -> None:
        if device not in self.model:
            return
        number, was = self.model[device]
        found, former = self.live.update(registration(device, number, port))
        assert found.device_id == f"d{device}"
        assert former == (None if port == was else address(device, was))
        if port != was:
            self._note(device, port)
        self.model[device] = (number, port)

    @rule(device=st.integers(0, 3))
    def remove(self, device: int) -> None:
        gone = self.live.remove(DeviceId(f"d{device}"))
        assert (gone is not None) == (device in self.model)
        self.model.pop(device, None)
        self.latest_at = {port: whose for port, whose in self.latest_at.items() if whose != device}

    def _note(self, device: int, port: int) -> None:
        self.latest_at = {place: whose for place, whose in self.latest_at.items() if whose != device}
        if device not in SECURE:
            self.latest_at[port] = device

    @invariant()
    def every_way_leads_to_the_device(self) -> None:
        assert len(self.live) == len(self.model)
        for device, (number, port) in self.model.items():
            found = self.live.of(DeviceId(f"d{device}"))
            assert found is not None
            assert found.peer == address(device, port)
            assert self.live.by_registration(registration_id(number)) is found
            for path in OBSERVED:
                assert self.live.by_token(found.token(path)) == (found, path)

    @invariant()
    def an_address_is_of_whom_it_was_last_given_to(self) -> None:
        for port in range(1, 4):
            found = self.live.by_peer(("192.0.2.1", port))
            whose = self.latest_at.get(port)
            assert (None if found is None else found.device_id) == (None if whose is None else f"d{whose}")
            assert self.live.speaker(("192.0.2.1", port)) is found

    @invariant()
    def who_has_proved_an_identity_speaks_from_anywhere(self) -> None:
        for device in SECURE:
            found = self.live.speaker(secure_peer(("198.51.100.1", 9), f"ep{device}"))
            assert (None if found is None else found.device_id) == (f"d{device}" if device in self.model else None)
        assert self.live.speaker(secure_peer(("192.0.2.1", 1), "ep0")) is None

    @invariant()
    def what_is_over_is_not_found(self) -> None:
        for number in range(1, self.numbers + 1):
            if number not in {live for live, _ in self.model.values()}:
                assert self.live.by_registration(registration_id(number)) is None
                assert self.live.by_token(observation_token(registration_id(number), FIRMWARE_STATE)) is None


LiveDevicesMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLiveDevices = LiveDevicesMachine.TestCase


def test_tokens_follow_from_the_registration_alone() -> None:
    live = LiveDevices()
    live.add(registration(1, 7, 1))
    found = live.of(DeviceId("d1"))
    assert found is not None
    tokens = {observation_token(registration_id(7), path) for path in OBSERVED}
    assert tokens == {found.token(path) for path in OBSERVED}
    assert {len(token) for token in tokens} == {8}


@given(st.integers(0, 2**REGISTRATION_ID_BITS - 1))
def test_a_token_leads_to_the_id_of_its_registration(number: int) -> None:
    found = observed_of(observation_token(spelt_registration_id(number), FIRMWARE_STATE))
    assert found == (key_of(spelt_registration_id(number)), FIRMWARE_STATE)
    assert ids_begin_with(found[0])[0] == spelt_registration_id(number)


@given(st.integers(0, 2**128 - 1))
def test_a_token_leads_to_the_id_of_a_registration_made_by_a_former_version(number: int) -> None:
    former = RegistrationId(f"{number:032x}")
    found = observed_of(observation_token(former, FIRMWARE_STATE))
    assert found is not None
    assert any(former.startswith(beginning) for beginning in ids_begin_with(found[0]))


def test_an_id_is_kept_by_the_most_constrained_clients() -> None:
    made = {new_registration_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(f"rd/{each}") < 15 and each.isalnum() and each.isascii() for each in made)


@pytest.mark.parametrize("token", [b"", b"1234567", b"12345678", b"1234567\x00", b"123456789"])
def test_a_token_of_nobody_is_nobodys(token: bytes) -> None:
    assert LiveDevices().by_token(token) is None


def test_a_registration_taken_by_another_gateway_is_added_at_its_update() -> None:
    live = LiveDevices()
    device, former = live.update(registration(1, 7, 1))
    assert (device.device_id, former, len(live)) == ("d1", None, 1)
