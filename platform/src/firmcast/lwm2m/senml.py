"""SenML in both its spellings, CBOR (112) and JSON (110), and in its draft, the JSON of LwM2M 1.0 (11543).

All of them are records whose names are the paths of resources. Sources: RFC 8428; OMA LwM2M Core 1.1, sections 7.4.4
and 7.4.5; OMA LwM2M Core 1.0, section 6.4.4.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cbor2
import msgspec

from firmcast.lwm2m.cbor import load_cbor
from firmcast.lwm2m.errors import ContentFormatError, PathFormatError
from firmcast.lwm2m.paths import Path
from firmcast.lwm2m.values import ResourceValues, Value

MOST_RECORDS = 10_000
_DEEPEST_NESTING = 4

# Labels of RFC 8428, table 4; "vlo" (object link) is LwM2M's own.
_BASE_NAME, _BASE_TIME, _NAME, _VALUE, _TEXT, _BOOLEAN, _TIME, _DATA = -2, -3, 0, 2, 3, 4, 6, 8
_OBJECT_LINK = "vlo"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    name: str
    time: float
    value: Value | None


class _JsonRecord(msgspec.Struct):
    bn: str | None = None
    bt: float | None = None
    n: str = ""
    t: float = 0.0
    v: int | float | None = None
    vs: str | None = None
    vb: bool | None = None
    vd: str | None = None
    vlo: str | None = None


class _DraftRecord(msgspec.Struct):
    n: str = ""
    t: float = 0.0
    v: int | float | None = None
    sv: str | None = None
    bv: bool | None = None
    ov: str | None = None


class _DraftPack(msgspec.Struct):
    e: list[_DraftRecord]
    bn: str | None = None
    bt: float = 0.0


_json_decoder = msgspec.json.Decoder(list[_JsonRecord])
_draft_decoder = msgspec.json.Decoder(_DraftPack)


def decode_senml_cbor(payload: bytes, base: Path | None) -> ResourceValues:
    """Read a SenML-CBOR answer to a read of `base`, or with None one that may name any place.

    Of several values of one path the latest counts. Raises ContentFormatError.
    """
    pack = load_cbor(payload, deepest=_DEEPEST_NESTING)
    if not isinstance(pack, list):
        raise ContentFormatError("a SenML pack is an array")
    return _collect(_cbor_records(pack), base)


def decode_senml_json(payload: bytes, base: Path | None) -> ResourceValues:
    """Read a SenML-JSON answer to a read of `base`, or with None one that may name any place.

    Of several values of one path the latest counts. Raises ContentFormatError.
    """
    try:
        pack = _json_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ContentFormatError(f"not SenML-JSON: {error}") from error
    return _collect(_json_records(pack), base)


def decode_lwm2m_json(payload: bytes, base: Path) -> ResourceValues:
    """Read an answer in the JSON of LwM2M 1.0 to a read of `base`. Raises ContentFormatError.

    Names are taken for paths below the base name, whether it ends in a slash, as it should, or not; where there is none
    they lie below `base`. Opaque values stay the text that they are written in.
    """
    try:
        pack = _draft_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ContentFormatError(f"not the JSON of LwM2M 1.0: {error}") from error
    return _collect(_draft_records(pack, str(base) if pack.bn is None else pack.bn), base)


def encode_senml_cbor(values: ResourceValues, base: Path | None) -> bytes:
    """Write `values`, all of them in `base`, as one pack with `base` as its base name.

    With None they may lie anywhere, and each is named by its whole path. Raises ContentFormatError.
    """
    pack: list[dict[int | str, Value]] = []
    for path in sorted(values):
        if base is not None and not base.covers(path):
            raise ContentFormatError(f"{path} does not lie in {base}")
        record: dict[int | str, Value] = {} if pack or base is None else {_BASE_NAME: str(base)}
        name = str(path).removeprefix("" if base is None else str(base))
        if name:
            record[_NAME] = name
        value = values[path]
        record[_label(value)] = value
        pack.append(record)
    return cbor2.dumps(pack)


def _label(value: Value) -> int:
    match value:
        case bool():
            return _BOOLEAN
        case int() | float():
            return _VALUE
        case str():
            return _TEXT
        case bytes():
            return _DATA


def _collect(records: Iterable[_Record], base: Path | None) -> ResourceValues:
    values: ResourceValues = {}
    times: dict[Path, float] = {}
    for count, record in enumerate(records):
        if count >= MOST_RECORDS:
            raise ContentFormatError(f"more than {MOST_RECORDS} records")
        if record.value is None:
            continue
        try:
            path = Path.parse(record.name)
        except PathFormatError as error:
            raise ContentFormatError(f"a record's name is no path: {error}") from error
        if path.depth < 3 or not (base is None or base.covers(path)):
            raise ContentFormatError(f"{path} is not a resource in {base}")
        if record.time >= times.get(path, float("-inf")):
            times[path] = record.time
            values[path] = record.value
    return values


def _cbor_records(pack: list[Any]) -> Iterable[_Record]:
    base_name, base_time = "", 0.0
    for record in pack:
        if not isinstance(record, Mapping):
            raise ContentFormatError("a record is a map")
        base_name = _member(record, _BASE_NAME, str, base_name)
        base_time = _number(record, _BASE_TIME, base_time)
        yield _Record(
            name=base_name + _member(record, _NAME, str, ""),
            time=base_time + _number(record, _TIME, 0.0),
            value=_cbor_value(record),
        )


def _cbor_value(record: Mapping[Any, Any]) -> Value | None:
    number = record.get(_VALUE)
    if isinstance(number, int | float) and not isinstance(number, bool):
        return number
    if number is not None:
        raise ContentFormatError("v is not a number")
    for label, kind in ((_TEXT, str), (_BOOLEAN, bool), (_DATA, bytes), (_OBJECT_LINK, str)):
        if label in record:
            value: Value = _member(record, label, kind, kind())
            return value
    return None


def _member(record: Mapping[Any, Any], label: int | str, kind: type, default: Any) -> Any:
    value = record.get(label, default)
    if not isinstance(value, kind):
        raise ContentFormatError(f"label {label} holds no {kind.__name__}")
    return value


def _number(record: Mapping[Any, Any], label: int, default: float) -> float:
    value = record.get(label, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContentFormatError(f"label {label} holds no number")
    return float(value)


def _json_records(pack: list[_JsonRecord]) -> Iterable[_Record]:
    base_name, base_time = "", 0.0
    for record in pack:
        base_name = base_name if record.bn is None else record.bn
        base_time = base_time if record.bt is None else record.bt
        yield _Record(name=base_name + record.n, time=base_time + record.t, value=_json_value(record))


def _draft_records(pack: _DraftPack, base_name: str) -> Iterable[_Record]:
    for record in pack.e:
        segments = (base_name.strip("/"), record.n.strip("/"))
        values = (record.v, record.sv, record.bv, record.ov)
        yield _Record(
            name="/" + "/".join(filter(None, segments)),
            time=pack.bt + record.t,
            value=next((value for value in values if value is not None), None),
        )


def _json_value(record: _JsonRecord) -> Value | None:
    if record.vd is None:
        return next((value for value in (record.v, record.vs, record.vb, record.vlo) if value is not None), None)
    try:
        return base64.b64decode(record.vd + "=" * (-len(record.vd) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ContentFormatError("vd is not base64url") from error
