"""What one side encodes the other decodes to the same record; strict encoding refuses what the contract forbids."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast_sdk.wire import devices, errors, notifications, operations
from firmcast_sdk.wire.decoding import InvalidValueError, WrongTypeError, decode_struct
from firmcast_sdk.wire.encoding import encode_request, encode_response
from firmcast_sdk.wire.queries import decode_query, encode_query
from firmcast_sdk.wire.times import format_time, parse_time

texts = st.text(max_size=30)
names = texts.filter(str.strip)
moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 -- zone is given
    lambda moment: moment.replace(microsecond=0)
)
numbers = st.integers(min_value=0, max_value=2**31 - 1)


@st.composite
def pushes(draw):
    ids = {name: draw(texts) for name in ("device_id", "app_id", "operation_id", "sub_operation_id")}
    versions = {name: draw(texts) for name in ("cur_version", "target_version", "source_version", "upgrade_time")}
    status = draw(st.sampled_from(notifications.UpgradeStatus))
    step, step_desc = draw(st.sampled_from(sorted(notifications.STEP_DESCRIPTIONS.items())))
    return draw(
        st.sampled_from(
            [
                notifications.FwUpgradeStateChangeNotify(**ids, step=step, step_desc=step_desc),
                notifications.FwUpgradeResultNotify(**ids, **versions, status=status, status_desc=draw(texts)),
                notifications.SwUpgradeStateChangeNotify(
                    **ids, sw_upgrade_state=draw(st.sampled_from(notifications.SwUpgradeState))
                ),
                notifications.SwUpgradeResultNotify(
                    **ids,
                    **versions,
                    sw_upgrade_result=status,
                    result_desc=draw(texts),
                    error_code=draw(texts),
                    description=draw(texts),
                ),
            ]
        )
    )


@given(pushes())
def test_a_push_survives_the_wire(push):
    body = notifications.encode(push)
    assert notifications.decode(body) == push
    assert f'"notifyType":"{push.notify_type.value}"'.encode() in body
    assert all(isinstance(value, str) for value in msgspec.json.decode(body).values())


policies = st.builds(
    operations.Policy,
    execute_type=st.none() | st.sampled_from(operations.ExecuteType),
    start_time=st.none() | moments,
    end_time=st.none() | moments,
    retry_type=st.booleans(),
    retry_times=st.none() | numbers,
)
targets = st.builds(
    operations.Targets,
    device_groups=st.none() | st.lists(texts, max_size=3).map(tuple),
    devices=st.none() | st.lists(texts, max_size=3).map(tuple),
    model=st.none() | texts,
)


@given(st.builds(operations.CreateUpgradeRequest, file_id=names, targets=targets, policy=st.none() | policies))
def test_a_task_request_survives_the_wire(request):
    assert decode_struct(operations.CreateUpgradeRequest, encode_request(request)) == request


@given(
    st.builds(
        operations.Operation,
        operation_id=names,
        create_time=moments,
        start_time=st.none() | moments,
        stop_time=st.none() | moments,
        operate_type=st.sampled_from(operations.OperateType),
        targets=targets,
        policy=st.none() | policies,
        status=st.sampled_from(operations.OperationStatus),
        sta_result=st.builds(operations.StageResult, total=numbers, fail=numbers),
        extend_para=st.none() | st.dictionaries(texts, texts, max_size=2),
    )
)
def test_a_task_survives_the_wire(operation):
    assert decode_struct(operations.Operation, encode_response(operation)) == operation


@given(
    st.builds(
        devices.DeviceQuery,
        gateway_id=st.none() | names.map(str.strip).filter(lambda name: "\0" not in name),
        page_no=st.none() | numbers,
        status=st.none() | st.sampled_from(devices.DeviceStatus),
        start_time=st.none() | moments,
        sort=st.none() | st.sampled_from(devices.Sort),
    )
)
def test_a_query_survives_the_wire(query):
    assert decode_query(devices.DeviceQuery, encode_query(query)) == query


def test_answers_write_null_and_requests_leave_it_out():
    empty = operations.Targets(devices=("d",))
    assert encode_request(empty) == b'{"devices":["d"]}'
    assert encode_response(empty) == (
        b'{"deviceGroups":null,"deviceType":null,"model":null,"manufacturerName":null,"devices":["d"]}'
    )


def state(**changes):
    ids = {"device_id": "d", "app_id": "a", "operation_id": "o", "sub_operation_id": "s"}
    return notifications.FwUpgradeStateChangeNotify(**(ids | {"step": "1", "step_desc": "downloading"} | changes))


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"step": 1}, WrongTypeError, "step"),
        ({"device_id": None}, WrongTypeError, "deviceId"),
        ({"step": "4"}, InvalidValueError, "stepDesc"),
        ({"step": "2"}, InvalidValueError, "stepDesc"),
        ({"step_desc": "Downloading"}, InvalidValueError, "stepDesc"),
    ],
)
def test_strict_encoding_refuses(changes, error, field):
    with pytest.raises(error) as caught:
        notifications.encode(state(**changes))
    assert caught.value.field == field


def test_strict_encoding_refuses_words_of_no_table():
    ids = {"device_id": "d", "app_id": "a", "operation_id": "o", "sub_operation_id": "s"}
    with pytest.raises(InvalidValueError):
        notifications.encode(notifications.SwUpgradeStateChangeNotify(**ids, sw_upgrade_state="waiting"))


@given(moments)
def test_a_time_survives_the_wire(moment):
    assert parse_time(format_time(moment)) == moment


def test_a_time_of_another_zone_is_converted_and_one_without_refused():
    east = datetime(2026, 1, 1, 8, 0, 0, 900_000, tzinfo=timezone(timedelta(hours=8)))
    assert format_time(east) == "20260101T000000Z"
    with pytest.raises(ValueError, match="time zone"):
        format_time(datetime(2026, 1, 1))  # noqa: DTZ001 -- the very mistake


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "20260101T000000", "20260101T000000+08", "20260230T000000Z"])
def test_other_forms_of_time_are_refused(text):
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize("error", errors.ERROR_CODES.values(), ids=errors.ERROR_CODES)
def test_every_error_is_two_strings_with_a_code_of_digits(error):
    body = msgspec.json.decode(errors.encode_error(error))
    assert list(body) == ["error_code", "error_desc"]
    assert body["error_code"].isdecimal()
    assert body["error_desc"]
    assert error.status in {200, 400, 401, 403, 404, 409, 500}


def test_an_error_can_carry_other_words():
    assert errors.decode_error(errors.encode_error(errors.TASK_NOT_FOUND, "gone")).error_desc == "gone"


def test_an_error_whose_code_is_a_number_is_read():
    assert errors.decode_error(b'{"error_code":100208}') == errors.ErrorBody(error_code="100208", error_desc="")
