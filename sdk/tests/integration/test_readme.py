"""The examples of the README, run one after the other as a reader would."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_every_example_runs(base_url, small_platform, capsys):
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {}
    for number, example in enumerate(examples):
        code = compile(example.replace("https://platform.example:8743", base_url), f"example {number}", "exec")
        exec(code, names)
    assert len(examples) == 4
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "task-0 wait",
        "device-1 downloading",
        "device-1 downloaded",
        "device-1 updating",
        "device-1 idle",
        "device-1 succeeded 2.0",
    ]
    assert small_platform.logins == 1
