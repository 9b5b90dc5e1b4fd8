"""What an operator can set of how long history is kept."""

from datetime import timedelta

from pydantic import Field

from firmcast.settings.values import PositiveDuration, Section


class RetentionSettings(Section):
    """How long history is kept. What is older goes in small parts; nothing that is still needed does."""

    attempts: PositiveDuration = Field(default=timedelta(days=7), description="of the log of attempts to deliver")
    events: PositiveDuration = Field(
        default=timedelta(days=14),
        description="of events: for so long they can be replayed; one that is still to be delivered, is a dead letter,"
        " or is of an upgrade that has not ended stays",
    )
    dead_letters: PositiveDuration = Field(
        default=timedelta(days=90), description="of deliveries that were given up; then they are gone for good"
    )
    journal: PositiveDuration = Field(
        default=timedelta(days=7),
        description="of the journal: what passed between the gateway and each device, and what was decided about it",
    )
    replays: PositiveDuration = Field(default=timedelta(days=90), description="of replays that have ended")
    audit: PositiveDuration = Field(default=timedelta(days=365), description="of the audit")
    interval: PositiveDuration = Field(default=timedelta(minutes=15), description="between looks for what is too old")
