"""Nobody has more places than he may, and each that ends is free again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.feed.places import NoPlaceError, Place, Places


def test_who_has_all_his_places_is_refused_and_others_are_not() -> None:
    places = Places(2)
    first = places.take("a")
    with places.take("a"):
        with pytest.raises(NoPlaceError, match="2 calls"):
            places.take("a")
        places.take("b")
    with first, places.take("a"), pytest.raises(NoPlaceError):
        places.take("a")


def test_without_a_limit_nobody_is_refused() -> None:
    places = Places(0)
    assert len([places.take("a") for _ in range(1000)]) == 1000


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))))
def test_places_are_neither_lost_nor_made(limit: int, steps: list[tuple[bool, str]]) -> None:
    places = Places(limit)
    held: dict[str, list[Place]] = {"a": [], "b": [], "c": []}
    for takes, who in steps:
        if takes and len(held[who]) < limit:
            held[who].append(places.take(who))
        elif takes:
            with pytest.raises(NoPlaceError):
                places.take(who)
        elif held[who]:
            with held[who].pop():
                pass
    for those in held.values():
        for place in those:
            with place:
                pass
    assert len(places) == 0
