"""A power cut comes at a random block of a transfer, never at its last one, and is the same for the same seed."""

from random import Random

from firmcast.simulator.package_intake import PackageIntake
from firmcast.simulator.profile import DeviceProfile

_BLOCKS = 16
"""Of how many blocks one is drawn when the size of a package is not known."""


class PowerCuts:
    """The power cuts of one device; `draw` is called for each transfer, `comes` after each of its blocks."""

    def __init__(self, profile: DeviceProfile, random: Random) -> None:
        self._block = 16 << profile.block_szx
        self._left = profile.power_cuts
        self._random = random
        self._drawn: float | None = None

    def draw(self) -> None:
        """Begin a transfer: decide how much of it will come."""
        self._drawn = None
        if self._left:
            self._left -= 1
            self._drawn = self._random.random()

    def comes(self, intake: PackageIntake) -> bool:
        """Say, once in a transfer, that its power is cut here."""
        if self._drawn is None:
            return False
        blocks = _BLOCKS if intake.total is None else -(-intake.total // self._block)
        if intake.received <= int(self._drawn * max(1, blocks - 1)) * self._block:
            return False
        self._drawn = None
        return True
