"""What arrives of a package is checked byte by byte and never kept; it may be larger than memory."""

import hashlib

from firmcast.simulator.profile import DeviceProfile


class PackageIntake:
    """A package on its way in. `received` counts bytes; `entity_tag` is what the sender called this very package."""

    __slots__ = ("_arrived", "_arrived_to", "_profile", "_stored", "entity_tag", "received", "total")

    def __init__(self, profile: DeviceProfile) -> None:
        self._profile = profile
        self.begin()

    def begin(self) -> None:
        """Forget what came: the package starts again at its first byte."""
        self.received = 0
        self.total: int | None = None
        self.entity_tag: bytes | None = None
        self._arrived = hashlib.sha256()
        self._arrived_to = 0
        self._stored = hashlib.sha256()

    def write(self, offset: int, chunk: bytes) -> None:
        """Take the bytes at `offset`. Offset 0 begins anew; what was taken already is passed over.

        A device that takes a package written anew for repeats of the one it has passes over that too. Raises ValueError
        for a gap.
        """
        if offset == 0:
            self._begin_again()
        if offset > self.received:
            raise ValueError(f"bytes {self.received}..{offset} are missing")
        self._arrived.update(chunk[max(0, self._arrived_to - offset) :])
        self._arrived_to = max(self._arrived_to, offset + len(chunk))
        fresh = chunk[self.received - offset :]
        self._stored.update(self._on_flash(fresh))
        self.received += len(fresh)

    @property
    def intact(self) -> bool:
        """Whether the package as stored is the package wanted: the profile's, or else the one that arrived."""
        return self._stored.hexdigest() == (self._profile.expected_digest or self._arrived.hexdigest())

    def _begin_again(self) -> None:
        if self._profile.restarts_push:
            entity_tag, total = self.entity_tag, self.total
            self.begin()
            self.entity_tag, self.total = entity_tag, total
        else:
            self._arrived = hashlib.sha256()
            self._arrived_to = 0

    def _on_flash(self, chunk: bytes) -> bytes:
        if not self._profile.integrity_fails or self.received or not chunk:
            return chunk
        return bytes((chunk[0] ^ 0x01,)) + chunk[1:]
