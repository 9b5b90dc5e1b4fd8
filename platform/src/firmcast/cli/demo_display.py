"""The demo is shown in one of two ways: live for a person, or a JSON object a line for a script."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from firmcast.cli.demo_story import DemoStory, DeviceStory

_ROWS_SHOWN = 24
_BAR_WIDTH = 24
_STEP_STYLES = {"downloading": "cyan", "downloaded": "blue", "updating": "magenta", "idle": "green"}


class DemoDisplay(Protocol):
    """Who is told what happens."""

    def said(self, sentence: str) -> None:
        """A thing was done."""
        ...

    def pushed(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """A push was received."""
        ...

    def changed(self) -> None:
        """Some progress was made."""
        ...

    def closed(self, summary: Mapping[str, int]) -> None:
        """Everything has ended."""
        ...


class JsonDisplay:
    """One JSON object a line on standard output, and nothing else there."""

    def said(self, sentence: str) -> None:
        """Keep quiet."""

    def changed(self) -> None:
        """Keep quiet."""

    def pushed(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self._print({"push": body, "headers": headers})

    def closed(self, summary: Mapping[str, int]) -> None:
        self._print({"summary": summary})

    def _print(self, line: object) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class LiveDisplay:
    """A table of devices that moves while the pushes come in, then a closing one."""

    def __init__(self, story: DemoStory) -> None:
        self._story = story
        self._console = Console(highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._moving,
            refresh_per_second=12,
            transient=True,
            redirect_stderr=False,
        )
        self._moves = self._console.is_terminal

    def said(self, sentence: str) -> None:
        self._console.print(f"[dim]·[/] {sentence}")

    def pushed(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        if self._moves:
            self.changed()
        else:
            # Without a terminal there is nothing to move, so each push is a line.
            device = self._story.devices[body["deviceId"]]
            what = body.get("stepDesc") or f"result {body.get('status')}"
            mark = " (synthesised)" if headers.get("firmcast-synthesised") == "true" else ""
            self._console.print(f"  {device.endpoint_name}  {headers['firmcast-sequence']:>2}  {what}{mark}")

    def changed(self) -> None:
        if self._moves and not self._live.is_started:
            self._live.start()

    def closed(self, summary: Mapping[str, int]) -> None:
        if self._live.is_started:
            self._live.stop()
        self._console.print(self._closing())
        good = not summary["lost"] and not summary["out_of_order"]
        self._console.print(
            f"{summary['pushes']} pushes received, [{'green' if good else 'red'}]{summary['lost']} lost, "
            f"{summary['out_of_order']} out of order[/]; {summary['succeeded']} of {summary['devices']} upgraded."
        )
        if any(device.synthesised for device in self._story.devices.values()):
            self._console.print(
                "[dim]* nobody saw this step on the device; it follows from a later one and is marked so.[/]"
            )

    def _moving(self) -> Group:
        table = Table.grid(padding=(0, 2))
        devices = list(self._story.devices.values())
        for device in devices[:_ROWS_SHOWN]:
            total = device.bytes_total or 1
            bar = ProgressBar(total=total, completed=min(device.bytes_received, total), width=_BAR_WIDTH)
            table.add_row(device.endpoint_name, device.method, bar, _steps(device))
        more = len(devices) - _ROWS_SHOWN
        tail = f"… and {more} more devices; " if more > 0 else ""
        ended = sum(device.ended for device in devices)
        return Group(table, Text(f"{tail}{ended} of {len(devices)} ended, {self._story.pushes} pushes received", "dim"))

    def _closing(self) -> Table:
        table = Table(title="What the application received", title_justify="left")
        for heading in ("device", "package", "steps in order of arrival", "result", "version", "time"):
            table.add_column(heading, overflow="fold")
        for device in self._story.devices.values():
            style = "green" if device.as_expected else "red"
            result = Text(device.status or "none", style)
            if device.description and device.status != "SUCCESS":
                result.append(f" {device.description}", "dim")
            version = f"{device.source_version or '?'} → {device.current_version or '?'}" if device.ended else ""
            time = f"{device.seconds:.1f} s" if device.ended else ""
            table.add_row(device.endpoint_name, device.method, _steps(device), result, version, time)
        return table


def _steps(device: DeviceStory) -> Text:
    text = Text()
    for position, step in enumerate(device.steps):
        if position:
            text.append(" → ", "dim")
        text.append(step + ("*" if position in device.synthesised else ""), _STEP_STYLES.get(step, ""))
    return text
