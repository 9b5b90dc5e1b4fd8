"""A link-format document (RFC 6690) is links and their attributes; what they mean is told elsewhere.

A value of several words is understood without its quotes too: the Leshan client left them out until 2021.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from firmcast.lwm2m.errors import LinkFormatError

_TARGET = re.compile(r"[ \t\r\n]*<([^<>]*)>")
_ATTRIBUTE = re.compile(
    r"[ \t]*;[ \t]*([!#$&+\-.^_`|~0-9A-Za-z]+\*?)"
    r'(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s",;<>]*+(?:\x20++[^\s",;<>]++)*+)))?',
    re.DOTALL,
)
_SEPARATOR = re.compile(r"[ \t\r\n]*(?:(,)|\Z)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_VALUE = re.compile(r"[!#-'()*+\-./0-9:<=>?@A-Za-z\[\]^_`{|}~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link.

    `target` is what stands between the angle brackets; `attributes` are name and value in the order written,
    the value without its quotes, or None for a name alone.
    """

    target: str
    attributes: tuple[tuple[str, str | None], ...] = ()

    def attribute(self, name: str) -> str | None:
        """Return the first value of attribute `name`; None where it is absent or has no value."""
        for present, value in self.attributes:
            if present == name:
                return value
        return None


def parse_links(document: str | bytes) -> tuple[Link, ...]:
    """Read a link-format document; an empty one has no links. Raises LinkFormatError."""
    text = _text(document)
    links: list[Link] = []
    position = 0
    while target := _TARGET.match(text, position):
        position = target.end()
        attributes: list[tuple[str, str | None]] = []
        while attribute := _ATTRIBUTE.match(text, position):
            attributes.append(_attribute(attribute))
            position = attribute.end()
        links.append(Link(target=target[1], attributes=tuple(attributes)))
        separator = _SEPARATOR.match(text, position)
        if separator is None:
            raise LinkFormatError(f"unexpected text at character {position}")
        position = separator.end()
        if separator[1] is None:
            return tuple(links)
    if text[position:].strip() or links:
        raise LinkFormatError(f"a link was expected at character {position}")
    return ()


def format_links(links: Iterable[Link]) -> str:
    """Write `links` as one document that `parse_links` reads back."""
    return ",".join(
        f"<{link.target}>" + "".join(_format_attribute(name, value) for name, value in link.attributes)
        for link in links
    )


def _text(document: str | bytes) -> str:
    if isinstance(document, str):
        return document
    try:
        return document.decode()
    except UnicodeDecodeError as error:
        raise LinkFormatError("the document is not UTF-8") from error


def _attribute(match: re.Match[str]) -> tuple[str, str | None]:
    name, quoted, plain = match.groups()
    if quoted is not None:
        return name, _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted
    return name, plain


def _format_attribute(name: str, value: str | None) -> str:
    if value is None:
        return f";{name}"
    if _PLAIN_VALUE.fullmatch(value) and "<" not in value and ">" not in value:
        return f";{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f';{name}="{escaped}"'
