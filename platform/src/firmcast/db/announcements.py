"""Who listens to what: each listener hears once for a commit of everything that was announced on its channel."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from firmcast.db.port import Channel, Listener


class Announcements:
    """The listeners of one store; belongs to the loop on which it was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[Channel, list[Listener]] = defaultdict(list)

    def listen(self, channel: Channel, listener: Listener) -> None:
        """Have `listener` called from now on."""
        self._listeners[channel].append(listener)

    def unlisten(self, channel: Channel, listener: Listener) -> None:
        """Have `listener` called no more."""
        self._listeners[channel].remove(listener)

    def clear(self) -> None:
        """Call nobody any more."""
        self._listeners.clear()

    def tell(self, announced: Sequence[tuple[Channel, Sequence[object]]]) -> None:
        """Call the listeners with what one commit announced, in its order."""
        items: dict[Channel, list[object]] = defaultdict(list)
        for channel, said in announced:
            items[channel] += said
        for channel, all_said in items.items():
            for listener in list(self._listeners[channel]):
                try:
                    listener(all_said)
                except Exception as error:
                    # The others must hear of it all the same: it is committed.
                    message = f"a listener of {channel} failed"
                    self._loop.call_exception_handler({"message": message, "exception": error})
