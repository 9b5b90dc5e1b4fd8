"""A description as a page to read: one HTML document that asks no other host for anything, and needs no script.

Its style and its search stand in it, named by their digests in the page's content security policy.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any, Final

from firmcast.rest.prose import paragraphs, type_words

Document = Mapping[str, Any]

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_PAGES: Final = (
    ("/v1/docs", "Overview"),
    ("/v1/docs/northbound", "Northbound"),
    ("/v1/docs/management", "Management"),
    ("/v1/docs/pushes", "Pushes"),
)
_OLDER: Final = ' class="older" title="older path"'
_STYLE: Final = (resources.files(__package__) / "reading_page.css").read_text()
_SCRIPT: Final = (resources.files(__package__) / "reading_page.js").read_text()


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One call or message: its place in the list, and its text."""

    anchor: str
    badge: str
    title: str
    group: str
    words: str
    """What a search looks in, in lower case."""
    html: str
    is_older: bool = False


def overview_page(documents: Iterable[tuple[str, str, Document]]) -> str:
    """Return the page that leads to the others; for each its path, the path of its document, and that."""
    parts = []
    for page, source, document in documents:
        parts.append(
            f'<article><h3><a href="{page}">{escape(document["info"]["title"])}</a></h3>'
            f"{paragraphs(document['info']['description'])}"
            f'<p><a href="{page}">Read</a> · <a href="{source}">{source}</a></p></article>'
        )
    return _page("Firmcast", "The interfaces of this platform", "/v1/docs", [], "".join(parts))


def openapi_page(document: Document, path: str, source: str) -> str:
    """Return the page of an OpenAPI document that is served at `source`."""
    entries = [
        _call_entry(document, route, method, operation)
        for route, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    ]
    order = {tag["name"]: number for number, tag in enumerate(document["tags"])}
    # Older paths stand behind the others, which they only repeat.
    entries.sort(key=lambda entry: (order[entry.group], entry.is_older))
    return _page(
        document["info"]["title"],
        document["info"]["description"],
        path,
        [*entries, *_record_entries(document)],
        source=source,
    )


def asyncapi_page(document: Document, path: str, source: str) -> str:
    """Return the page of an AsyncAPI document that is served at `source`."""
    entries = []
    for name, message in document["components"]["messages"].items():
        html = (
            f"{_head('send', name, message['summary'])}"
            f"<h4>Body</h4>{_record(document, message['payload'])}"
            f"<h4>Headers</h4>{_record(document, message['headers'])}"
        )
        entries.append(_Entry(anchor=name, badge="send", title=name, group="messages", words=_text_of(html), html=html))
    return _page(
        document["info"]["title"],
        document["info"]["description"],
        path,
        [*entries, *_record_entries(document)],
        source=source,
    )


def _call_entry(document: Document, path: str, method: str, operation: Document) -> _Entry:
    marks = [*(["older path"] if operation.get("deprecated") else []), *_proof(operation)]
    parts = [_head(method, path, operation["summary"], marks), paragraphs(operation.get("description", ""))]
    if operation.get("parameters"):
        parts.append(f"<h4>Parameters</h4>{_parameters(operation['parameters'])}")
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h4>Body</h4><p><code>{media_type}</code></p>{_record(document, content['schema'])}")
    parts.append("<h4>Answers</h4>")
    parts += [_answer(document, status, answer) for status, answer in operation["responses"].items()]
    html = "".join(parts)
    return _Entry(
        anchor=operation["operationId"],
        badge=method,
        title=operation["summary"],
        group=operation["tags"][0],
        words=_text_of(f"{method} {path} {html}"),
        html=html,
        is_older=operation.get("deprecated", False),
    )


def _proof(operation: Document) -> list[str]:
    if not operation["security"]:
        return ["no token"]
    return [scope for scheme in operation["security"] for scopes in scheme.values() for scope in scopes]


def _head(badge: str, path: str, summary: str, marks: Iterable[str] = ()) -> str:
    shown = "".join(f'<span class="mark">{escape(mark)}</span>' for mark in marks)
    return (
        f"<h3>{escape(summary)}</h3><div class='line'><span class='method {badge}'>{badge}</span>"
        f"<span class='path'>{escape(path)}</span>{shown}</div>"
    )


def _parameters(parameters: Iterable[Document]) -> str:
    rows = []
    for parameter in parameters:
        need = "needed" if parameter.get("required") else ""
        words = paragraphs(parameter.get("description", ""))
        rows.append(
            (f"<code>{escape(parameter['name'])}</code>", parameter["in"], type_words(parameter["schema"]), need, words)
        )
    return _table(("Name", "In", "Type", "", ""), rows)


