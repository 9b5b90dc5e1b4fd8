"""What an entry's line was made of, for programs: nothing that is secret is among it."""

from typing import Any

import msgspec

from firmcast.events.model import Event, type_of
from firmcast.journal.model import Decision, Exchange, Transfer
from firmcast.push.model import Attempt, DeadLetter
from firmcast.timeline.model import Entry
from firmcast.upgrades.model import DeviceUpgrade


def details(entry: Entry) -> dict[str, Any]:
    """Return the members of an entry as JSON has them."""
    what = entry.what
    match what:
        case Exchange() | Transfer() | Decision():
            members: dict[str, Any] = msgspec.to_builtins(what)
            del members["is"]
            return members
        case DeviceUpgrade():
            return {"task_id": what.task_id, "package_id": what.package_id, "target_version": what.target_version}
        case Event():
            return {
                "event_id": what.event_id,
                "message_id": what.message_id,
                "sequence": what.sequence,
                "event_type": type_of(what.fact).value,
                "synthesised": what.synthesised,
                "fact": msgspec.to_builtins(what.fact),
            }
        case Attempt():
            return {
                "attempt_id": what.attempt_id,
                "event_id": what.event_id,
                "subscription_id": what.subscription_id,
                "number": what.number,
                "seconds": what.duration.total_seconds(),
                "status": what.status,
                "failure": None if what.failure is None else what.failure.value,
                "detail": what.detail,
                "address": what.address,
            }
        case DeadLetter():
            return {
                "event_id": what.event_id,
                "subscription_id": what.subscription_id,
                "sequence": what.sequence,
                "attempts": what.attempts,
                "reason": what.reason.value,
                "failure": what.failure.value,
            }
