"""The examples of the guide, run one after the other as a reader would."""

import re
from pathlib import Path

from firmcast_sdk import ClientError, errors

GUIDE = Path(__file__).parents[4] / "docs/how-to/call-the-platform.md"


def test_every_example_runs(base_url, small_platform, certificates, capsys, monkeypatch):
    monkeypatch.chdir(certificates)
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names = {}
    for number, example in enumerate(examples):
        code = compile(example.replace("https://platform.example:8743", base_url), f"example {number}", "exec")
        exec(code, names)
    assert len(examples) == 6
    assert capsys.readouterr().out.splitlines() == ["task-0 wait 1"]
    assert small_platform.callbacks == ["https://app.example:9443/v1.0.0/messageReceiver"]


def test_every_error_of_a_call_is_in_the_guide():
    made_without_a_call = {"AddressError", "ClientClosedError", "ClientExtraMissingError"}
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ClientError)}
    table = set(re.findall(r"^\| `(\w+Error)`", GUIDE.read_text(), re.MULTILINE))
    assert table == kinds - made_without_a_call - {"ClientError", "NorthboundError"}