def _answer(document: Document, status: str, answer: Document) -> str:
    answer = document["components"]["responses"][_name(answer)] if "$ref" in answer else answer
    kind = "good" if status.startswith("2") else "refused"
    content = answer.get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    parts = [_record(document, branch) for branch in schema.get("anyOf", [schema]) if "$ref" in branch]
    examples = [
        document["components"]["examples"][_name(told)]["value"] for told in content.get("examples", {}).values()
    ]
    rows = [(f"<code>{escape(value['error_code'])}</code>", escape(value["error_desc"])) for value in examples]
    if rows:
        parts.append(_table(("error_code", "error_desc"), rows))
    body = "".join(parts)
    first = escape(answer["description"].partition(" Or refused:")[0] if kind == "good" else f"{len(rows)} reasons")
    if len(rows) == 1 and kind == "refused":
        first = rows[0][1]
    return f"<details class='{kind}'><summary><b>{status}</b> {first}</summary>{body}</details>"


def _name(reference: Document) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _record(document: Document, schema: Document) -> str:
    """Return the fields of a record, which a schema names."""
    found = document["components"]["schemas"][_name(schema)] if "$ref" in schema else schema
    if "properties" not in found:
        return f"<p>{type_words(found)}</p>"
    return _fields(found)


def _fields(record: Document) -> str:
    rows = []
    for name, schema in record["properties"].items():
        need = "needed" if name in record.get("required", ()) else ""
        default = schema.get("default")
        rest = "" if default in (None, "", []) else f"default <code>{escape(json.dumps(default))}</code>"
        words = f"{paragraphs(schema.get('description', ''))}{rest}"
        rows.append((f"<code>{escape(name)}</code>", type_words(schema), need, words))
    return _table(("Field", "Type", "", ""), rows)


def _record_entries(document: Document) -> list[_Entry]:
    entries = []
    for name, schema in document["components"]["schemas"].items():
        text = paragraphs(schema.get("description", ""))
        inner = _fields(schema) if schema.get("properties") else f"<p>{type_words(schema)}</p>"
        html = f"<h3>{escape(name)}</h3>{text}{inner}"
        entries.append(
            _Entry(anchor=f"record-{name}", badge="", title=name, group="records", words=_text_of(html), html=html)
        )
    return entries


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    shown = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{shown}</tr>{body}</table></div>"


def _text_of(html: str) -> str:
    """Return what a search looks in: the text of a piece of HTML, tags and all their attributes gone."""
    text = "".join(part.partition(">")[2] + " " if "<" in "<" + part else part for part in ("<>" + html).split("<")[1:])
    return " ".join(text.lower().split())


def _page(title: str, introduction: str, path: str, entries: list[_Entry], body: str = "", *, source: str = "") -> str:
    others = " ".join(f"<b>{name}</b>" if there == path else f'<a href="{there}">{name}</a>' for there, name in _PAGES)
    groups = list(dict.fromkeys(entry.group for entry in entries))
    listed = "".join(_listed(group, entries) for group in groups)
    shown = "".join(_shown(group, entries) for group in groups)
    search = (
        '<input id="search" type="search" placeholder="Search  /" aria-label="Search" autocomplete="off">'
        '<p class="nothing">Nothing here says that.</p>'
        if entries
        else ""
    )
    machine = f'<p class="faint">For machines: <a href="{source}">{source}</a></p>' if source else ""
    script = f"<script>{_SCRIPT}</script>" if entries else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head><body>'
        f'<div class="frame"><nav><h1>{escape(title)}</h1><div class="others">{others}</div>{search}{listed}</nav>'
        f"<main><header><h1>{escape(title)}</h1>{machine}{paragraphs(introduction)}</header>{body}{shown}</main></div>"
        f"{script}</body></html>"
    )


def _badge(entry: _Entry) -> str:
    return f'<span class="method {entry.badge}">{entry.badge}</span>' if entry.badge else ""


def _listed(group: str, entries: Iterable[_Entry]) -> str:
    items = "".join(
        f'<li data-words="{escape(entry.words)}"><a href="#{escape(entry.anchor)}"{_OLDER if entry.is_older else ""}>'
        f"{_badge(entry)}<span>{escape(entry.title)}</span></a></li>"
        for entry in entries
        if entry.group == group
    )
    return f"<section data-group><h2>{escape(group)}</h2><ul>{items}</ul></section>"


def _shown(group: str, entries: Iterable[_Entry]) -> str:
    articles = "".join(
        f'<article id="{escape(entry.anchor)}" data-words="{escape(entry.words)}">{entry.html}</article>'
        for entry in entries
        if entry.group == group
    )
    return f'<section data-group><h2 class="part">{escape(group.capitalize())}</h2>{articles}</section>'
