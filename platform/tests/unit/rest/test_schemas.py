"""A record's schema says what its reader goes by: limits, words, times and what may be absent."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
import pytest

from firmcast.rest.schemas import Schemas, plain_values
from firmcast_sdk.wire.decoding import Hints
from firmcast_sdk.wire.operations import Operation


class Kind(StrEnum):
    A = "a"
    B = "b"


class Inner(msgspec.Struct, kw_only=True, rename="camel"):
    """What stands inside.

    And more that is for those who read the code.
    """

    some_count: Annotated[int, Hints(least=1, most=9)]


class Outer(msgspec.Struct, kw_only=True):
    text: Annotated[str, Hints(limit=5, filled=True)]
    maybe: Annotated[str, Hints(limit=7)] | None = None
    kind: Kind = Kind.A
    inner: tuple[Inner, ...] = ()
    names: Annotated[tuple[Annotated[str, Hints(limit=3)], ...], Hints(limit=2)] = ()
    at: datetime | None = None
    anything: object = None


class Unknown(msgspec.Struct, kw_only=True):
    thing: Schemas


def test_limits_words_and_records():
    described = Schemas([Outer]).components
    assert set(described) == {"Outer", "Inner", "Kind"}
    fields = described["Outer"]["properties"]
    assert fields["text"] == {"type": "string", "minLength": 1, "maxLength": 5}
    assert fields["maybe"]["anyOf"] == [{"type": "string", "maxLength": 7}, {"type": "null"}]
    assert fields["names"]["maxItems"] == 2
    assert fields["names"]["items"]["maxLength"] == 3
    assert fields["names"]["default"] == []
    assert fields["at"]["anyOf"][0] == {"type": "string", "format": "date-time"}
    assert described["Outer"]["required"] == ["text"]
    assert described["Inner"]["description"] == "What stands inside."
    assert described["Inner"]["properties"]["someCount"] == {"type": "integer", "minimum": 1, "maximum": 9}


def test_the_wires_times_are_its_own():
    created = Schemas([Operation]).components["Operation"]["properties"]["createTime"]
    assert created["pattern"] == r"^\d{8}T\d{6}Z$"
    assert "format" not in created


def test_a_value_that_travels_as_text_is_never_null():
    properties, required = Schemas([Outer]).properties(Outer)
    assert required == {"text"}
    assert plain_values(properties["maybe"]) == {"type": "string", "maxLength": 7}
    assert plain_values(properties["text"]) == properties["text"]


def test_what_json_does_not_have_is_refused():
    with pytest.raises(TypeError, match="nothing that JSON has"):
        Schemas([Unknown])
