"""A Register or an Update is its query and its links; both are read leniently here and written strictly.

Source: OMA LwM2M Core 1.1 and 1.2, section 6.2 (Client Registration Interface).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from firmcast.lwm2m.errors import LinkFormatError, PathFormatError, RegistrationFormatError
from firmcast.lwm2m.link_format import Link, format_links, parse_links
from firmcast.lwm2m.paths import DEVICE, FIRMWARE_UPDATE, Path

DEFAULT_LIFETIME: Final = 86400
"""Seconds that a registration lives when the client names no lifetime."""

LONGEST_LIFETIME: Final = 2**31 - 1
"""Seconds that stand for a registration without end (`lt=0`), and to which longer lifetimes are cut."""

LONGEST_ENDPOINT_NAME: Final = 255
MOST_LINKS: Final = 1000

_ROOT_TYPE = "oma.lwm2m"
_FIRMWARE_LINK_ENDS = (b"/5/", b"/5>")
"""Of nearly every registration one: the others are read whole."""
_VERSION = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,2}")
_LONGEST_ROOT = 255
_LONGEST_REMEMBERED = 1024
_DIGITS = re.compile(r"[0-9]{1,10}")
_BINDING = re.compile(r"[A-Z]{1,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLinks:
    """The objects that a client says it has.

    `paths` are objects and instances in the order written; `versions` pairs object and `ver` where one was told;
    `root` is the path that all of them lie under, empty when they lie at the top; `content_formats` are the numbers
    of the root link's `ct`.
    """

    paths: tuple[Path, ...] = ()
    versions: tuple[tuple[int, str], ...] = ()
    root: str = ""
    content_formats: tuple[int, ...] = ()

    def has_object(self, object_id: int) -> bool:
        """Say whether the object, or an instance of it, is among the paths."""
        return any(path.object_id == object_id for path in self.paths)

    def version_of(self, object_id: int) -> str | None:
        """Return the version told of the object; None says nothing, many clients leave it out."""
        return dict(self.versions).get(object_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """What a client says when it registers.

    `lifetime` in seconds; `binding` without the queue flag, which is `queue_mode`; `sms_number` as written.
    """

    endpoint_name: str
    lifetime: int = DEFAULT_LIFETIME
    lwm2m_version: str = "1.0"
    binding: str = "U"
    queue_mode: bool = False
    sms_number: str | None = None
    objects: ObjectLinks = field(default_factory=ObjectLinks)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRequest:
    """What a client changes about its registration; None (or no queue flag) leaves the thing as it was."""

    lifetime: int | None = None
    binding: str | None = None
    queue_mode: bool | None = None
    sms_number: str | None = None
    objects: ObjectLinks | None = None


def parse_register(
    query: Iterable[str], payload: bytes, *, default_endpoint_name: str | None = None
) -> RegisterRequest:
    """Read a Register from its Uri-Query options and its link-format payload.

    `default_endpoint_name` is the name that the secure channel vouches for; LwM2M 1.1 lets a client leave `ep` out
    then. Raises RegistrationFormatError.
    """
    parameters = _parameters(query)
    endpoint_name = parameters.get("ep") or default_endpoint_name
    if not endpoint_name:
        raise RegistrationFormatError("ep, the endpoint client name, is missing")
    binding, queue_mode = _binding(parameters)
    return RegisterRequest(
        endpoint_name=_endpoint_name(endpoint_name),
        lifetime=_lifetime(parameters) or DEFAULT_LIFETIME,
        lwm2m_version=_version(parameters.get("lwm2m") or "1.0"),
        binding=binding or "U",
        queue_mode=queue_mode,
        sms_number=parameters.get("sms"),
        objects=parse_object_links(payload),
    )


def parse_update(query: Iterable[str], payload: bytes) -> UpdateRequest:
    """Read an Update from its Uri-Query options and its payload, empty where the objects stay.

    Raises RegistrationFormatError.
    """
    parameters = _parameters(query)
    binding, queue_mode = _binding(parameters)
    told = "b" in parameters or "Q" in parameters
    return UpdateRequest(
        lifetime=_lifetime(parameters),
        binding=binding,
        queue_mode=queue_mode if told else None,
        sms_number=parameters.get("sms"),
        objects=parse_object_links(payload) if payload.strip() else None,
    )


def parse_object_links(payload: bytes) -> ObjectLinks:
    """Read the links of a registration; those outside the object tree are passed over.

    Devices of one kind say the same, each time: what was read of late is remembered, unless it is long.

    Raises RegistrationFormatError.
    """
    return _remembered(payload) if len(payload) <= _LONGEST_REMEMBERED else _read_links(payload)


@lru_cache(maxsize=512)
def _remembered(payload: bytes) -> ObjectLinks:
    return _read_links(payload)


def _read_links(payload: bytes) -> ObjectLinks:
    try:
        links = parse_links(payload)
    except LinkFormatError as error:
        raise RegistrationFormatError(f"the payload is not link format: {error}") from error
    if len(links) > MOST_LINKS:
        raise RegistrationFormatError(f"more than {MOST_LINKS} links")
    root, content_formats = _root(links)
    paths: list[Path] = []
    versions: dict[int, str] = {}
    for link in links:
        path = _object_path(link.target, root)
        if path is None:
            continue
        paths.append(path)
        version = link.attribute("ver")
        if version is not None:
            versions[path.object_id] = version
    return ObjectLinks(paths=tuple(paths), versions=tuple(versions.items()), root=root, content_formats=content_formats)


def root_segments(payload: bytes) -> tuple[str, ...]:
    """Return the segments of the path that a client's objects lie under; none where they lie at the top.

    What lies under a path too long for one option is out of reach, and the path taken for none.

    Source: OMA LwM2M Core 1.1, section 6.2.1 (the alternate path).
    """
    if payload.startswith(b"</>") or _ROOT_TYPE.encode() not in payload:
        return ()
    try:
        root = parse_object_links(payload).root
    except RegistrationFormatError:
        return ()
    return tuple(root.strip("/").split("/")) if root and len(root.encode()) <= _LONGEST_ROOT else ()


def lists_no_firmware_object(payload: bytes) -> bool:
    """Tell whether a client's links, as far as they seem complete, have no Object 5 among them.

    Every client has Object 3; where that is missing too the links are a part, as some clients send them.
    """
    if any(end in payload for end in _FIRMWARE_LINK_ENDS):
        return False
    try:
        links = parse_object_links(payload)
    except RegistrationFormatError:
        return False
    return links.has_object(DEVICE) and not links.has_object(FIRMWARE_UPDATE)


def format_register_query(request: RegisterRequest) -> tuple[str, ...]:
    """Write the Uri-Query options of a Register, the queue flag in the way of the version spoken."""
    query = [
        f"ep={request.endpoint_name}",
        f"lt={request.lifetime}",
        f"lwm2m={request.lwm2m_version}",
        *_format_binding(request.binding, request.queue_mode, request.lwm2m_version),
    ]
    if request.sms_number is not None:
        query.append(f"sms={request.sms_number}")
    return tuple(query)


def format_update_query(request: UpdateRequest, lwm2m_version: str = "1.1") -> tuple[str, ...]:
    """Write the Uri-Query options of an Update: only what changes."""
    query: list[str] = []
    if request.lifetime is not None:
        query.append(f"lt={request.lifetime}")
    if request.binding is not None:
        query.extend(_format_binding(request.binding, request.queue_mode is True, lwm2m_version))
    if request.sms_number is not None:
        query.append(f"sms={request.sms_number}")
    return tuple(query)


def format_object_links(objects: ObjectLinks) -> bytes:
    """Write the payload of a registration."""
    links: list[Link] = []
    if objects.root or objects.content_formats:
        attributes: list[tuple[str, str | None]] = [("rt", _ROOT_TYPE)]
        if objects.content_formats:
            attributes.append(("ct", " ".join(map(str, objects.content_formats))))
        links.append(Link(target=objects.root or "/", attributes=tuple(attributes)))
    told: set[int] = set()
    for path in objects.paths:
        version = objects.version_of(path.object_id)
        if version is None or path.object_id in told:
            links.append(Link(target=f"{objects.root}{path}"))
        else:
            told.add(path.object_id)
            links.append(Link(target=f"{objects.root}{path}", attributes=(("ver", version),)))
    return format_links(links).encode()


def _parameters(query: Iterable[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for part in query:
        key, _, value = part.partition("=")
        if key in parameters:
            raise RegistrationFormatError(f"{key[:20]!r} appears twice")
        parameters[key] = value
    return parameters


def _endpoint_name(name: str) -> str:
    if len(name.encode(errors="replace")) > LONGEST_ENDPOINT_NAME:
        raise RegistrationFormatError(f"ep has more than {LONGEST_ENDPOINT_NAME} bytes")
    if not name.isprintable() or not name.strip():
        raise RegistrationFormatError("ep has characters that cannot be printed")
    return name


def _lifetime(parameters: dict[str, str]) -> int | None:
    text = parameters.get("lt")
    if text is None:
        return None
    if not _DIGITS.fullmatch(text):
        raise RegistrationFormatError(f"lt={text[:20]!r} is not a number of seconds")
    return min(int(text) or LONGEST_LIFETIME, LONGEST_LIFETIME)


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise RegistrationFormatError(f"lwm2m={text[:20]!r} is not a version")
    return text


def _binding(parameters: dict[str, str]) -> tuple[str | None, bool]:
    """LwM2M 1.0 hides the queue flag in `b=UQ`; from 1.1 it is a parameter of its own without a value."""
    text = parameters.get("b") or None
    if text is None:
        return None, "Q" in parameters
    if not _BINDING.fullmatch(text):
        raise RegistrationFormatError(f"b={text[:20]!r} is not a binding")
    return text.replace("Q", "") or "U", "Q" in parameters or "Q" in text


def _format_binding(binding: str, queue_mode: bool, lwm2m_version: str) -> tuple[str, ...]:
    if not queue_mode:
        return (f"b={binding}",)
    return (f"b={binding}Q",) if lwm2m_version == "1.0" else (f"b={binding}", "Q")


def _root(links: tuple[Link, ...]) -> tuple[str, tuple[int, ...]]:
    """Return the root path and the formats that its link lists.

    Some clients write `</>;ct=112` and no type, and some an attribute for each format.
    """
    top = None
    for link in links:
        types = link.attribute("rt")
        if types is not None and _ROOT_TYPE in types.split():
            return link.target.rstrip("/"), _formats(link)
        if link.target == "/" and top is None:
            top = link
    return "", () if top is None else _formats(top)


def _formats(link: Link) -> tuple[int, ...]:
    lists = (value or "" for name, value in link.attributes if name == "ct")
    return tuple(int(text) for listed in lists for text in listed.split() if _DIGITS.fullmatch(text))


def _object_path(target: str, root: str) -> Path | None:
    if not target.startswith(f"{root}/"):
        return None
    try:
        path = Path.parse(target.removeprefix(root))
    except PathFormatError:
        return None
    return path if path.depth <= 2 else None
