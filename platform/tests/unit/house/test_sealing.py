import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.errors import StartError
from firmcast.sealing import Sealer

KEY = bytes(range(32))


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_for_its_purpose(clear: bytes, purpose: str) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(clear, purpose)
    assert sealer.open(sealed, purpose) == clear


def test_a_value_moved_to_another_column_does_not_open() -> None:
    sealer = Sealer(KEY)
    with pytest.raises(StartError):
        sealer.open(sealer.seal(b"secret", "application signing secret"), "device key")


def test_another_key_does_not_open() -> None:
    with pytest.raises(StartError):
        Sealer(bytes(32)).open(Sealer(KEY).seal(b"secret", "x"), "x")


def test_sealing_twice_gives_two_forms() -> None:
    sealer = Sealer(KEY)
    assert sealer.seal(b"secret", "x") != sealer.seal(b"secret", "x")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(StartError, match="32 bytes"):
        Sealer(b"short")
