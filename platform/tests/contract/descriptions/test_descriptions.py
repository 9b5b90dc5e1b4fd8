"""The descriptions that are kept are those of the code, and are what the official schemas of their formats want."""

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import validate

from firmcast.rest.descriptions import documents, encode_document, pages
from firmcast.rest.endpoints import Interface, Proof
from firmcast.rest.openapi import generic_errors
from firmcast_sdk.wire.feed import FEED_PATH, STREAM_PATH

ROOT = Path(__file__).parents[4]


def script():
    specification = importlib.util.spec_from_file_location("descriptions", ROOT / "scripts" / "descriptions.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


SCRIPT = script()
CALLS = SCRIPT.declared()
FOUND = documents(CALLS)
OPENAPI = [path for path in FOUND if "openapi" in path]
PAGES = pages(FOUND)


@pytest.mark.parametrize("path", FOUND)
def test_what_is_kept_is_what_the_code_says(path):
    kept = (ROOT / "docs" / "reference" / SCRIPT.FILES[path]).read_bytes()
    assert kept == encode_document(FOUND[path]), "run scripts/descriptions.py"


@pytest.mark.parametrize("path", OPENAPI)
def test_an_openapi_document_is_valid(path):
    validate(FOUND[path])


@pytest.mark.parametrize("path", FOUND)
def test_every_reference_leads_somewhere(path):
    document = FOUND[path]
    references = re.findall(r'"\$ref": *"([^"]+)"', encode_document(document).decode())
    assert references
    for reference in set(references):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


@pytest.mark.parametrize("path", FOUND)
def test_every_schema_is_one(path):
    for schema in FOUND[path]["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("path", OPENAPI)
def test_nothing_is_described_twice_or_never_used(path):
    document = FOUND[path]
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    written = encode_document(document).decode()
    for kind in ("schemas", "responses", "examples"):
        assert [name for name in document["components"][kind] if f'"#/components/{kind}/{name}"' not in written] == []


def test_every_call_is_described_with_all_its_paths():
    for call in CALLS:
        paths = FOUND[f"/v1/openapi/{call.interface}.json"]["paths"]
        for path in (call.path, *call.aliases):
            assert call.method.lower() in paths[re.sub(r":\w+}", "}", path)]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
def test_a_call_is_declared_well(call):
    assert call.summary[0].isupper()
    assert not call.summary.endswith(".")
    assert call.answers or call.errors
    is_management = call.path.startswith("/v1/") or call.path == "/metrics"
    is_management = is_management and call.path not in (FEED_PATH, STREAM_PATH)
    assert call.interface is (Interface.MANAGEMENT if is_management else Interface.NORTHBOUND)
    assert call.proof is not Proof.ADMINISTRATOR or call.interface is Interface.MANAGEMENT
    codes = [(error.status, error.code) for error in call.errors]
    assert len(set(codes)) == len(codes)
    assert generic_errors(call)


class References(HTMLParser):
    """Gathers what a page would fetch, and where it leads."""

    def __init__(self):
        super().__init__()
        self.fetched, self.led_to, self.anchors, self.open = [], [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.fetched += [given[name] for name in ("src", "srcset", "data", "action") if name in given]
        if tag == "link":
            self.fetched.append(given["href"])
        if tag == "a":
            self.led_to.append(given["href"])
        if "id" in given:
            self.anchors.append(given["id"])
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", PAGES)
def test_a_page_stands_alone(path):
    read = References()
    read.feed(PAGES[path])
    assert read.open == []
    assert read.fetched == ["data:,"]
    assert len(set(read.anchors)) == len(read.anchors)
    known = {*PAGES, *FOUND}
    for target in read.led_to:
        assert target in known or target.removeprefix("#") in read.anchors, target
    assert "@import" not in PAGES[path]
    assert "url(" not in PAGES[path]


def test_a_page_tells_every_call():
    for call in CALLS:
        page = PAGES[f"/v1/docs/{call.interface}"]
        for path in (call.path, *call.aliases):
            assert f"<span class='path'>{re.sub(r':[a-z]+}', '}', path)}</span>" in page


def test_what_a_description_says_is_safe_in_a_page():
    document = json.loads(encode_document(FOUND["/v1/openapi/northbound.json"]))
    document["info"]["title"] = document["info"]["description"] = "<script>alert(1)</script>"
    found = {**FOUND, "/v1/openapi/northbound.json": document}
    for page in pages(found).values():
        assert "<script>alert" not in page
