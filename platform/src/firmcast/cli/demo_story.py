"""What the demo knows of each device, told by what the application received and by nothing else.

The one exception is the progress bar, which the virtual device fills; the platform's pushes carry no bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STATE_NOTIFICATION = "fwUpgradeStateChangeNotify"
RESULT_NOTIFICATION = "fwUpgradeResultNotify"


@dataclass(slots=True, kw_only=True)
class DeviceStory:
    """One device, as the application saw it."""

    device_id: str
    endpoint_name: str
    method: str
    """How the package gets to it, in words for the table."""
    expected: str
    """The status that its result should have: SUCCESS or FAIL."""
    steps: list[str] = field(default_factory=list)
    """`stepDesc` in order of first arrival."""
    synthesised: set[int] = field(default_factory=set)
    """Positions in `steps` of the edges that nobody observed."""
    status: str = ""
    description: str = ""
    source_version: str = ""
    current_version: str = ""
    seconds: float = 0.0
    bytes_received: int = 0
    bytes_total: int = 0
    last_sequence: int = 0

    @property
    def ended(self) -> bool:
        """True once the result has been received."""
        return bool(self.status)

    @property
    def as_expected(self) -> bool:
        """True when it ended, and as it should."""
        return self.status == self.expected


@dataclass(slots=True)
class DemoStory:
    """Everything received so far."""

    devices: dict[str, DeviceStory] = field(default_factory=dict)
    """By device id."""
    pushes: int = 0
    repeated: int = 0
    out_of_order: int = 0
    sequences: dict[str, set[int]] = field(default_factory=dict)

    def receive(self, body: Mapping[str, Any], headers: Mapping[str, str], elapsed: float) -> None:
        """Take in one push, `elapsed` seconds after the task was created."""
        self.pushes += 1
        device = self.devices.get(body["deviceId"])
        if device is None:
            return
        sequence = int(headers["firmcast-sequence"])
        seen = self.sequences.setdefault(device.device_id, set())
        if sequence in seen:
            self.repeated += 1
            return
        seen.add(sequence)
        if sequence < device.last_sequence:
            self.out_of_order += 1
        device.last_sequence = max(device.last_sequence, sequence)
        if body["notifyType"] == STATE_NOTIFICATION:
            if headers.get("firmcast-synthesised") == "true":
                device.synthesised.add(len(device.steps))
            device.steps.append(body["stepDesc"])
        elif body["notifyType"] == RESULT_NOTIFICATION:
            device.status = body["status"]
            device.description = body["statusDesc"]
            device.source_version = body["sourceVersion"]
            device.current_version = body["curVersion"]
            device.seconds = elapsed

    def lost(self, written: Mapping[str, set[int]]) -> int:
        """Return how many of the events in the log, whose numbers `written` has by device, were never received."""
        return sum(len(numbers - self.sequences.get(device_id, set())) for device_id, numbers in written.items())

    @property
    def ended(self) -> bool:
        """True once every device's result has been received."""
        return all(device.ended for device in self.devices.values())

    @property
    def unexpected(self) -> list[DeviceStory]:
        """The devices that have not ended as they should."""
        return [device for device in self.devices.values() if not device.as_expected]

    def summary(self, lost: int) -> dict[str, int]:
        """Return the figures of the last line of `--json`."""
        statuses = [device.status for device in self.devices.values()]
        return {
            "devices": len(self.devices),
            "succeeded": statuses.count("SUCCESS"),
            "failed": len(statuses) - statuses.count("SUCCESS"),
            "pushes": self.pushes,
            "lost": lost,
            "out_of_order": self.out_of_order,
        }
