"""The little of Markdown that descriptions use, and types in words; whatever comes in leaves as safe HTML."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

_CODE = re.compile(r"`([^`]+)`")


def paragraphs(text: str) -> str:
    """Return paragraphs, lists of lines that begin with an asterisk, and code between backticks."""
    parts = []
    for block in text.strip().split("\n\n"):
        if not block.strip():
            continue
        if block.lstrip().startswith("* "):
            items = re.split(r"(?m)^\* ", block.strip())[1:]
            parts.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
        else:
            parts.append(f"<p>{_inline(block)}</p>")
    return "".join(parts)


def type_words(schema: Mapping[str, Any]) -> str:
    """Return what values a JSON schema allows, in a few words; a record is linked."""
    match schema:
        case {"$ref": str(reference)}:
            name = escape(reference.rpartition("/")[2])
            return f'<a href="#record-{name}">{name}</a>'
        case {"anyOf": [*branches]}:
            words = [type_words(branch) for branch in branches]
            return " or ".join(word for word in words if word)
        case {"enum": [*values]}:
            return " · ".join(f"<code>{escape(str(value))}</code>" for value in values)
        case {"const": value}:
            return f"<code>{escape(str(value))}</code>"
        case {"type": "array"}:
            most = f"; {schema['maxItems']} at the most" if "maxItems" in schema else ""
            return f"list of {type_words(schema.get('items', {}))}{most}"
        case {"type": "object"}:
            of = schema.get("additionalProperties")
            return f"map to {type_words(of)}" if isinstance(of, dict) and of else "object"
        case {"type": str(kind)}:
            return _simple(kind, schema)
        case _:
            return "anything"


def _simple(kind: str, schema: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        examples = schema.get("examples")
        like = f"like <code>{escape(examples[0])}</code>" if examples else f"<code>{escape(schema['pattern'])}</code>"
        return f"text, {like}"
    words = {"string": "text", "integer": "number", "number": "decimal", "boolean": "true or false"}.get(kind, kind)
    if schema.get("format") == "date-time":
        words = "time"
    return words + _limits(schema)


def _limits(schema: Mapping[str, Any]) -> str:
    least = schema.get("minimum", schema.get("minLength"))
    most = schema.get("maximum", schema.get("maxLength"))
    if least is None and most is None:
        return ""
    if least is None:
        return f", up to {most}"
    return f", from {least}" if most is None else f", {least} to {most}"


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(" ".join(text.split())))
