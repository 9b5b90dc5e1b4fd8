"""Many sorted lists are read as one without reading any of them whole: what is known up to the horizon is complete.

The horizon is the least of the last devices that were read of the lists that are not at their end: whatever comes
before it has been read of all of them. Pure; who reads the lists stands elsewhere.
"""

from collections.abc import Iterable, Sequence

from firmcast.ids import DeviceId, GroupId

_SPARE = 16
"""What is read of each list beyond its share, so that lists of unlike lengths need few rounds."""


class Merge:
    """One page of the distinct devices of several groups, put together round by round."""

    def __init__(self, group_ids: Iterable[GroupId], after: DeviceId, limit: int) -> None:
        self._limit = limit
        self._found: set[DeviceId] = set()
        self._last = dict.fromkeys(group_ids, after)
        """Of each group that may have more: the last device that was read of it."""

    def wanted(self) -> tuple[dict[GroupId, DeviceId], int]:
        """Return after which device to read on in which groups, and how many of each; no groups when it is done."""
        page = self.page()
        if not self._last:
            return {}, 0
        # Only a list that ends before the page does can add to the page.
        behind = (
            self._last
            if len(page) < self._limit
            else {group_id: last for group_id, last in self._last.items() if last < page[-1]}
        )
        missing = self._limit - sum(1 for device_id in page if device_id <= min(self._last.values()))
        return dict(behind), max(missing, 0) // max(len(behind), 1) + _SPARE

    def take(self, asked: Iterable[GroupId], number: int, read: Sequence[tuple[GroupId, DeviceId]]) -> None:
        """Take in what was read of the groups that were asked for `number` devices each."""
        counts = dict.fromkeys(asked, 0)
        for group_id, device_id in read:
            counts[group_id] += 1
            self._found.add(device_id)
            self._last[group_id] = max(self._last[group_id], device_id)
        for group_id, count in counts.items():
            if count < number:
                del self._last[group_id]

    def page(self) -> list[DeviceId]:
        """Return the devices of the page that are known; all of them once nothing is wanted."""
        return sorted(self._found)[: self._limit]
