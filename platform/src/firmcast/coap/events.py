"""What the engine tells the application is one of these records, and the application hears nothing in any other way.

Peers are tuples as the driver gave them; tokens are 0 to 8 bytes; bodies are whole, blocks having been put together.
They are msgspec structs, not dataclasses: one is made for every datagram, and a frozen dataclass costs six times as
much.
"""

from enum import Enum
from typing import Any, NewType, TypeAlias

import msgspec

from firmcast.coap.message import Message
from firmcast.coap.options import Options

Peer: TypeAlias = tuple[Any, ...]
ObservationId = NewType("ObservationId", int)


class FailureReason(Enum):
    """Why a request of ours got no response."""

    TIMEOUT = "timeout"
    """No acknowledgement after the last retransmission, or no response in time after it."""
    RESET = "reset"
    """The peer answered by a reset."""
    UNREACHABLE = "unreachable"
    """The network said that nobody listens there."""
    TOO_LARGE = "too_large"
    """The response's body passes the limit."""
    BLOCK_FAILED = "block_failed"
    """The blocks of a transfer never made one body."""
    NOT_IN_BLOCKS = "not_in_blocks"
    """The peer took the first of several blocks for the whole: it does not know the option, and does not refuse it."""
    CANCELLED = "cancelled"
    """The peer was forgotten or the request was cancelled."""


class EndReason(Enum):
    """Why an observation ended."""

    CANCELLED = "cancelled"
    """The observer asked for it, by a GET with Observe 1 (RFC 7641 section 3.6)."""
    REPLACED = "replaced"
    """The observer registered again with the same token."""
    RESET = "reset"
    """The observer answered a notification by a reset."""
    TIMEOUT = "timeout"
    """A confirmable notification was never acknowledged."""
    UNREACHABLE = "unreachable"
    """The network said that nobody listens there."""
    REFUSED = "refused"
    """The observed side answered or notified with an error, or without the Observe option."""
    FORGOTTEN = "forgotten"
    """The application forgot the peer."""


class RequestReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A peer asks; the application answers with `respond`, once. `payload` is the whole body."""

    peer: Peer
    method: int
    token: bytes
    options: Options
    payload: bytes
    observe: int | None
    """0: the peer wants to observe (`accept_observation`); 1: it stopped, which the engine has noted; None: neither."""
    message: Message
    """The message that completed the request: its last block. Has the accessors (`uri_path`, `accept` …)."""
    body_size: int = 0
    """Bytes of the whole body, also where an upload sink took them and `payload` is empty."""


class ResponseReceived(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request of ours, of any response code. `payload` is the whole body."""

    peer: Peer
    token: bytes
    code: int
    options: Options
    payload: bytes
    message: Message
    """The message that brought the response, its first block where it had several."""
    observing: bool = False
    """The peer accepted an observation: notifications with this token follow."""
    body_size: int = 0
    """Bytes of the whole body, also where a sink took them and `payload` is empty."""


class NotificationReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A resource we observe changed. Only fresh ones are told, in order (RFC 7641 section 3.4)."""

    peer: Peer
    token: bytes
    code: int
    options: Options
    payload: bytes
    message: Message
    sequence: int


class NotificationUnmatched(msgspec.Struct, frozen=True, kw_only=True):
    """A notification of no observation we know: `adopt_observation` it now, or the engine resets it shortly after."""

    peer: Peer
    token: bytes
    code: int
    options: Options
    payload: bytes
    message: Message
    sequence: int


class StrayReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A peer answers, acknowledges or resets what was not sent from here, or not lately."""

    peer: Peer


class RequestFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A request of ours ended without a response."""

    peer: Peer
    token: bytes
    reason: FailureReason


class TransferProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A body of ours is under way by Block1: `sent` of `total` bytes are acknowledged."""

    peer: Peer
    token: bytes
    sent: int
    total: int


class DownloadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A response's body arrives by Block2: `received` bytes so far, of `total` where the peer said it."""

    peer: Peer
    token: bytes
    received: int
    total: int | None


class UploadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's body arrives by Block1: `received` bytes so far, of `total` where the peer said it."""

    peer: Peer
    method: int
    uri_path: tuple[str, ...]
    received: int
    total: int | None


class ObservationEnded(msgspec.Struct, frozen=True, kw_only=True):
    """An observation ended. On the observed side `observation` names it; on the observer's it is None."""

    peer: Peer
    token: bytes
    reason: EndReason
    observation: ObservationId | None = None


Event: TypeAlias = (
    RequestReceived
    | ResponseReceived
    | NotificationReceived
    | NotificationUnmatched
    | StrayReceived
    | RequestFailed
    | TransferProgress
    | DownloadProgress
    | UploadProgress
    | ObservationEnded
)
