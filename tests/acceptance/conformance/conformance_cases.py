"""The cases are a table, in the files of `cases/`; this reads it, and tells whether an answer is what a row wants.

[[case]]
call = "POST /path/${device}"       the method and the path; what stands in ${…} is made for the case
is = "good"                         or "error", or "spelling": one of the ways in which a client writes it
about = "what the case is about"    told in its name
style = "java"                      who sends it: a client of conformance_clients, or "all" for each of them
query = [["name", "value"]]         joined as the client joins it; or raw_query, as it stands after the path
json = '{"name": "value"}'          written as the client writes it, with null for each of nulls; or raw_body, or form
headers = ["Name: value"]           beside the client's own
before = ['POST /path {"a": 1}']    calls that go first, and must go well
server = "plain"                    or "limited": the settings of conftest.py
status = 200
code = "123022"                     of the error; its words are those of the contract's table
empty = true                        there must be no body
like = '{"name": "<text>"}'         what the body must hold at least: <text>, <int>, <bool>, <time>, <object>, <any>
"""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conformance_clients import STYLES, Answer

from firmcast_sdk.wire.errors import ERROR_CODES

FOLDER = Path(__file__).parent / "cases"
WORDS = {error.code: error.description for error in ERROR_CODES.values()}
TIME = re.compile(r"\d{8}T\d{6}Z")
GOOD, ERROR, SPELLING = "good", "error", "spelling"
OPEN_CALLS = ("/iocm/app/sec/",)
"""Calls under these prove who makes them in their bodies."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row."""

    call: str
    kind: str
    about: str
    style: str = "java"
    query: list[list[str]] = field(default_factory=list)
    raw_query: str | None = None
    json: str | None = None
    nulls: tuple[str, ...] = ()
    raw_body: str | None = None
    form: list[list[str]] | None = None
    headers: tuple[str, ...] = ()
    proof: tuple[str, ...] | None = None
    """In place of the client's own; the empty one for none."""
    before: tuple[str, ...] = ()
    server: str = "plain"
    status: int = 200
    code: str = ""
    empty: bool = False
    like: str = ""
    of: str = ""
    """The call that it is counted under, where it is not the one that it makes."""

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.call.partition(" ")[2]

    @property
    def endpoint(self) -> str:
        """The call as the description writes it."""
        return self.of or re.sub(r"\$\{[^}]+\}", "{}", self.call)

    @property
    def name(self) -> str:
        return f"{self.endpoint} {self.kind} {self.style}: {self.about}"


def cases() -> list[Case]:
    """Return every case: those of the files, and those that each call has in common with the others."""
    rows = [row for file in sorted(FOLDER.glob("*.toml")) for row in tomllib.loads(file.read_text())["case"]]
    written = [case for row in rows for case in _cases_of(row)]
    firsts = {case.endpoint: case for case in reversed(written)}
    firsts |= {case.endpoint: case for case in reversed(written) if case.kind == GOOD}
    return [*written, *(case for first in firsts.values() for case in _common(first))]


def _cases_of(row: dict[str, Any]) -> Iterator[Case]:
    given = {
        name: tuple(value) if name in ("nulls", "headers", "before", "proof") else value for name, value in row.items()
    }
    case = Case(kind=given.pop("is"), **given)
    styles = STYLES if case.style == "all" else [case.style]
    for style in styles:
        yield replace(case, style=style)


def _common(first: Case) -> Iterator[Case]:
    """Yield how a call is refused whatever it is about; none of these comes as far as what it names."""
    path = re.sub(r"\$\{[^}]+\}", "x", first.path)
    writes = first.json is not None or first.form is not None
    plain = Case(
        call=f"{first.method} {path}",
        of=first.endpoint,
        kind=ERROR,
        about="",
        json="{}" if first.json is not None else None,
    )
    yield replace(plain, about="a header with a blank in its name", headers=("No Token: a",), status=400, code="100007")
    if path != first.path:
        deeper = re.sub(r"\$\{[^}]+\}", "x%2Fy", first.path)
        call = f"{first.method} {deeper}"
        yield replace(plain, about="a slash in the id", call=call, status=404, code="100225")
    if writes:
        yield replace(
            plain, json=None, raw_body="${1048577 blanks}", about="a body over the limit", status=413, code="100022"
        )
    if first.path.startswith(OPEN_CALLS):
        return
    token = "Authorization: Bearer ${token}"
    yield replace(plain, about="no app_key", proof=(token,), status=401, code="100025")
    yield replace(plain, about="an empty app_key", proof=("app_key:", token), status=401, code="100025")
    for about, proof in (
        ("no token", ()),
        ("a wrong token", ("Authorization: Bearer wrong",)),
        ("another scheme", ("Authorization: Basic YTpi",)),
        ("a wrong bare token", ("access_token: wrong",)),
    ):
        yield replace(plain, about=about, proof=("app_key: ${app}", *proof), status=403, code="1010005")
    yield replace(plain, about="another's app_key", proof=("app_key: ${stranger}", token), status=403, code="1010005")
    yield replace(plain, about="a frozen application", headers=("frozen: ${frozen}",), status=400, code="100247")
    yield replace(plain, about="too many calls", server="throttled", status=403, code="1010009")
    yield replace(plain, about="another root", call=f"{first.method} /elsewhere{path}", status=404, code="100225")
    yield replace(plain, about="a method that it has not", call=f"PATCH {path}", status=405, code="100007")
    key = "x-app-key: ${app}"
    yield replace(
        plain,
        about="the other name of app_key",
        kind=SPELLING,
        proof=(key, "Authorization: Bearer wrong"),
        status=403,
        code="1010005",
    )


def judge(case: Case, answer: Answer, filled_like: str) -> None:
    """Assert that an answer is what a case wants."""
    assert answer.status == case.status, answer
    if case.status == 204:
        assert answer.body == b""
        return
    assert answer.headers.get("content-type") == "application/json", answer
    if case.code:
        wanted = json.dumps({"error_code": case.code, "error_desc": WORDS[case.code]}, separators=(",", ":"))
        assert answer.body.decode() == wanted
        return
    assert b"error_code" not in answer.body
    if case.empty:
        assert answer.body == b""
        return
    found = json.loads(answer.body)
    assert answer.body.decode() == json.dumps(found, separators=(",", ":"), ensure_ascii=False), "it is not compact"
    if filled_like:
        compare(json.loads(filled_like), found, "answer")


def compare(wanted: Any, found: Any, where: str) -> None:
    """Assert that a value holds at least what is wanted."""
    match wanted:
        case dict():
            assert isinstance(found, dict), where
            for name, inner in wanted.items():
                assert name in found, f"{where} has no {name}"
                compare(inner, found[name], f"{where}.{name}")
        case list():
            assert isinstance(found, list), where
            assert len(found) == len(wanted), where
            for number, (inner, one) in enumerate(zip(wanted, found, strict=True)):
                compare(inner, one, f"{where}[{number}]")
        case "<any>":
            pass
        case "<text>":
            assert isinstance(found, str), where
            assert found, where
        case "<int>":
            assert type(found) is int, where
        case "<bool>":
            assert type(found) is bool, where
        case "<object>":
            assert isinstance(found, dict), where
        case "<time>":
            assert TIME.fullmatch(found), where
        case _:
            assert (type(found), found) == (type(wanted), wanted), where
