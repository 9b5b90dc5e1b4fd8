import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.lwm2m.firmware_update import (
    STATE_TRANSITIONS,
    DeliveryMethod,
    FirmwareUpdateState,
    Protocol,
    RetryAdvice,
    UpdateResult,
    describe_result,
    is_failure,
    is_retryable,
    parse_delivery_method,
    parse_protocols,
    parse_result,
    retry_advice,
)


@given(st.integers())
def test_every_integer_is_a_result(value: int) -> None:
    result = parse_result(value)
    assert int(result) == value
    assert isinstance(result, UpdateResult) == (0 <= value <= 11)
    assert describe_result(value)
    assert is_failure(value) == (value not in (0, 1, 11))
    assert retry_advice(value) in RetryAdvice


def test_each_result_has_words_of_its_own() -> None:
    assert len({describe_result(result) for result in UpdateResult}) == len(UpdateResult)
    assert describe_result(42) == "the device reported the unknown result 42"


@pytest.mark.parametrize(
    ("value", "retryable"),
    [
        (0, False),
        (1, False),
        (2, False),
        (3, True),
        (4, True),
        (5, True),
        (6, False),
        (7, False),
        (8, True),
        (9, False),
        (10, False),
        (11, False),
        (99, False),
    ],
)
def test_what_may_be_tried_again_unchanged(value: int, retryable: bool) -> None:
    assert is_retryable(value) is retryable


def test_unknown_protocols_are_passed_over_and_none_means_coap() -> None:
    assert parse_protocols(()) == {Protocol.COAP}
    assert parse_protocols((0, 3, 77, -1)) == {Protocol.COAP, Protocol.HTTPS}
    assert parse_protocols((77,)) == frozenset()


def test_a_delivery_method_that_is_not_named_is_not_guessed() -> None:
    assert parse_delivery_method(2) is DeliveryMethod.BOTH
    assert parse_delivery_method(3) is None
    assert parse_delivery_method(None) is None


def test_an_update_starts_from_a_downloaded_package_only() -> None:
    assert {before for before, after in STATE_TRANSITIONS if after is FirmwareUpdateState.UPDATING} == {
        FirmwareUpdateState.DOWNLOADED
    }
    assert all(before is not after for before, after in STATE_TRANSITIONS)
