"""What is noted of a device is one of three things: an exchange with it, a package's way to it, or a decision about it.

Notes say what happened in the words of the protocol and of the state machine; they are for a person who asks why, and
no verdict rests on them. No secret stands in one: the address of a package is noted without its token.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from firmcast.ids import DeviceId, DeviceUpgradeId

LONGEST_PAGE: Final = timedelta(seconds=10)
"""Notes of one page are no further apart; whoever reads pages in the order of their beginnings relies on it."""


class ExchangeKind(StrEnum):
    """What a device, or we, asked of the other side."""

    REGISTER = "register"
    UPDATE = "update"
    DEREGISTER = "deregister"
    EXPIRY = "expiry"
    """No exchange, but the lack of one: the lifetime of a registration has passed."""
    NOTIFICATION = "notification"
    SEND = "send"
    READ = "read"
    OBSERVE = "observe"
    WRITE = "write"
    EXECUTE = "execute"
    DISCOVER = "discover"


FROM_DEVICE: Final = frozenset(
    {
        ExchangeKind.REGISTER,
        ExchangeKind.UPDATE,
        ExchangeKind.DEREGISTER,
        ExchangeKind.EXPIRY,
        ExchangeKind.NOTIFICATION,
        ExchangeKind.SEND,
    }
)
"""What a device begins; the rest we do."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="exchange"):
    """One request and what came of it."""

    kind: ExchangeKind
    path: str = ""
    """Of the object, instance or resource, such as `/5/0/3`."""
    told: dict[str, str] = {}
    """What was said: values by their path, or words by their name, such as the lifetime of a registration."""
    answer: str = ""
    """The code of the answer, such as `2.05`; empty where none came, or where none is given."""
    failure: str = ""
    """Why there is no answer, in words."""
    seconds: float = 0.0
    """From the request to its answer, with all that was sent again; of the requests that we make."""
    order: str = ""
    """The kind of order that it was made for; empty for none."""
    format: int | None = None
    """The content format of what was read."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="transfer"):
    """How far a package has come, from its first block on; a later note of the same beginning takes its place."""

    way: str
    """`uri` when the device fetches it, `write` when we send it."""
    began_at: datetime
    """The first block, of this beginning or of the one before a restart."""
    last_at: datetime
    """The latest block."""
    blocks: int
    """Sent since `began_at`, those that were sent again too."""
    reached: int
    """Bytes up to the end of the furthest block of the present beginning."""
    total: int
    """Bytes of the package."""
    restarts: int = 0
    """How often the device began again at the first block."""
    block: int = 0
    """Bytes of the first block that the device fetched; 0 where it does not fetch."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="decision"):
    """What the state machine made of one input."""

    heard: str
    """The input, as a word: `registered`, `deadline_passed` …"""
    told: str = ""
    """What came with the input, in words."""
    before: str
    """The phase that it was heard in."""
    after: str
    """The phase that it led to; the same where it changed something else."""
    attempt: int = 1
    order: str = ""
    """The order that was given to the device; empty for none."""
    withdrawn: bool = False
    """True when the order that waited was taken back."""
    way_given_up: str = ""
    """The way for the package that was found not to work, such as `https`; empty for none."""
    why_given_up: str = ""
    """What the device answered to it, in words."""
    was_left: bool = False
    """True when it took an address of that way, and asked for nothing."""
    deadline_at: datetime | None = None
    """When it is looked at next, where that is new."""
    phase_ends_at: datetime | None = None
    """When the time of the phase is over, where that is new."""
    outcome: str = ""
    """The verdict: succeeded, failed, cancelled; empty while there is none."""
    description: str = ""
    """Why, in the words that applications are told."""


Noted = Exchange | Transfer | Decision


class Note(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a device's journal."""

    occurred_at: datetime
    what: Noted
    device_upgrade_id: DeviceUpgradeId | None = None
    """The upgrade that was under way."""


class DeviceNote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A note on its way to the journal."""

    device_id: DeviceId
    note: Note
