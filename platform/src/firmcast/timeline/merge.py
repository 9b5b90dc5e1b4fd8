"""Parts of several histories become one page: nothing is told before all that belongs in front of it is known.

Each part is in the order asked for and may be cut off; from where a part is cut off, nobody knows what else it has, so
the page ends there and the next one begins there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from firmcast.journal.model import Transfer
from firmcast.timeline.model import Cursor, Entry

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one source has to tell."""

    entries: Sequence[Entry]
    known_to: datetime | None = None
    """All that it has up to this moment, in the order asked for, is in it; None when that is all that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A page, and where the next one begins; None for the end."""

    entries: tuple[Entry, ...]
    next: Cursor | None


def cut_part(entries: Sequence[Entry], limit: int) -> Part:
    """Return the part that a source gave which was asked for `limit` entries at the most.

    One that gave as many may have others of the last one's moment.
    """
    if len(entries) < limit:
        return Part(entries=entries)
    return Part(entries=entries, known_to=entries[-1].at)


def merged(parts: Iterable[Part], *, newest_first: bool, limit: int, after: Cursor | None = None) -> Merged:
    """Return the first `limit` entries of all the parts behind `after`, as far as all of them are known."""
    parts = list(parts)
    edges = [part.known_to for part in parts if part.known_to is not None]
    edge = (max(edges) if newest_first else min(edges)) if edges else None
    found = _latest_transfers([entry for part in parts for entry in part.entries])
    found.sort(key=lambda entry: entry.order, reverse=newest_first)
    if after is not None:
        found = _behind(found, after, newest_first=newest_first)
    known = found if edge is None else _known(found, edge, newest_first=newest_first)
    if len(known) > limit:
        return Merged(entries=tuple(known[:limit]), next=_cursor(known[:limit], after))
    if edge is None:
        return Merged(entries=tuple(known), next=None)
    if known:
        # What is of the edge itself was not told.
        return Merged(entries=tuple(known), next=Cursor(moment=edge))
    # So much of one moment that no source could tell all of it: better some of it than a page that never comes.
    of_edge = [entry for entry in found if entry.at == edge]
    if len(of_edge) > limit:
        return Merged(entries=tuple(of_edge[:limit]), next=_cursor(of_edge[:limit], after))
    return Merged(entries=tuple(of_edge), next=Cursor(moment=edge - _INSTANT if newest_first else edge + _INSTANT))


def _known(found: Sequence[Entry], edge: datetime, *, newest_first: bool) -> list[Entry]:
    return list(takewhile(lambda entry: entry.at > edge if newest_first else entry.at < edge, found))


def _behind(found: Sequence[Entry], after: Cursor, *, newest_first: bool) -> list[Entry]:
    """Return what comes behind a cursor."""
    behind = [entry for entry in found if (entry.at < after.moment if newest_first else entry.at > after.moment)]
    of_moment = [entry for entry in found if entry.at == after.moment]
    return [*of_moment[after.passed :], *behind]


def _cursor(told: Sequence[Entry], after: Cursor | None) -> Cursor:
    last = told[-1].at
    passed = sum(1 for entry in told if entry.at == last)
    if after is not None and after.moment == last:
        passed += after.passed
    return Cursor(moment=last, passed=passed)


def _latest_transfers(found: Sequence[Entry]) -> list[Entry]:
    """Return the entries without those of transfers that a later entry tells more of."""
    latest: dict[tuple[object, datetime], Entry] = {}
    for entry in found:
        if isinstance(entry.what, Transfer):
            key = (entry.device_upgrade_id, entry.what.began_at)
            if key not in latest or latest[key].at <= entry.at:
                latest[key] = entry
    kept = {id(entry) for entry in latest.values()}
    return [entry for entry in found if not isinstance(entry.what, Transfer) or id(entry) in kept]
