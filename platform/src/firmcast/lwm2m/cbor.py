"""CBOR as LwM2M has it beside SenML: a value by itself (60), and values in maps by the numbers of the paths (11544).

Source: OMA LwM2M Core 1.2, section 7.4.
"""

from collections.abc import Mapping
from typing import Any, Final, Never

import cbor2

from firmcast.lwm2m.errors import ContentFormatError, PathFormatError
from firmcast.lwm2m.paths import Path
from firmcast.lwm2m.values import ResourceValues, Value

MOST_VALUES: Final = 10_000
_DEEPEST_PATH: Final = 4

# LwM2M has no use for tags, and cbor2 would build objects of any size from some of them.
_KNOWN_TAGS = (*(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),)


def load_cbor(payload: bytes, *, deepest: int) -> Any:
    """Return what `payload` holds: nothing but plain values, arrays and maps, so deep at the most.

    Raises ContentFormatError.
    """
    try:
        return cbor2.loads(
            payload,
            max_depth=deepest,
            tag_hook=_refuse_tag,
            semantic_decoders=dict.fromkeys(_KNOWN_TAGS, _refuse_known_tag),
        )
    except ContentFormatError:
        raise
    except (cbor2.CBORDecodeError, ValueError, OverflowError, MemoryError, RecursionError, TypeError) as error:
        raise ContentFormatError(f"not CBOR: {type(error).__name__}") from error


def decode_cbor(payload: bytes, base: Path) -> ResourceValues:
    """Read one value, that of the resource `base`. Raises ContentFormatError."""
    return {base: _value(load_cbor(payload, deepest=1))}


def decode_lwm2m_cbor(payload: bytes, base: Path | None) -> ResourceValues:
    """Read an LwM2M-CBOR answer to a read of `base`, or with None one that may name any place.

    A key is a number of the path, or an array of several. Raises ContentFormatError.
    """
    values: ResourceValues = {}
    _gather(load_cbor(payload, deepest=2 * _DEEPEST_PATH), (), base, values)
    return values


def _gather(found: Any, above: tuple[int, ...], base: Path | None, values: ResourceValues) -> None:
    if not isinstance(found, Mapping):
        if not above:
            raise ContentFormatError("LwM2M CBOR is a map")
        if len(values) >= MOST_VALUES:
            raise ContentFormatError(f"more than {MOST_VALUES} values")
        values[_place(above, base)] = _value(found)
        return
    for key, inner in found.items():
        numbers = (*above, *key) if isinstance(key, list | tuple) else (*above, key)
        if len(numbers) > _DEEPEST_PATH or len(numbers) == len(above):
            raise ContentFormatError("a key leads to no place in the tree")
        _gather(inner, numbers, base, values)


def _place(numbers: tuple[Any, ...], base: Path | None) -> Path:
    if not all(type(number) is int for number in numbers):
        raise ContentFormatError("a key is not a number of a path")
    try:
        path = Path(numbers)
    except PathFormatError as error:
        raise ContentFormatError(f"a key is no path: {error}") from error
    if path.depth < 3 or not (base is None or base.covers(path)):
        raise ContentFormatError(f"{path} is not a resource in {base}")
    return path


def _value(found: Any) -> Value:
    if isinstance(found, bool | int | float | str | bytes):
        return found
    raise ContentFormatError(f"a value is no {type(found).__name__}")


def _refuse_tag(_decoder: Any, _tag: Any) -> Never:
    raise ContentFormatError("a value of LwM2M has no tag")


def _refuse_known_tag(_decoder: Any) -> Never:
    raise ContentFormatError("a value of LwM2M has no tag")
