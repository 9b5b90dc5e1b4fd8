"""An audit entry says who did what to what, and when; it is written with the change or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from firmcast.ids import ApplicationId


class ActorKind(StrEnum):
    """Who can change something."""

    ADMINISTRATOR = "administrator"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Whoever made a change."""

    kind: ActorKind
    name: str
    """The name of an administrator's token, or the id of an application."""


def administrator(name: str) -> Actor:
    """Return the administrator who shows the token of this name."""
    return Actor(kind=ActorKind.ADMINISTRATOR, name=name)


def application(application_id: ApplicationId) -> Actor:
    """Return an application as an actor."""
    return Actor(kind=ActorKind.APPLICATION, name=application_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change that was made."""

    entry_id: int
    """Grows with time."""
    made_at: datetime
    actor: Actor
    action: str
    """Thing and verb, such as `application.create`."""
    subject: str
    """The id of what was changed."""
    details: Mapping[str, str]
    """What else tells the change; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are wanted; what is empty or None matches all."""

    actor: str = ""
    action: str = ""
    """A whole action, or its thing with the full stop: `application.`."""
    subject: str = ""
    made_from: datetime | None = None
    made_until: datetime | None = None
