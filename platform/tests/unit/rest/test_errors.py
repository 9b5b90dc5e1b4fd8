"""How refusals look on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.errors import ConflictError, InvalidValueError, NotAllowedError, NotFoundError, RefusedError
from firmcast.rest.errors import ApiError, management_error, render
from firmcast_sdk.wire.errors import INPUT_INVALID, TASK_NOT_FOUND


def test_the_words_of_the_contract_never_vary():
    answer = render(ApiError(TASK_NOT_FOUND, "no task 'a'"))
    assert answer.status_code == 404
    assert answer.body == b'{"error_code":"123009","error_desc":"The requested task does not exist."}'
    assert answer.headers["firmcast-reason"] == "no task 'a'"


@given(st.text())
def test_any_reason_fits_into_a_header(reason):
    for name, value in render(ApiError(INPUT_INVALID, reason)).raw_headers:
        assert all(0x20 <= byte < 0x7F for byte in name + value)


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (InvalidValueError("name", "too long"), 400, "invalid_value"),
        (NotFoundError("device", "d"), 404, "not_found"),
        (ConflictError("taken"), 409, "conflict"),
        (NotAllowedError("frozen"), 403, "not_allowed"),
        (RefusedError("no"), 400, "invalid_request"),
        (ApiError(INPUT_INVALID, "no"), 400, "invalid_request"),
    ],
)
def test_the_management_api_says_words(refusal, status, code):
    error = management_error(refusal)
    assert (error.error.status, error.error.code, error.reason) == (status, code, str(refusal))
    assert management_error(error) is error
