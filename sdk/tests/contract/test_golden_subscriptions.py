"""Subscriptions against the golden files: one spelling is written, each one that a client sends is read."""

import pytest

from firmcast_sdk.wire import subscriptions
from firmcast_sdk.wire.decoding import InvalidValueError, MissingFieldError, TooLongError, decode_struct
from firmcast_sdk.wire.encoding import encode_request, encode_response
from firmcast_sdk.wire.notify_types import NotifyType
from firmcast_sdk.wire.queries import decode_query, encode_query

CALLBACK = "https://192.0.2.7:8099/v1.0.0/messageReceiver"
BUSINESS_TYPES = [
    "bindDevice",
    "deviceAdded",
    "deviceInfoChanged",
    "deviceDataChanged",
    "deviceDatasChanged",
    "deviceDeleted",
    "messageConfirm",
    "commandRsp",
    "deviceEvent",
    "serviceInfoChanged",
    "deviceModelAdded",
    "deviceModelDeleted",
    "ruleEvent",
    "deviceDesiredPropertiesModifyStatusChanged",
]
LATER_TYPES = [
    "deviceRealTimeDataQueryStatusChanged",
    "appAuthorization",
    "appDeauthorization",
    "LocationChanged",
    "deviceCapabilitiesAdded",
    "deviceCapabilitiesChanged",
    "deviceCapabilitiesDeleted",
]
UPGRADE_TYPES = [
    "swUpgradeStateChangeNotify",
    "swUpgradeResultNotify",
    "fwUpgradeStateChangeNotify",
    "fwUpgradeResultNotify",
]


@pytest.mark.parametrize("name", ["business_subscribe_request.json", "business_subscribe_request_full.json"])
def test_request_is_read_and_written_byte_for_byte(golden, name):
    assert encode_request(decode_struct(subscriptions.SubscribeRequest, golden(name))) == golden(name)


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("subscription.json", subscriptions.Subscription),
        ("subscription_list.json", subscriptions.SubscriptionList),
    ],
)
def test_answer_is_read_and_written_byte_for_byte(golden, name, struct):
    assert encode_response(decode_struct(struct, golden(name))) == golden(name)


@pytest.mark.parametrize("name", ["business_subscribe_request_nulls.json", "business_subscribe_request_older.json"])
def test_nulls_and_the_older_spelling_say_the_same(golden, name):
    plain = decode_struct(subscriptions.SubscribeRequest, golden("business_subscribe_request.json"))
    assert decode_struct(subscriptions.SubscribeRequest, golden(name)) == plain


def test_an_owner_flag_is_read_as_a_string_too():
    body = b'{"notifyType":"deviceAdded","callbackUrl":"http://h:1/","ownerFlag":"true","clientIds":[]}'
    assert decode_struct(subscriptions.SubscribeRequest, body).owner_flag is True
    assert decode_query(subscriptions.SubscribeQuery, "?&ownerFlag=false&").owner_flag is False


@pytest.mark.parametrize("notify_type", [*BUSINESS_TYPES, *LATER_TYPES, *UPGRADE_TYPES])
def test_each_type_that_the_contract_names_can_be_named(notify_type):
    body = f'{{"notifyType":"{notify_type.upper()}","callbackUrl":"{CALLBACK}"}}'.encode()
    assert decode_struct(subscriptions.SubscribeRequest, body).notify_type.value == notify_type


def test_no_other_type_can_be_named():
    assert {*subscriptions.SubscribableType} == {*BUSINESS_TYPES, *LATER_TYPES, *UPGRADE_TYPES}
    assert {*NotifyType} <= {*subscriptions.SubscribableType}
    with pytest.raises(InvalidValueError, match="notifyType"):
        decode_struct(subscriptions.SubscribeRequest, b'{"notifyType":"weatherChanged","callbackUrl":"http://h:1/"}')


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"callbackUrl":"http://h:1/"}', MissingFieldError),
        (b'{"notifyType":"deviceAdded"}', MissingFieldError),
        (b'{"notifyType":"deviceAdded","callbackUrl":" "}', MissingFieldError),
        (b'{"notifyType":"deviceAdded","callbackUrl":"http://h:1/' + b"a" * 1024 + b'"}', TooLongError),
    ],
)
def test_type_and_callback_are_mandatory_and_the_callback_has_a_limit(body, error):
    with pytest.raises(error):
        decode_struct(subscriptions.SubscribeRequest, body)


def test_a_list_query_is_read_in_both_spellings_and_written_in_one(golden):
    plain = decode_query(subscriptions.SubscriptionQuery, golden("subscription_query.form"))
    assert decode_query(subscriptions.SubscriptionQuery, golden("subscription_query_mangled.form")) == plain
    assert encode_query(plain).encode() == golden("subscription_query.form")


def test_a_deletion_is_read_with_its_callback_written_raw_and_encoded(golden):
    plain = decode_query(subscriptions.SubscriptionDeletion, golden("subscription_deletion.form"))
    assert plain.callback_url == CALLBACK
    assert decode_query(subscriptions.SubscriptionDeletion, golden("subscription_deletion_raw.form")) == plain
    assert encode_query(plain).encode() == golden("subscription_deletion.form")


def test_a_deletion_without_words_has_no_filter():
    nothing = subscriptions.SubscriptionDeletion()
    for query in ("", "?", "?&", "appId=&notifyType=&callbackUrl=&channel="):
        assert decode_query(subscriptions.SubscriptionDeletion, query) == nothing
    assert encode_query(nothing) == ""
