"""What the guide shows in Python can be run as it stands."""

import re
from pathlib import Path

from firmcast.simulator.device import DeviceSpec

GUIDE = Path(__file__).parents[4] / "docs/how-to/simulate-devices.md"


def test_the_example_makes_its_devices() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, GUIDE.name, "exec"), names)
    devices = names["devices"]
    assert isinstance(devices, list)
    assert len(devices) == 10
    assert all(isinstance(device, DeviceSpec) for device in devices)
    assert callable(names["upgraded"])
