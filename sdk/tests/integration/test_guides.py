"""The examples of the guides for receivers, run one after the other as a reader would."""

import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[3] / "docs" / "how-to"


@pytest.mark.parametrize(("guide", "count"), [("receive-pushes.md", 9), ("porting-from-the-vendors-sdk.md", 2)])
def test_every_example_runs(guide, count, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (GUIDES / guide).read_text(), re.DOTALL)
    names = {}
    for number, example in enumerate(examples):
        exec(compile(example, f"{guide}, example {number}", "exec"), names)
    assert len(examples) == count


def test_every_decorator_is_in_the_guide():
    from firmcast_sdk import Receiver

    text = (GUIDES / "receive-pushes.md").read_text()
    assert set(re.findall(r"^\| `(on_\w+)`", text, re.MULTILINE)) == {
        name for name in dir(Receiver) if name.startswith("on_")
    }


def test_every_handler_and_class_is_in_the_porting_guide():
    from firmcast_sdk import PushMessageReceiver, dto

    text = (GUIDES / "porting-from-the-vendors-sdk.md").read_text()
    handlers = {name for name in dir(PushMessageReceiver) if name.startswith("handle")}
    assert {name for name in handlers | set(dto.__all__) if f"`{name}`" not in text} == set()
