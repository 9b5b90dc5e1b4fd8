"""Increments: laid over what was known before they give what is known now, and they hold no more than that takes."""

from dataclasses import asdict, replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from firmcast.devices.changes import described, difference
from firmcast.devices.model import Device
from firmcast.events.model import Reachability
from firmcast.ids import ApplicationId, DeviceId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
words = st.sampled_from(["", "a", "b"])
attributes = st.dictionaries(st.sampled_from(["location", "mute", "is_secure", "end_user", "region"]), words)
devices = st.builds(
    Device,
    device_id=st.just(DeviceId("d")),
    application_id=st.just(ApplicationId("app")),
    endpoint_name=words,
    verification_code=words,
    name=words,
    manufacturer_id=words,
    manufacturer_name=words,
    device_type=words,
    model=words,
    protocol_type=words,
    activation_seconds=st.integers(0, 3),
    firmware_version=words,
    created_at=st.just(NOW),
    changed_at=st.just(NOW),
    activated_at=st.sampled_from([None, NOW]),
    attributes=attributes,
)


@given(devices, devices)
def test_an_increment_leads_from_the_former_to_the_latter(before, after):
    former = asdict(described(before, Reachability.OFFLINE))
    latter = asdict(described(after, Reachability.OFFLINE))
    change = difference(before, after)
    increment = (
        {} if change is None else {key: text for key, text in asdict(change.changed).items() if text is not None}
    )
    assert {**former, **increment} == latter
    assert all(former[key] != text for key, text in increment.items())
    assert (change is None) == (former == latter)


@given(devices)
def test_what_is_not_described_is_no_change(device):
    other = replace(
        device,
        verification_code="other",
        activation_seconds=99,
        activated_at=NOW,
        attributes={**device.attributes, "end_user": "other", "region": "other"},
    )
    assert difference(device, other) is None
