"""A path names an object, an instance, a resource or a resource instance by one to four numbers, and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from firmcast.lwm2m.errors import PathFormatError

HIGHEST_ID = 65534
"""Identifiers have 16 bits and 65535 is reserved (OMA LwM2M Core, Identifiers)."""


@dataclass(frozen=True, slots=True, order=True)
class Path:
    """A place in the tree of objects, such as /5/0/3; ordered as the tree is walked.

    `identifiers` holds one to four numbers of 0..65534: object, instance, resource, resource instance.
    """

    identifiers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.identifiers) <= 4:
            raise PathFormatError(f"a path has one to four numbers, not {len(self.identifiers)}")
        for identifier in self.identifiers:
            if not 0 <= identifier <= HIGHEST_ID:
                raise PathFormatError(f"{identifier} is outside 0..{HIGHEST_ID}")

    @classmethod
    def of(cls, *identifiers: int) -> Self:
        """Return the path of these numbers; raises PathFormatError."""
        return cls(identifiers)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `/5/0/3`, with or without the leading slash; raises PathFormatError."""
        return cls.from_segments(text.removeprefix("/").split("/"))

    @classmethod
    def from_segments(cls, segments: Iterable[str]) -> Self:
        """Read the segments of a request's Uri-Path options; raises PathFormatError."""
        return cls(tuple(map(_identifier, segments)))

    @property
    def segments(self) -> tuple[str, ...]:
        """The values of the Uri-Path options that ask for this path."""
        return tuple(map(str, self.identifiers))

    @property
    def object_id(self) -> int:
        return self.identifiers[0]

    @property
    def instance_id(self) -> int | None:
        return self._at(1)

    @property
    def resource_id(self) -> int | None:
        return self._at(2)

    @property
    def resource_instance_id(self) -> int | None:
        return self._at(3)

    @property
    def depth(self) -> int:
        """How many numbers the path has: 1 object, 2 instance, 3 resource, 4 resource instance."""
        return len(self.identifiers)

    @property
    def parent(self) -> "Path | None":
        """The place that this one lies in; None above an object."""
        return Path(self.identifiers[:-1]) if self.depth > 1 else None

    def child(self, identifier: int) -> "Path":
        """Return the place of this number below; raises PathFormatError below a resource instance."""
        return Path((*self.identifiers, identifier))

    def covers(self, other: "Path") -> bool:
        """Say whether `other` is this place or lies in it."""
        return other.identifiers[: self.depth] == self.identifiers

    def __str__(self) -> str:
        return "/" + "/".join(map(str, self.identifiers))

    def _at(self, position: int) -> int | None:
        return self.identifiers[position] if len(self.identifiers) > position else None


@lru_cache(maxsize=4096)
def _identifier(segment: str) -> int:
    if not (segment.isascii() and segment.isdigit() and len(segment) <= 5):
        raise PathFormatError(f"{segment[:20]!r} is not a number of a path")
    if segment[0] == "0" and segment != "0":
        raise PathFormatError(f"{segment!r} has a leading zero")
    return int(segment)


SERVER = 1
DEVICE = 3
FIRMWARE_UPDATE = 5

DEVICE_INSTANCE = Path.of(DEVICE, 0)
MANUFACTURER = Path.of(DEVICE, 0, 0)
MODEL_NUMBER = Path.of(DEVICE, 0, 1)
SERIAL_NUMBER = Path.of(DEVICE, 0, 2)
FIRMWARE_VERSION = Path.of(DEVICE, 0, 3)
REBOOT = Path.of(DEVICE, 0, 4)

FIRMWARE_INSTANCE = Path.of(FIRMWARE_UPDATE, 0)
PACKAGE = Path.of(FIRMWARE_UPDATE, 0, 0)
PACKAGE_URI = Path.of(FIRMWARE_UPDATE, 0, 1)
UPDATE = Path.of(FIRMWARE_UPDATE, 0, 2)
FIRMWARE_STATE = Path.of(FIRMWARE_UPDATE, 0, 3)
FIRMWARE_RESULT = Path.of(FIRMWARE_UPDATE, 0, 5)
PACKAGE_NAME = Path.of(FIRMWARE_UPDATE, 0, 6)
PACKAGE_VERSION = Path.of(FIRMWARE_UPDATE, 0, 7)
PROTOCOL_SUPPORT = Path.of(FIRMWARE_UPDATE, 0, 8)
DELIVERY_METHOD = Path.of(FIRMWARE_UPDATE, 0, 9)
CANCEL = Path.of(FIRMWARE_UPDATE, 0, 10)
SEVERITY = Path.of(FIRMWARE_UPDATE, 0, 11)
LAST_STATE_CHANGE_TIME = Path.of(FIRMWARE_UPDATE, 0, 12)
MAXIMUM_DEFER_PERIOD = Path.of(FIRMWARE_UPDATE, 0, 13)
