"""What descriptions say becomes safe HTML, and types become words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmcast.rest.prose import paragraphs, type_words

OURS = re.compile(r"</?(?:p|ul|li|code)>")


@given(st.text() | st.text(alphabet="<>&`*\"' \nab"))
def test_no_text_brings_a_tag_of_its_own(text):
    assert "<" not in OURS.sub("", paragraphs(text))


def test_paragraphs_lists_and_code():
    assert paragraphs("One `two`\nthree.\n\n* a\n* b\n  c\n") == (
        "<p>One <code>two</code> three.</p><ul><li>a</li><li>b c</li></ul>"
    )
    assert paragraphs("") == ""


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 1, "maxLength": 5}, "text, 1 to 5"),
        ({"type": "string", "maxLength": 5}, "text, up to 5"),
        ({"type": "integer", "minimum": 0}, "number, from 0"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "string", "format": "date-time"}, "time"),
        ({"type": "string", "pattern": "^a$", "examples": ["a"]}, "text, like <code>a</code>"),
        ({"type": "string", "pattern": "^<$"}, "text, <code>^&lt;$</code>"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "number or null"),
        ({"enum": ["a", "<b>"]}, "<code>a</code> · <code>&lt;b&gt;</code>"),
        ({"const": "a"}, "<code>a</code>"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 3}, "list of text; 3 at the most"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "map to number"),
        ({"type": "object"}, "object"),
        ({"$ref": "#/components/schemas/Task"}, '<a href="#record-Task">Task</a>'),
        ({}, "anything"),
    ],
)
def test_types_in_words(schema, words):
    assert type_words(schema) == words
