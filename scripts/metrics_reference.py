"""Writes docs/reference/metrics.md from what the platform declares, so that the page cannot be wrong.

Usage: metrics_reference.py [--check]
"""

import sys
from pathlib import Path

from firmcast.clock import SystemClock
from firmcast.metrics import Described
from firmcast.platform_metrics import PlatformMetrics

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/metrics.md"

HEAD = """# Metrics

What `GET /metrics` tells, in the text form that Prometheus reads; how to ask for it, and what to be alarmed by, is in
[Operate the platform](../how-to/operate.md). What the operating system knows of the process comes with it
(`process_resident_memory_bytes`, `process_open_fds`, `process_cpu_seconds_total` and others). This page is written by
`scripts/metrics_reference.py`.

| name | kind | labels | what it is |
| --- | --- | --- | --- |
"""


def row(metric: Described) -> str:
    """Return the line of one metric."""
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |"


def main() -> None:
    """Write the page, or with --check say whether it is up to date by the exit status."""
    declared = sorted(PlatformMetrics(SystemClock()).all.described(), key=lambda metric: metric.name)
    page = HEAD + "\n".join(map(row, declared)) + "\n"
    if "--check" in sys.argv:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text() == page
            else f"{PAGE.name} is out of date: run {Path(__file__).name}"
        )
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
