"""A device's partition is computed in Python and, for rows of earlier releases, in SQL: both must agree for ever."""

from hypothesis import given
from hypothesis import strategies as st

from firmcast.ids import PARTITIONS, DeviceId, partition_of


@given(st.text())
def test_every_device_has_one_of_the_partitions(text: str) -> None:
    device_id = DeviceId(text.encode("utf-8", "replace").decode())
    assert 0 <= partition_of(device_id) < PARTITIONS


def test_the_partition_of_a_device_is_what_it_always_was() -> None:
    assert [partition_of(DeviceId(name)) for name in ("device-0", "device-1", "ünïcode", "")] == [6, 3, 56, 35]
