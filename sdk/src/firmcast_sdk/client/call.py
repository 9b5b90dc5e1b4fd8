"""Pure: a call is a request record, a function that reads its answer, and a word on when it may be sent again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from firmcast_sdk.errors import UnexpectedAnswerError, make_northbound_error
from firmcast_sdk.wire import headers
from firmcast_sdk.wire.decoding import WireError, decode_struct
from firmcast_sdk.wire.encoding import encode_request
from firmcast_sdk.wire.errors import decode_error
from firmcast_sdk.wire.feed import FeedPage
from firmcast_sdk.wire.queries import encode_query

Result = TypeVar("Result")
Item = TypeVar("Item")
StructType = TypeVar("StructType", bound=msgspec.Struct)

LONGEST_RETRY_AFTER = 10**9  # seconds; more is nonsense, and would not fit a duration


class Repeat(Enum):
    """When a request whose answer was lost may be sent again."""

    ALWAYS = auto()
    """Twice does what once does: reading, changing to a given value, deleting, logging in."""
    WITH_KEY = auto()
    """As ALWAYS, thanks to an idempotency key that is sent along."""
    UNLESS_SENT = auto()
    """Only while it cannot have reached the platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, relative to the base URL; `query` without the question mark."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def with_headers(self, more: Mapping[str, str]) -> "Request":
        """The same with more headers."""
        return replace(self, headers={**self.headers, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer; the names of its headers are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def retry_after(self) -> timedelta | None:
        """What `Retry-After` asks for (RFC 9110, section 10.2.3); a date counts from the answer's own `Date`."""
        said = self.headers.get("retry-after", "").strip()
        if said.isascii() and said.isdigit():
            return timedelta(seconds=min(int(said[:12]), LONGEST_RETRY_AFTER))
        until, answered = _http_date(said), _http_date(self.headers.get("date", ""))
        return None if until is None or answered is None else max(until - answered, timedelta())


Parse = Callable[[Reply], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Result]):
    """A request and how its answer is read; `parse` raises NorthboundError or UnexpectedAnswerError."""

    request: Request
    parse: Parse[Result]
    repeat: Repeat
    parse_repeated: Parse[Result] | None = None
    """How the answer is read when an earlier try may have done the work already; None: as ever."""

    def with_headers(self, more: Mapping[str, str]) -> "Call[Result]":
        """The same with more headers in its request."""
        return replace(self, request=self.request.with_headers(more))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """One page of a list, the number of all when it was read, and how many the platform puts on a page."""

    items: tuple[Item, ...]
    total: int
    page_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging(Generic[Item]):
    """A list that comes in pages, numbered from 0; `page_size` is what is asked for."""

    page_size: int
    call: Callable[[int], Call[Page[Item]]]
    identify: Callable[[Item], str]
    """What tells one item from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """The application's events after a cursor, without end; None stands for where they begin unless it is said."""

    after: str | None
    call: Callable[[str | None], Call[FeedPage]]


class PageStruct(Protocol):
    """What every page on the wire has."""

    @property
    def total_count(self) -> int: ...
    @property
    def page_size(self) -> int: ...


PageType = TypeVar("PageType", bound=PageStruct)


def get(path: str, parse: Parse[Result], query: msgspec.Struct | None = None) -> Call[Result]:
    """A call that reads."""
    return Call(
        request=Request(method="GET", path=path, query=_query(query)),
        parse=parse,
        repeat=Repeat.ALWAYS,
    )


def post(
    path: str,
    body: msgspec.Struct,
    parse: Parse[Result],
    *,
    query: msgspec.Struct | None = None,
    repeat: Repeat = Repeat.UNLESS_SENT,
) -> Call[Result]:
    """A call that makes something."""
    return Call(request=_with_body("POST", path, body, query), parse=parse, repeat=repeat)


def put(path: str, body: msgspec.Struct, parse: Parse[Result], *, query: msgspec.Struct | None = None) -> Call[Result]:
    """A call that changes something to a given value."""
    return Call(request=_with_body("PUT", path, body, query), parse=parse, repeat=Repeat.ALWAYS)


def delete(path: str, *, gone: frozenset[str], query: msgspec.Struct | None = None) -> Call[None]:
    """A call that deletes; `gone` are the codes that say that there is nothing (any more)."""

    def nothing_or_gone(reply: Reply) -> None:
        refusal = refusal_in(reply)
        if refusal is None or refusal[0] not in gone:
            nothing(reply)

    return Call(
        request=Request(method="DELETE", path=path, query=_query(query)),
        parse=nothing,
        repeat=Repeat.ALWAYS,
        parse_repeated=nothing_or_gone,
    )


def fill(template: str, **ids: str) -> str:
    """The path with ids in place, each as one segment whatever it holds.

    Raises:
        ValueError: an id is empty or made of dots, and so would name another path.
    """
    for name, value in ids.items():
        if value in {"", ".", ".."}:
            raise ValueError(f"{name} must not be {value!r}")
    return template.format(**{name: quote(value, safe="") for name, value in ids.items()})


def reader(struct: type[StructType]) -> Parse[StructType]:
    """Reads an answer whose body is a record of type `struct`."""

    def read(reply: Reply) -> StructType:
        _raise_refusal(reply)
        try:
            return decode_struct(struct, reply.body)
        except WireError as error:
            raise UnexpectedAnswerError(str(error), status=reply.status, retry_after=reply.retry_after) from error

    return read


def page_reader(struct: type[StructType], cut: Callable[[StructType], Page[Item]]) -> Parse[Page[Item]]:
    """Reads an answer whose body is a page; `cut` takes its items out."""
    read = reader(struct)
    return lambda reply: cut(read(reply))


def page_of(page: PageStruct, items: tuple[Item, ...]) -> Page[Item]:
    """The page that a record of the wire holds."""
    return Page(items=items, total=page.total_count, page_size=page.page_size)


def nothing(reply: Reply) -> None:
    """Reads an answer that says no more than that all went well; a page that is not JSON says something else."""
    _raise_refusal(reply)
    if reply.body.strip():
        try:
            msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnexpectedAnswerError("the body is not JSON", status=reply.status) from error


def refusal_in(reply: Reply) -> tuple[str, str] | None:
    """Code and description of an error body, which may come with any status, 200 included."""
    if reply.status < 300 and b"error_code" not in reply.body:
        return None
    try:
        refusal = decode_error(reply.body)
    except WireError:
        return None
    return refusal.error_code, refusal.error_desc


def _raise_refusal(reply: Reply) -> None:
    """Raise what the platform refused with, if it did."""
    refusal = refusal_in(reply)
    if refusal is not None:
        code, description = refusal
        raise make_northbound_error(
            code=code,
            description=description,
            status=reply.status,
            reason=reply.headers.get(headers.REASON, ""),
            retry_after=reply.retry_after,
        )
    if reply.status >= 300:
        raise UnexpectedAnswerError("the error has no error_code", status=reply.status, retry_after=reply.retry_after)


def _with_body(method: str, path: str, body: msgspec.Struct, query: msgspec.Struct | None) -> Request:
    return Request(
        method=method,
        path=path,
        query=_query(query),
        headers={headers.CONTENT_TYPE: headers.JSON},
        body=encode_request(body),
    )


def _query(query: msgspec.Struct | None) -> str:
    return "" if query is None else encode_query(query)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
