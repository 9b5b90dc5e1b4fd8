"""The page for operators names calls, scopes and settings that exist."""

import re
from pathlib import Path

from firmcast.rest.authentication import Scope
from firmcast.settings import RestSettings

PAGE = (Path(__file__).parents[4] / "docs" / "how-to" / "administer.md").read_text()
CALL = re.compile(r'call (?:-X (?P<method>[A-Z]+) )?"?\$URL(?P<path>/v1/[^\s"?]+)[^\n]*?(?P<body> -d )?')


def named():
    for line in PAGE.splitlines():
        found = CALL.search(line)
        if found:
            method = found["method"] or ("POST" if " -d " in line else "GET")
            yield method, re.sub(r"\$\w+", "{}", found["path"])


async def test_every_call_of_the_page_is_declared(world):
    declared = {(call.method, re.sub(r"\{\w+\}", "{}", call.path)) for call in world.calls}
    calls = set(named())
    assert len(calls) > 15
    assert calls <= declared


def test_every_scope_is_explained():
    assert set(re.findall(r"`([a-z]+:(?:read|write))`", PAGE)) == set(Scope)


def test_the_throttle_is_told_as_it_is_set():
    settings = RestSettings()
    assert f"{settings.throttle_calls} calls in any {settings.throttle_period.total_seconds():g} seconds" in PAGE
