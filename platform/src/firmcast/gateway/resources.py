"""What a device told of itself becomes a report here, and nowhere else; a value that makes no sense was not told."""

from msgspec.structs import replace

from firmcast.lwm2m.errors import ContentFormatError
from firmcast.lwm2m.paths import (
    DELIVERY_METHOD,
    FIRMWARE_RESULT,
    FIRMWARE_STATE,
    FIRMWARE_VERSION,
    PACKAGE_URI,
    PROTOCOL_SUPPORT,
    Path,
)
from firmcast.lwm2m.values import ResourceValues, integer_at, integers_at, text_at
from firmcast.upgrades.model import ResourcesReported

NOTHING = ResourcesReported()
_LONGEST_TEXT = 255


def resources_of(values: ResourceValues) -> ResourcesReported:
    """Return the report of what was read, notified or sent; other resources than the report's are passed over."""
    return ResourcesReported(
        state=_integer(values, FIRMWARE_STATE),
        result=_integer(values, FIRMWARE_RESULT),
        firmware_version=_text(values, FIRMWARE_VERSION),
        package_uri=_text(values, PACKAGE_URI),
        protocols=_integers(values, PROTOCOL_SUPPORT),
        delivery_method=_integer(values, DELIVERY_METHOD),
    )


def merged(earlier: ResourcesReported, later: ResourcesReported) -> ResourcesReported:
    """Return both as one report; where both tell something the later one counts."""
    told = {name: getattr(later, name) for name in later.__struct_fields__}
    return replace(earlier, **{name: value for name, value in told.items() if value is not None})


def _integer(values: ResourceValues, path: Path) -> int | None:
    try:
        return integer_at(values, path)
    except ContentFormatError:
        return None


def _integers(values: ResourceValues, path: Path) -> tuple[int, ...] | None:
    try:
        return integers_at(values, path) or None
    except ContentFormatError:
        return None


def _text(values: ResourceValues, path: Path) -> str | None:
    try:
        text = text_at(values, path)
    except ContentFormatError:
        return None
    return None if text is None else text.rstrip("\x00")[:_LONGEST_TEXT]
