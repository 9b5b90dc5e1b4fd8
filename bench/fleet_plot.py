"""Draws how a fleet's cost grows, of the figures in build/fleet.json, as an SVG that a page can show.

Both axes are logarithmic: cost that grows with the fleet and no faster is a straight line, a decade up for each decade.

Usage: python -m bench.fleet_plot [FILE]
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bench.fleet_bench import OUTPUT

_PICTURE = Path("docs/explanation/fleet-growth.svg")
_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 24, 48
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")

Point = tuple[float, float]


def drawn(series: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """Return the SVG of named series of points, of which each has a device count and the seconds that it took."""
    counts = [count for _, points in series for count, _ in points]
    costs = [cost for _, points in series for _, cost in points]
    least_x, most_x = _decades(counts)
    least_y, most_y = _decades(costs)

    def x(count: float) -> float:
        return _LEFT + (math.log10(count) - least_x) / (most_x - least_x) * (_WIDTH - _LEFT - _RIGHT)

    def y(cost: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(cost) - least_y) / (most_y - least_y) * (_HEIGHT - _TOP - _BOTTOM)

    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for decade in range(least_x, most_x + 1):
        at = x(10.0**decade)
        parts.append(_line((at, _TOP), (at, _HEIGHT - _BOTTOM)))
        parts.append(_text(at, _HEIGHT - _BOTTOM + 18, f"{10**decade:,}", "middle"))
    for decade in range(least_y, most_y + 1):
        at = y(10.0**decade)
        parts.append(_line((_LEFT, at), (_WIDTH - _RIGHT, at)))
        parts.append(_text(_LEFT - 8, at + 4, f"{10.0**decade:g} s", "end"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "devices", "middle"))
    for (name, points), colour in zip(series, _COLOURS, strict=False):
        path = " ".join(f"{x(count):.1f},{y(cost):.1f}" for count, cost in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(count):.1f}" cy="{y(cost):.1f}" r="3.5" fill="{colour}"/>' for count, cost in points]
        last = points[-1]
        parts.append(_text(x(last[0]) + 9, y(last[1]) + 4, name, "start", colour))
    return "\n".join([*parts, "</svg>\n"])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return least, max(most, least + 1)


def _line(start: Point, end: Point) -> str:
    return f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="#dddddd"/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def main() -> None:
    """Draw the figures of the file."""
    found = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else OUTPUT).read_text())
    resting, upgraded = found["rest"], found["upgrade"]
    series = [
        ("upgrade, 256 KiB each", [(each["devices"], sum(each["cpu"].values())) for each in upgraded]),
        ("register", [(each["devices"], each["register_cpu"]) for each in resting]),
        ("one round of updates", [(each["devices"], each["update_cpu"]) for each in resting]),
        ("rest for ten seconds", [(each["devices"], each["idle_cpu_of_ten_seconds"]) for each in resting]),
    ]
    shown = [(name, [point for point in points if point[1] > 0]) for name, points in series]
    _PICTURE.write_text(drawn([(name, points) for name, points in shown if points]))
    print(f"written: {_PICTURE}")


if __name__ == "__main__":
    main()
