"""The page of notifications names every type once, and calls silent what nothing tells."""

import re
from pathlib import Path

import pytest

from firmcast.events.model import EventType
from firmcast.subscriptions.api import EVENT_TYPES
from firmcast_sdk.wire.subscriptions import SubscribableType

PAGE = (Path(__file__).parents[4] / "docs/reference/notifications.md").read_text()
TOLD = {
    EventType.FIRMWARE_STATE_CHANGED,
    EventType.FIRMWARE_UPGRADE_ENDED,
    EventType.DEVICE_ADDED,
    EventType.DEVICE_BOUND,
    EventType.DEVICE_INFO_CHANGED,
    EventType.DEVICE_DELETED,
}


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_table_holds_the_types_that_are_told() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("Types that are sent").partition("###")[0], re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert {EVENT_TYPES[SubscribableType(row)] for row in rows} == TOLD


def test_the_list_holds_all_others() -> None:
    names = re.findall(r"`(\w+)`", section("Types that can be subscribed to and are silent"))
    assert len(names) == len(set(names))
    assert {EVENT_TYPES[SubscribableType(name)] for name in names} == set(EventType) - TOLD


@pytest.mark.parametrize("code", ["100022", "100007", "100222", "100227", "100225", "100217", "100234"])
def test_each_error_is_named(code: str) -> None:
    assert code in section("Subscribing")
