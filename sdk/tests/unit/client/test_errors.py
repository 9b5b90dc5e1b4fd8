"""The tree of errors: every code of the contract has its class, and errors can be copied and sent on."""

import copy
import pickle
from datetime import timedelta

import pytest

import firmcast_sdk
from firmcast_sdk import (
    AccessDeniedError,
    AuthenticationError,
    ClientError,
    ConflictError,
    InvalidRequestError,
    LimitReachedError,
    NorthboundError,
    NotFoundError,
    NotReachedError,
    PlatformFailedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
    errors,
)
from firmcast_sdk.client.call import Reply
from firmcast_sdk.client.calls import upgrades
from firmcast_sdk.wire.errors import ERROR_CODES, encode_error


@pytest.mark.parametrize("name", ERROR_CODES)
def test_every_code_of_the_contract_has_a_class_of_its_own_meaning(name):
    error = ERROR_CODES[name]
    with pytest.raises(NorthboundError) as caught:
        upgrades.operation("o").parse(Reply(status=error.status, body=encode_error(error)))
    assert type(caught.value) is errors.KINDS[error.code]
    assert type(caught.value) is not NorthboundError
    told = caught.value
    assert (told.code, told.description, told.status, told.reason) == (error.code, error.description, error.status, "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BAD_TOKEN", AuthenticationError),
        ("APP_ID_OR_SECRET_WRONG", AuthenticationError),
        ("APPLICATION_NOT_FOUND", AuthenticationError),
        ("APPLICATION_FROZEN", AccessDeniedError),
        ("THROTTLED", ThrottledError),
        ("TASK_NOT_FOUND", NotFoundError),
        ("DEVICE_QUERY_NOT_FOUND", NotFoundError),
        ("NODE_ID_DUPLICATED", ConflictError),
        ("SUBSCRIPTION_CONFLICT", ConflictError),
        ("DEVICE_GROUP_FULL", LimitReachedError),
        ("LICENSE_EXHAUSTED", LimitReachedError),
        ("UPGRADE_INTERNAL_ERROR", PlatformFailedError),
        ("TARGETS_MISSING", InvalidRequestError),
        ("CALLBACK_URL_ILLEGAL", InvalidRequestError),
    ],
)
def test_what_some_codes_mean(name, kind):
    assert errors.KINDS[ERROR_CODES[name].code] is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("1010004", ThrottledError),
        ("123001", InvalidRequestError),
        ("200001", NotFoundError),
        ("200002", ConflictError),
    ],
)
def test_codes_of_the_2018_edition(code, kind):
    assert type(errors.make_northbound_error(code=code, description="", status=400)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, NorthboundError),
        (302, NorthboundError),
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, AccessDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidRequestError),
        (429, ThrottledError),
        (500, PlatformFailedError),
        (503, PlatformFailedError),
    ],
)
def test_a_code_that_nobody_knows_is_judged_by_its_status(status, kind):
    assert type(errors.make_northbound_error(code="1", description="", status=status)) is kind


@pytest.mark.parametrize(
    "error",
    [
        errors.make_northbound_error(
            code="1010009", description="d", status=403, reason="r", retry_after=timedelta(seconds=3)
        ),
        UnexpectedAnswerError("x", status=502, retry_after=timedelta(seconds=1)),
        NotReachedError("y"),
    ],
)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_can_be_copied_and_sent_to_another_process(error, copied):
    other = copied(error)
    assert type(other) is type(error)
    assert (str(other), other.__dict__) == (str(error), error.__dict__)


def test_the_tree_at_the_top_of_the_module_is_the_tree():
    drawn = {line.split("──")[-1].split()[0] for line in (errors.__doc__ or "").splitlines() if "──" in line}
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ClientError)} - {
        ClientError
    }
    assert drawn == {kind.__name__ for kind in kinds}
    assert {kind.__name__ for kind in kinds} <= set(firmcast_sdk.__all__)
    assert issubclass(NotReachedError, TransportError)
