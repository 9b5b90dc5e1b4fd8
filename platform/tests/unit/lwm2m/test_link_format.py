import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmcast.lwm2m.errors import LinkFormatError
from firmcast.lwm2m.link_format import Link, format_links, parse_links

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=8)
links = st.builds(
    Link,
    target=st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), max_size=20),
    attributes=st.lists(
        st.tuples(names, st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)), max_size=4
    ).map(tuple),
)


@given(st.lists(links, max_size=6))
def test_links_are_read_as_they_were_written(written: list[Link]) -> None:
    document = format_links(written)
    assert parse_links(document) == tuple(written)
    assert parse_links(document.encode()) == tuple(written)


@given(st.binary(max_size=120) | st.text('</>;,="\\ ab1\n', max_size=60).map(str.encode))
@settings(max_examples=200)
def test_any_bytes_are_links_or_the_one_error(document: bytes) -> None:
    try:
        parsed = parse_links(document)
    except LinkFormatError:
        return
    assert parse_links(format_links(parsed)) == parsed


def test_quotes_escapes_and_bare_names() -> None:
    document = '</>;rt="oma.lwm2m";ct=110, </1/0>;ver="1.1";title="say \\"on, off\\"";obs'
    assert parse_links(document) == (
        Link(target="/", attributes=(("rt", "oma.lwm2m"), ("ct", "110"))),
        Link(target="/1/0", attributes=(("ver", "1.1"), ("title", 'say "on, off"'), ("obs", None))),
    )


@pytest.mark.parametrize("document", ["</>;ct=60 110  112;a , </1>", "</>;ct= 60 110  112 ;a,</1>"])
def test_words_without_quotes_around_them(document: str) -> None:
    found = (Link(target="/", attributes=(("ct", "60 110  112"), ("a", None))), Link(target="/1"))
    assert parse_links(document) == found


def test_an_attribute_is_found_by_name() -> None:
    link = Link(target="/", attributes=(("a", "1"), ("a", "2"), ("b", None)))
    assert (link.attribute("a"), link.attribute("b"), link.attribute("c")) == ("1", None, None)


@pytest.mark.parametrize(
    "document",
    [
        "</a>,",
        ",</a>",
        "</a>;",
        "</a></b>",
        "</a>;=1",
        '</a>;t="open',
        "a",
        "</a",
        "</a>;t=1 <",
        '</a>;t= 1 "2"',
        b"</\xff>",
        ";a",
    ],
)
def test_what_is_no_link_format_is_refused(document: str | bytes) -> None:
    with pytest.raises(LinkFormatError):
        parse_links(document)


@pytest.mark.parametrize("document", ["", " \r\n", b""])
def test_an_empty_document_has_no_links(document: str | bytes) -> None:
    assert parse_links(document) == ()


@pytest.mark.parametrize(
    "hostile",
    [
        '</>;t="' + "\\a" * 50_000,
        "<" * 100_000,
        "</>" + ";a" * 50_000 + '"',
        " " * 99_999,
        "</>;a=" + " 1" * 50_000 + '"',
        "</>" + ";a= " * 30_000,
    ],
)
def test_hostile_documents_cost_no_more_than_their_length(hostile: str) -> None:
    started = time.process_time()
    with contextlib.suppress(LinkFormatError):
        parse_links(hostile)
    assert time.process_time() - started < 1.0
