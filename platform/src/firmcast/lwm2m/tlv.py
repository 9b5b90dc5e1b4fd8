"""The TLV format (11542): entries of type, identifier, length and value; what they hold is bytes without a type.

Source: OMA LwM2M Core 1.1, section 7.4.3.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, unique
from itertools import groupby
from typing import assert_never

from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import HIGHEST_ID, Path
from firmcast.lwm2m.values import ResourceValues, Value

LONGEST_VALUE = 2**24 - 1
"""Bytes that the length field can count."""

_WIDE_IDENTIFIER = 0x20


@unique
class EntryKind(IntEnum):
    """The two highest bits of the type byte."""

    OBJECT_INSTANCE = 0
    RESOURCE_INSTANCE = 1
    MULTIPLE_RESOURCE = 2
    RESOURCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry; `content` is its raw value, which for an object instance or a multiple resource is entries again."""

    kind: EntryKind
    identifier: int
    content: bytes


def decode_tlv(payload: bytes, base: Path) -> ResourceValues:
    """Read the answer to a read of `base`; every value is bytes.

    An answer to a read of a whole object may leave the object instance out when there is only instance 0.
    Raises ContentFormatError.
    """
    values: ResourceValues = {}
    for entry in read_entries(payload):
        _place(entry, base, values)
    return values


def encode_tlv(values: ResourceValues, base: Path) -> bytes:
    """Write `values`, all of them in `base`, as the answer to a read of `base`. Raises ContentFormatError."""
    _require_inside(values, base)
    paths = sorted(values)
    if base.depth > 1:
        return _encode_resources(values, paths, base)
    parts: list[bytes] = []
    for identifiers, members in groupby(paths, key=lambda path: path.identifiers[:2]):
        content = _encode_resources(values, list(members), Path(identifiers))
        parts.append(write_entry(EntryKind.OBJECT_INSTANCE, identifiers[1], content))
    return b"".join(parts)


def read_entries(payload: bytes) -> list[Entry]:
    """Split `payload` into its entries, one level deep. Raises ContentFormatError."""
    entries: list[Entry] = []
    position = 0
    try:
        while position < len(payload):
            head = payload[position]
            position += 1
            width = 2 if head & _WIDE_IDENTIFIER else 1
            identifier = int.from_bytes(_take(payload, position, width), "big")
            position += width
            length_width = head >> 3 & 3
            length = head & 7
            if length_width:
                length = int.from_bytes(_take(payload, position, length_width), "big")
                position += length_width
            content = _take(payload, position, length)
            position += length
            entries.append(Entry(kind=EntryKind(head >> 6), identifier=_legal(identifier), content=content))
    except IndexError as error:
        raise ContentFormatError(f"the payload ends inside an entry, at byte {position}") from error
    return entries


def write_entry(kind: EntryKind, identifier: int, content: bytes) -> bytes:
    """Write one entry in its shortest form. Raises ContentFormatError when it is too long for the format."""
    length = len(content)
    if length > LONGEST_VALUE:
        raise ContentFormatError(f"{length} bytes are more than an entry holds")
    head = kind << 6
    width = 1
    if identifier > 0xFF:
        head |= _WIDE_IDENTIFIER
        width = 2
    length_width = 0 if length < 8 else (length.bit_length() + 7) // 8
    head |= length_width << 3 if length_width else length
    lengths = length.to_bytes(length_width, "big") if length_width else b""
    return bytes((head,)) + identifier.to_bytes(width, "big") + lengths + content


def _take(payload: bytes, position: int, length: int) -> bytes:
    if position + length > len(payload):
        raise IndexError
    return payload[position : position + length]


def _legal(identifier: int) -> int:
    if identifier > HIGHEST_ID:
        raise ContentFormatError(f"{identifier} is not an identifier")
    return identifier


def _place(entry: Entry, base: Path, values: ResourceValues) -> None:
    match entry.kind:
        case EntryKind.OBJECT_INSTANCE:
            instance = _step(base, 1, entry.identifier)
            for member in read_entries(entry.content):
                if member.kind not in (EntryKind.RESOURCE, EntryKind.MULTIPLE_RESOURCE):
                    raise ContentFormatError("an object instance holds resources only")
                _place_resource(member, instance, base, values)
        case EntryKind.RESOURCE | EntryKind.MULTIPLE_RESOURCE:
            instance = Path(base.identifiers[:2]) if base.depth > 1 else base.child(0)
            _place_resource(entry, instance, base, values)
        case EntryKind.RESOURCE_INSTANCE:
            if base.depth < 3:
                raise ContentFormatError("a resource instance stands outside of its resource")
            _put(values, base, _step(base, 3, entry.identifier), entry.content)
        case _:
            assert_never(entry.kind)


def _place_resource(entry: Entry, instance: Path, base: Path, values: ResourceValues) -> None:
    resource = instance.child(entry.identifier)
    if entry.kind is EntryKind.RESOURCE:
        _put(values, base, resource, entry.content)
        return
    for member in read_entries(entry.content):
        if member.kind is not EntryKind.RESOURCE_INSTANCE:
            raise ContentFormatError("a multiple resource holds resource instances only")
        _put(values, base, resource.child(member.identifier), member.content)


def _put(values: ResourceValues, base: Path, path: Path, content: bytes) -> None:
    # A single-instance resource may be read by its instance's path and answered as the resource itself.
    if not (base.covers(path) or path.covers(base)):
        raise ContentFormatError(f"{path} does not lie in {base}")
    values[path] = content


def _step(base: Path, depth: int, identifier: int) -> Path:
    if base.depth < depth:
        raise ContentFormatError(f"an entry of {base} stands at the wrong level")
    return Path((*base.identifiers[:depth], identifier))


def _require_inside(values: ResourceValues, base: Path) -> None:
    for path in values:
        if path.depth < 3 or not base.covers(path):
            raise ContentFormatError(f"{path} is not a resource in {base}")


def _encode_resources(values: ResourceValues, paths: list[Path], base: Path) -> bytes:
    if base.depth == 4:
        return b"".join(
            write_entry(EntryKind.RESOURCE_INSTANCE, path.identifiers[3], _encode_value(values[path])) for path in paths
        )
    parts: list[bytes] = []
    for identifiers, group in groupby(paths, key=lambda path: path.identifiers[:3]):
        members = list(group)
        if members[0].depth == 3:
            if len(members) > 1:
                raise ContentFormatError(f"{members[0]} has a value and instances")
            parts.append(write_entry(EntryKind.RESOURCE, identifiers[2], _encode_value(values[members[0]])))
        else:
            content = b"".join(
                write_entry(EntryKind.RESOURCE_INSTANCE, path.identifiers[3], _encode_value(values[path]))
                for path in members
            )
            parts.append(write_entry(EntryKind.MULTIPLE_RESOURCE, identifiers[2], content))
    return b"".join(parts)


def _encode_value(value: Value) -> bytes:
    match value:
        case bool():
            return b"\x01" if value else b"\x00"
        case int():
            for width in (1, 2, 4, 8):
                if -(1 << 8 * width - 1) <= value < 1 << 8 * width - 1:
                    return value.to_bytes(width, "big", signed=True)
            raise ContentFormatError(f"{value} needs more than 64 bits")
        case float():
            return struct.pack(">d", value)
        case str():
            return value.encode()
        case bytes():
            return value
