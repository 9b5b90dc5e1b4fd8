"""An administrator is whoever holds a token; the token has a name, allows some scopes, and may end by itself."""

from dataclasses import dataclass
from datetime import datetime

from firmcast.ids import AdministratorTokenId
from firmcast.rest.authentication import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministratorToken:
    """What is kept of a token: all but itself."""

    token_id: AdministratorTokenId
    name: str
    """Unique among the tokens that there are; the audit knows its holder by it."""
    scopes: frozenset[Scope]
    created_at: datetime
    created_by: str
    """The name of the token that it was made with."""
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute: it is not written at every call."""
