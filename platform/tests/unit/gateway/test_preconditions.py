import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.gateway.package_port.preconditions import Precondition, evaluate, range_holds

HOLDS, UNCHANGED, FAILS = Precondition.HOLDS, Precondition.UNCHANGED, Precondition.FAILS


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "expected"),
    [
        (None, None, HOLDS),
        ('"a"', None, HOLDS),
        ("*", None, HOLDS),
        ('"b", "a"', None, HOLDS),
        ('"b"', None, FAILS),
        ('W/"a"', None, FAILS),
        ("a", None, FAILS),
        (None, '"a"', UNCHANGED),
        (None, 'W/"a"', UNCHANGED),
        (None, '"b" , "a"', UNCHANGED),
        (None, " * ", UNCHANGED),
        (None, '"b"', HOLDS),
        (None, "a", HOLDS),
        ('"a"', '"a"', UNCHANGED),
        ('"b"', '"a"', FAILS),
    ],
)
def test_preconditions(if_match: str | None, if_none_match: str | None, expected: Precondition) -> None:
    """RFC 9110, section 13.2.2."""
    assert evaluate(if_match, if_none_match, '"a"') is expected


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [
        (None, True),
        ('"a"', True),
        (' "a" ', True),
        ('W/"a"', False),
        ('"b"', False),
        ("a", False),
        ("Sat, 29 Oct 1994 19:43:31 GMT", False),
    ],
)
def test_a_range_is_served_for_the_very_same_package_only(if_range: str | None, expected: bool) -> None:
    assert range_holds(if_range, '"a"') is expected


@given(st.text(), st.text())
def test_no_header_makes_them_stumble(one: str, other: str) -> None:
    assert evaluate(one, other, '"a"') in Precondition
    assert range_holds(one, '"a"') in {True, False}
