"""The contract's errors, written down by hand from its page and held against the one table in code.

Of some codes the page tells no words: those of ours are then only held to be there. It tells the codes of two editions;
these are those of 2022 and later, and the older ones where the later edition is silent.
"""

from typing import NamedTuple

import pytest

from firmcast_sdk.wire.errors import ERROR_CODES

OURS = None
"""In place of words that the page does not tell."""


class Row(NamedTuple):
    code: str
    status: int
    words: str | None


ANY_CALL = [
    Row("1010005", 403, "Invalid access token or appId."),
    Row("1010009", 403, "app throttle exceed."),
    Row("100025", 401, "AppId for auth not exist."),
    Row("100203", 403, "The application is not existed."),
    Row("100217", 403, "The application hasn't been authorized."),
    Row("100022", 400, "The input is invalid."),
    Row("100007", 400, "Bad request message."),
    Row("100001", 500, "Internal server error."),
    Row("50252", 500, "Internal server error."),
    Row("120001", 500, "Internal server error."),
    Row("100023", 500, "The data in dataBase is abnomal."),
    Row("100220", 500, "Get AppKey from header failed."),
]
AUTHENTICATION = [
    Row("100208", 401, "AppId or secret is not right."),
    Row("102202", 400, "Required Parameter is null or empty."),
    Row("100247", 400, "Operation not allowed. The application has been frozen."),
    Row("100006", 401, "Refresh access token failed."),
    Row("100008", 500, "The haproxy address is null."),
]
MANAGEMENT_SUBSCRIPTION = [
    Row("120203", 200, "The application is not existed."),
    Row("120007", 200, "Bad request message."),
    Row("100228", 400, OURS),  # the page's text is cut off after its first words
]
BUSINESS_SUBSCRIPTIONS = [
    Row("100222", 400, "The request callbackurl is illegal."),
    Row("100234", 403, "The host field of the callbackUrl is in conflict with existing callbackUrl."),
    Row("100227", 409, "The resource is conflicted."),
    Row("100225", 404, "The resource is not found"),
    Row("101017", 500, OURS),
    Row("101016", 500, OURS),
]
PACKAGES = [
    Row("120015", 400, "Bad request error."),
    Row("123002", 404, "Device or package file not found."),
]
UPGRADE_TASKS = [
    Row("123009", 404, "The requested task does not exist."),
    Row("123016", 400, "The parameter is error, targetversion not match with device."),
    Row("123019", 400, "manufacturerName is null."),
    Row("123020", 400, "deviceType is null"),
    Row("123021", 400, "model is null."),
    Row("123022", 400, "deviceGroups and devices cannot be null together"),
    Row("123023", 400, "deviceGroups and devices cannot be exist together"),
    Row("123024", 400, "The number of deviceGroups or devices reached upper limit"),
    Row("123025", 400, "executeType is error or can not to be null"),
    Row("123026", 400, "startTime or endTime is null or error"),
    Row("123027", 400, "some deviceGroups not found"),
    Row("123028", 400, "retryTimes is null or beyond the limit"),
    Row("123029", 400, "pageNo or pageSize beyond the limit."),
    Row("123032", 400, "startTime can not be later than the endTime"),
    Row("123033", 400, "startTime can not be earlier than the now"),
    Row("123034", 400, "endtime must be greater than 5 minutes"),
]
DEVICES = [
    Row("100003", 400, OURS),
    Row("100416", 400, "The device has already been binded."),
    Row("100426", 400, "The nodeId is duplicated."),
    Row("50400", 400, "The input is invalid."),
    Row("600002", 403, OURS),
    Row("100412", 500, OURS),
    Row("100441", 500, OURS),
    Row("103026", 500, OURS),
    Row("103028", 200, OURS),
    Row("100610", 400, OURS),
    Row("100611", 400, OURS),
    Row("100403", 404, OURS),
    Row("100418", 404, OURS),
    Row("100403", 200, OURS),  # the older edition's status where a device is read
    Row("100418", 200, OURS),
    Row("100218", 400, OURS),
    Row("100216", 400, OURS),
]
DEVICE_GROUPS = [
    Row("100601", 200, OURS),
    Row("100602", 200, OURS),
    Row("100603", 200, OURS),
    Row("100604", 400, OURS),
    Row("100607", 200, OURS),
    Row("100609", 400, OURS),
]
TABLE = [
    *ANY_CALL,
    *AUTHENTICATION,
    *MANAGEMENT_SUBSCRIPTION,
    *BUSINESS_SUBSCRIPTIONS,
    *PACKAGES,
    *UPGRADE_TASKS,
    *DEVICES,
    *DEVICE_GROUPS,
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.code}-{row.status}")
def test_the_code_says_what_the_page_says(row):
    (found,) = (error for error in ERROR_CODES.values() if (error.code, error.status) == (row.code, row.status))
    assert found.description
    assert row.words in (OURS, found.description)


def test_the_code_knows_no_other_error():
    written = [(row.code, row.status) for row in TABLE]
    assert len(set(written)) == len(written)
    assert {(error.code, error.status) for error in ERROR_CODES.values()} == set(written)


def test_codes_and_words_are_what_clients_can_read():
    for error in ERROR_CODES.values():
        assert error.code.isascii()
        assert error.code.isdigit()
        assert error.description.isascii()
        assert 200 <= error.status < 600
