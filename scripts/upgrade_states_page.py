"""Draws docs/explanation/upgrade-states.md from the state machine's table, so that the diagram cannot be wrong.

Usage: upgrade_states_page.py [--check]
"""

import sys
from pathlib import Path

from firmcast.upgrades.model import UpgradePhase
from firmcast.upgrades.rules.ladder import EDGES
from firmcast.upgrades.state_machine import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs/explanation/upgrade-states.md"

PROSE = """# How an upgrade proceeds

A device has a *state* (LwM2M Object 5, resource 3): idle, downloading, downloaded, updating. We have a *phase* for
each device of a task, which has more values, since we also wait, look and verify. Only the device's states are told to
applications; the phase never leaves the platform.

One table in `upgrades/state_machine.py` says what each input means in each phase. This page is drawn from it by
`scripts/upgrade_states_page.py`.

## Phases

```mermaid
stateDiagram-v2
    [*] --> scheduled
{phases}
    closed --> [*]
```

| phase | inputs that matter |
| --- | --- |
{inputs}

- **Every phase has an end.** When its time is over the device is asked once more, and then judged by what it said, or
  by its silence. The times are settings (`upgrades.*`).
- **One order waits for a device at a time.** After anything that makes its state doubtful (a new registration, a
  restart of the platform, an order without an answer) the next order is an inspection: observe and read everything.
- **Idle is not success.** An upgrade has succeeded when the device tells result 1 and that is news, or when it runs the
  target version after it registered anew. A device that comes back idle with neither is probed until its time is over,
  and has then failed. What follows from everything that a device can tell is a [table of its own](outcomes.md).
- **A loss is not an end.** A package that was lost on its way is sent again, within the time for it: up to five times
  after a lost connection, for want of memory or without a reason, once after a failed integrity check. One that
  was lost after it had come, since its device held it in RAM, is sent again twice, each time with the time for it.
- **A deferral is not an end.** A device that puts the installation off is told again after a pause, until its time for
  that or the window of the task is over.
- **Who sleeps is not judged.** How the time of a device in queue mode is counted is told in
  [sleepy devices](sleepy-devices.md).
- **Closed is closed.** Late and repeated reports change nothing and are told to nobody.

## What applications are told

```mermaid
stateDiagram-v2
    [*] --> idle
{edges}
```

Each edge is an event with the next number of its device. Devices skip states (many never show *downloading* while a
package is written to them) and lose notifications; an edge that follows from what was observed but was not observed
itself is written all the same, marked as synthesised, and sent with the header `firmcast-synthesised: true`. After the
last state comes the result, exactly once.
"""


def page() -> str:
    """Return the whole page."""
    arrows = sorted(
        {
            (phase, target)
            for phase, rules in TABLE.items()
            for rule in rules.values()
            for target in rule.leads_to
            if target is not phase
        },
        key=lambda arrow: (list(UpgradePhase).index(arrow[0]), list(UpgradePhase).index(arrow[1])),
    )
    rows = []
    for phase, rules in TABLE.items():
        names = [told.__name__ for told, rule in rules.items() if rule.decide.__name__ != "_nothing"]
        rows.append(f"| {phase.value} | {', '.join(names) or 'none: closed is closed'} |")
    return PROSE.format(
        phases="\n".join(f"    {phase.value} --> {target.value}" for phase, target in arrows),
        inputs="\n".join(rows),
        edges="\n".join(f"    {start.name.lower()} --> {end.name.lower()}" for start, end in sorted(EDGES)),
    )


def main() -> None:
    """Write the page, or with --check say whether it is up to date by the exit status."""
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page() else f"{PAGE.name} is out of date")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
