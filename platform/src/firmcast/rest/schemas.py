"""A record is described as JSON Schema from its own declaration: its type, and the hints that its reader goes by.

What a peer may send beyond that (numbers as text, names in another case) is tolerated and not described: who reads a
description writes what it says.
"""

import types
import typing
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from firmcast_sdk.wire.decoding import Hints

Schema = dict[str, Any]
Struct = type[msgspec.Struct]

COMPONENTS: Final = "#/components/schemas/"
_WIRE_PACKAGE: Final = "firmcast_sdk.wire"
_WIRE_TIME: Final = {
    "type": "string",
    "pattern": r"^\d{8}T\d{6}Z$",
    "description": "UTC, as yyyyMMddTHHmmssZ",
    "examples": ["20151212T121212Z"],
}
_MANAGEMENT_TIME: Final = {"type": "string", "format": "date-time"}


class Schemas:
    """The schemas of a set of records, and of every record and word list that these are made of."""

    def __init__(self, structs: Iterable[Struct]) -> None:
        """Describe these.

        Raises:
            TypeError: a field is of a type that JSON does not have.
        """
        self._all = _reachable(structs)
        references, self.components = msgspec.json.schema_components(
            self._all, ref_template=COMPONENTS + "{name}", schema_hook=_anything
        )
        self._references = dict(zip(self._all, references, strict=True))
        for struct in self._all:
            self._refine(struct)
        # Through JSON, so that an empty tuple that is a default becomes the list that it is there.
        self.components = msgspec.json.decode(msgspec.json.encode(dict(sorted(self.components.items()))))

    def reference(self, struct: Struct) -> Schema:
        """Return the schema that names the record."""
        return dict(self._references[struct])

    def properties(self, struct: Struct) -> tuple[dict[str, Schema], frozenset[str]]:
        """Return the schema of each field by its wire name, and the names of those that must be there."""
        described = self._described(struct)
        return described["properties"], frozenset(described.get("required", ()))

    def _described(self, struct: Struct) -> Schema:
        name = self._references[struct]["$ref"].removeprefix(COMPONENTS)
        described: Schema = self.components[name]
        return described

    def _refine(self, struct: Struct) -> None:
        described = self._described(struct)
        if "description" in described:
            described["description"] = _first_paragraph(described["description"])
        hints = typing.get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            time = _WIRE_TIME if struct.__module__.startswith(_WIRE_PACKAGE) else _MANAGEMENT_TIME
            _apply(hints[field.name], described["properties"][field.encode_name], time)


def plain_values(schema: Schema) -> Schema:
    """Return the schema of a value that travels as text, where there is no null."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    return {**branches[0], **rest}


def _anything(kind: type) -> Schema:
    if kind is object:
        return {"description": "Any JSON."}
    message = f"{kind.__qualname__} is nothing that JSON has"
    raise TypeError(message)


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _reachable(structs: Iterable[Struct]) -> list[Struct]:
    found: dict[Struct, None] = {}
    waiting = list(structs)
    while waiting:
        struct = waiting.pop()
        if struct in found:
            continue
        found[struct] = None
        for annotation in typing.get_type_hints(struct).values():
            waiting += _structs_in(annotation)
    return sorted(found, key=lambda struct: (struct.__name__, struct.__module__))


def _structs_in(annotation: Any) -> list[Struct]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [struct for argument in typing.get_args(annotation) for struct in _structs_in(argument)]


def _apply(annotation: Any, schema: Schema, time: Schema) -> None:
    """Write the hints of an annotation, and of what it is made of, into the schema of its values."""
    origin = typing.get_origin(annotation)
    if annotation is datetime:
        schema.update(time)
    elif origin is Annotated:
        inner, *extras = typing.get_args(annotation)
        _apply(inner, schema, time)
        for hints in extras:
            if isinstance(hints, Hints):
                _write(hints, schema)
    elif origin in (types.UnionType, typing.Union):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        branches = [branch for branch in schema.get("anyOf", [schema]) if branch.get("type") != "null"]
        for kind, branch in zip(kinds, branches, strict=False):
            _apply(kind, branch, time)
    elif origin is tuple and "items" in schema:
        _apply(typing.get_args(annotation)[0], schema["items"], time)


def _write(hints: Hints, schema: Schema) -> None:
    for branch in schema.get("anyOf", [schema]):
        limits: Mapping[str, object] = {
            "string": {"maxLength": hints.limit, "minLength": 1 if hints.filled else None},
            "array": {"maxItems": hints.limit},
            "integer": {"minimum": hints.least, "maximum": hints.most},
        }.get(branch.get("type", ""), {})
        branch.update({name: value for name, value in limits.items() if value is not None})
