"""Nodes tell each other of refusals that may mean that a callback is gone: its devices are spread over them.

Each counts what all have heard (`gone_watch.py`), so whichever hears the last of the row ends the calls. What is only
told may be lost or come late; then a few attempts more are made, as after a restart.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec

from firmcast.db.port import Channel, Transaction
from firmcast.db.sharing import SharedChannel
from firmcast.ids import DeviceId, SubscriptionId
from firmcast.push.gone_watch import Hearsay, Said

CALLBACKS_DOUBTED: Final = Channel("callbacks_doubted")
"""Announced with each Doubt that a node has, or has no longer."""

DOUBTED_ELSEWHERE: Final = Channel("callbacks_doubted_elsewhere")
"""Told with the Doubts of other nodes."""


class Doubt(NamedTuple):
    """What a node has heard of a callback, by one of its subscriptions."""

    subscription_id: SubscriptionId
    generation: int
    """Of the subscription: what was heard before it was wanted anew says nothing."""

    device_id: DeviceId
    said: Said
    asked_at: Annotated[datetime, msgspec.Meta(tz=True)]

    @property
    def hearsay(self) -> Hearsay:
        """What was heard."""
        return Hearsay(self.device_id, self.said, self.asked_at)


SHARED: Final = SharedChannel(channel=CALLBACKS_DOUBTED, item=Doubt, heard_as=DOUBTED_ELSEWHERE)
"""How nodes tell each other of doubts."""


async def tell(tx: Transaction, doubts: Sequence[Doubt]) -> None:
    """Let every other node know what was heard of a callback."""
    tx.announce(CALLBACKS_DOUBTED, doubts)
