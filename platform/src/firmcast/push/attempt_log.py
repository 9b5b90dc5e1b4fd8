"""Attempts that failed are logged, in one line each; those that delivered stand in the store alone."""

import structlog

from firmcast.push.answer import Answer
from firmcast.push.lanes import Sendable
from firmcast.push.model import Delivery
from firmcast.push.retry import Blocked, Dead, RetryAt

_log = structlog.get_logger()


def log_failure(sendable: Sendable[Delivery], answer: Answer, verdict: RetryAt | Dead | Blocked) -> None:
    """Log an attempt and what was decided about its delivery."""
    if isinstance(verdict, RetryAt):
        log, outcome = _log.info, {"outcome": "again", "at": verdict.at.isoformat()}
    else:
        log, outcome = _log.warning, {"outcome": "blocked" if isinstance(verdict, Blocked) else "dead"}
    log(
        "push.attempted",
        message_id=sendable.row.message_id,
        device_id=sendable.row.device_id,
        subscription_id=sendable.row.subscription_id,
        attempt=sendable.attempt,
        probe=sendable.probe,
        status=answer.status,
        detail=answer.detail,
        seconds=round(answer.duration, 3),
        reason=verdict.reason.value,
        **outcome,
    )
