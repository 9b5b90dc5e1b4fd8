"""The page for applications without an address names parameters, refusals and limits as they are."""

import re
from pathlib import Path

import msgspec

from firmcast.cli.main import app
from firmcast.feed.api import LIFE_SECONDS
from firmcast.settings import RestSettings
from firmcast_sdk.wire import feed

PAGE = (Path(__file__).parents[4] / "docs" / "how-to" / "receive-without-an-address.md").read_text()


def test_every_parameter_is_explained() -> None:
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert {field.encode_name for field in msgspec.structs.fields(feed.FeedQuery)} <= told
    assert f"1 to {feed.LARGEST_PAGE_SIZE}; {feed.DEFAULT_PAGE_SIZE} unless" in PAGE
    assert f"0 to {feed.LONGEST_WAIT};" in PAGE


def test_every_field_of_an_event_is_shown() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    page = msgspec.json.decode(example.replace(",…}", "}"), type=feed.FeedPage, strict=False)
    assert list(msgspec.json.decode(example.replace(",…}", "}"))["events"][0]) == list(feed.FeedItem.__struct_fields__)
    assert page.cursor == page.events[-1].cursor


def test_every_refusal_and_limit_is_told() -> None:
    settings = RestSettings()
    for error in (feed.CURSOR_UNKNOWN, feed.CURSOR_EXPIRED):
        assert f"{error.status} (`{error.code}`)" in PAGE
    assert feed.OLDEST_CURSOR in PAGE
    assert (
        f"(`rest.feed_calls`, {settings.feed_calls} in\n{settings.throttle_period.total_seconds():g} seconds)" in PAGE
    )
    assert f"At most {settings.feed_receivers} of an application" in PAGE
    assert f"refused with {feed.TOO_MANY_RECEIVERS.status}." in PAGE
    assert f"every {LIFE_SECONDS:g} seconds" in PAGE


def test_every_option_of_the_command_exists() -> None:
    (listen,) = (
        command for command in app.registered_commands if getattr(command.callback, "__name__", "") == "listen"
    )
    options = re.findall(r"`--([a-z-]+)", PAGE)
    assert len(options) >= 7
    parameters = {name.replace("_", "-") for name in listen.callback.__annotations__} | {"json", "type"}
    assert set(options) - {"forward-to"} <= parameters
