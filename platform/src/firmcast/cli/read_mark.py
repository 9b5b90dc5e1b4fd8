"""Events are read in one order and handled in another: the mark is the cursor before which all of them are handled.

Who goes on after it misses nothing, and meets again only what was handled out of order.
"""

from collections import OrderedDict


class ReadMark:
    """The cursors of what was read, and how far all of it is handled."""

    def __init__(self) -> None:
        self._outstanding: OrderedDict[str, bool] = OrderedDict()
        """In the order of reading; True for what is handled while something before it is not."""
        self.cursor = ""
        """To go on after; empty until there is one."""

    def __len__(self) -> int:
        """How much was read and lies at or behind what is not handled."""
        return len(self._outstanding)

    def read(self, cursor: str) -> None:
        """Note an event that was read."""
        self._outstanding[cursor] = False

    def reached(self, cursor: str) -> bool:
        """Note that nothing more stands up to a cursor, and say whether the mark moved: only when all is handled."""
        if self._outstanding or cursor == self.cursor:
            return False
        self.cursor = cursor
        return True

    def handled(self, cursor: str) -> bool:
        """Note that an event is handled, and say whether the mark moved."""
        self._outstanding[cursor] = True
        moved = False
        while self._outstanding:
            first, is_handled = next(iter(self._outstanding.items()))
            if not is_handled:
                break
            del self._outstanding[first]
            self.cursor = first
            moved = True
        return moved
