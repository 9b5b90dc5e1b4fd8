"""A client is recognised by what its registration shows until it was seen to behave; what it does is believed more."""

from typing import Final

from firmcast.devices.model import Registration
from firmcast.lwm2m.content import ContentFormat
from firmcast.lwm2m.errors import RegistrationFormatError
from firmcast.lwm2m.paths import FIRMWARE_UPDATE
from firmcast.lwm2m.registration import parse_object_links
from firmcast.profiles.model import Shown, Traits

_OBJECT_FORMATS: Final = tuple(
    map(
        int,
        (
            ContentFormat.TLV,
            ContentFormat.SENML_CBOR,
            ContentFormat.SENML_JSON,
            ContentFormat.LWM2M_CBOR,
            ContentFormat.LWM2M_JSON,
        ),
    )
)


def shown_by(registration: Registration) -> Shown:
    """Return what a registration shows of its client."""
    try:
        links = parse_object_links(registration.objects.encode())
    except RegistrationFormatError:
        links = None
    return Shown(
        lwm2m_version=registration.lwm2m_version,
        binding=registration.binding,
        queue_mode=registration.queue_mode,
        object_version="" if links is None else links.version_of(FIRMWARE_UPDATE) or "",
        content_formats=() if links is None else links.content_formats,
        objects=() if links is None else tuple(sorted({path.object_id for path in links.paths})),
    )


def expected_of(shown: Shown) -> Traits:
    """Return how a client is expected to behave of which only that is known."""
    listed = [number for number in shown.content_formats if number in _OBJECT_FORMATS]
    # Clients of 1.1 and later that list formats answer in those; the others answer in TLV, whatever they list.
    trusted = bool(listed) and shown.lwm2m_version not in ("", "1.0")
    return Traits(read_format=listed[0] if trusted else None)
