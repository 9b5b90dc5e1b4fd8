"""What an operator can set of one node among several."""

from datetime import timedelta

from pydantic import Field

from firmcast.settings.values import PositiveDuration, Section


class NodeSettings(Section):
    """Of one node of several that share a PostgreSQL database."""

    name: str = Field(default="", description="for people; empty for the host's name and the number of the process")
    lease_life: PositiveDuration = Field(
        default=timedelta(seconds=5), description="a node that is not heard of for so long is given up by the others"
    )
