"""Upgrade tasks against the golden files: one spelling is written, each one that a client sends is read."""

from datetime import UTC, datetime

import pytest

from firmcast_sdk.wire import operations
from firmcast_sdk.wire.decoding import FieldError, MissingFieldError, decode_struct
from firmcast_sdk.wire.encoding import encode_request, encode_response
from firmcast_sdk.wire.queries import decode_query, encode_query


@pytest.mark.parametrize("name", ["create_upgrade_window.json", "create_upgrade_device_online.json"])
def test_request_is_read_and_written_byte_for_byte(golden, name):
    assert encode_request(decode_struct(operations.CreateUpgradeRequest, golden(name))) == golden(name)


@pytest.mark.parametrize(
    ("name", "struct"),
    [("operation_groups.json", operations.Operation), ("sub_operation_list_failed.json", operations.SubOperationList)],
)
def test_answer_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_response(decode_struct(struct, golden(name))) == golden(name)


@pytest.mark.parametrize(
    ("raw", "plain", "struct"),
    [
        ("operation_query_raw.form", "operation_query.form", operations.OperationQuery),
        ("sub_operation_query_raw.form", "sub_operation_query.form", operations.SubOperationQuery),
    ],
)
def test_query_is_read_in_each_spelling_and_written_in_one(golden, raw, plain, struct):
    assert decode_query(struct, golden(raw)) == decode_query(struct, golden(plain))
    assert encode_query(decode_query(struct, golden(plain))).encode() == golden(plain)


def test_spellings_of_a_request_are_the_same_request(golden):
    spelt = decode_struct(operations.CreateUpgradeRequest, golden("create_upgrade_spellings.json"))
    assert spelt == decode_struct(operations.CreateUpgradeRequest, golden("create_upgrade_window.json"))


def test_retry_times_without_retry_and_empty_times_are_read(golden):
    policy = decode_struct(operations.CreateUpgradeRequest, golden("create_upgrade_idle_retry_times.json")).policy
    assert policy == operations.Policy(execute_type=operations.ExecuteType.NOW, retry_type=False, retry_times=3)


def test_a_status_in_upper_case_and_no_policy_are_read(golden):
    task = decode_struct(operations.Operation, golden("operation_upper_case.json"))
    assert (task.status, task.policy) == (operations.OperationStatus.FAILED, None)
    assert task.stop_time == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("word", ["fail", "failed", "FAIL", "Failed", " FAILED "])
def test_every_word_for_a_failure_is_the_word_of_its_place(word):
    assert operations.OperationStatus(word).value == "failed"
    assert operations.SubOperationStatus(word).value == "fail"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"targets":{}}', "fileId"),
        (b'{"fileId":"","targets":{}}', "fileId"),
        (b'{"fileId":"a"}', "targets"),
        (b'{"fileId":"a","targets":null}', "targets"),
        (b'{"fileId":"a","targets":[]}', "targets"),
        (b'{"fileId":"a","targets":{"devices":[1,[]]}}', "targets.devices[1]"),
        (b'{"fileId":"a","targets":{},"policy":{"executeType":"later"}}', "policy.executeType"),
        (b'{"fileId":"a","targets":{},"policy":{"startTime":"noon"}}', "policy.startTime"),
        (b'{"fileId":"a","targets":{},"policy":{"endTime":5}}', "policy.endTime"),
        (b'{"fileId":"a","targets":{},"policy":{"retryType":"perhaps"}}', "policy.retryType"),
        (b'{"fileId":"a","targets":{},"policy":{"retryTimes":"many"}}', "policy.retryTimes"),
    ],
)
def test_a_refusal_names_its_field(body, field):
    with pytest.raises(FieldError) as refusal:
        decode_struct(operations.CreateUpgradeRequest, body)
    assert refusal.value.field == field
    assert isinstance(refusal.value, MissingFieldError) == (
        field in ("fileId", "targets") and "is missing" in str(refusal.value)
    )
