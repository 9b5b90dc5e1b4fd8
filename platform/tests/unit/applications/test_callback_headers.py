"""Which headers an operator may have pushes carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.applications.callback_headers import MOST_HEADERS, VALUE_LIMIT, checked, opened, sealed
from firmcast.errors import InvalidValueError, StartError
from firmcast.sealing import Sealer


def test_names_are_kept_in_lower_case_and_in_order() -> None:
    headers = {"X-Tenant": "meters", "Authorization": "Bearer a b"}
    assert list(checked(headers).items()) == [("authorization", "Bearer a b"), ("x-tenant", "meters")]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x tenant",
        "x-tenant:",
        "x-tenant ",
        "x:y",
        "x;",
        "x\r\ny",
        "x\ny",
        "x\x00y",
        "x\ty",
        "é",
        "(x)",
        "x" * 65,
        "Host",
        ":authority",
        "Connection",
        "keep-alive",
        "Transfer-Encoding",
        "TE",
        "trailer",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
        "proxy-connection",
        "Content-Type",
        "content-length",
        "content-encoding",
        "accept-encoding",
        "expect",
        "user-agent",
        "webhook-id",
        "Webhook-Signature",
        "webhook-anything",
        "firmcast-sequence",
        "Firmcast-Test",
    ],
)
def test_a_name_that_is_none_or_not_the_operators(name: str) -> None:
    with pytest.raises(InvalidValueError) as told:
        checked({name: "value"})
    assert "value" not in str(told.value).removeprefix("headers: the value")


@pytest.mark.parametrize(
    "value",
    ["", " ", " a", "a ", "a\r\nx: y", "a\nb", "a\rb", "a\x00", "a\tb", "é", "a\x7f", "\x85", "x" * (VALUE_LIMIT + 1)],
)
def test_a_value_that_cannot_be_sent_is_refused_and_not_told(value: str) -> None:
    with pytest.raises(InvalidValueError) as told:
        checked({"x-tenant": value})
    assert not value.strip() or repr(value) not in str(told.value)


def test_there_are_one_to_eight() -> None:
    assert len(checked({f"x-{number}": "1" for number in range(MOST_HEADERS)})) == MOST_HEADERS
    for count in (0, MOST_HEADERS + 1):
        with pytest.raises(InvalidValueError, match="1 to 8"):
            checked({f"x-{number}": "1" for number in range(count)})
    with pytest.raises(InvalidValueError, match="twice"):
        checked({"x-a": "1", "X-A": "2"})


@given(st.dictionaries(st.text(max_size=12) | st.from_regex(r"[A-Za-z-]{1,10}", fullmatch=True), st.text(max_size=20)))
def test_what_is_taken_is_one_line_each_and_names_nothing_of_ours(headers: dict[str, str]) -> None:
    try:
        taken = checked(headers)
    except InvalidValueError:
        return
    for name, value in taken.items():
        line = f"{name}: {value}"
        assert line.isascii()
        assert line.isprintable()
        assert line.partition(": ")[::2] == (name, value)
        assert not name.startswith(("webhook-", "firmcast-", "content-", "proxy-"))


def test_what_is_sealed_opens_with_its_key_only() -> None:
    headers = checked({"authorization": "Bearer secret"})
    kept = sealed(headers, Sealer(bytes(32)))
    assert b"secret" not in kept
    assert opened(kept, Sealer(bytes(32))) == headers
    assert opened(b"", Sealer(bytes(32))) == {}
    with pytest.raises(StartError):
        opened(kept, Sealer(b"o" * 32))
