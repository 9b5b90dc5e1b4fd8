"""The processes that the cases run against, and the table that is printed when they ended."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The suite's own modules stand beside this file; no package holds them.
sys.path.insert(0, str(Path(__file__).parent))

from conformance_platform import PlatformProcess

SETTINGS = {
    "plain": {},
    "limited": {"FIRMCAST_DEVICES__GROUP_LIMIT": "1", "FIRMCAST_REST__ONE_CALLBACK_HOST": "true"},
    "throttled": {"FIRMCAST_REST__THROTTLE_CALLS": "1", "FIRMCAST_REST__THROTTLE_PERIOD": "3600"},
}
KINDS = ("good", "error", "spelling")


@pytest.fixture(scope="session")
def platform_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], PlatformProcess]]:
    """Return what starts the platform with the settings of a name, once."""
    running: dict[str, PlatformProcess] = {}

    def started(name: str) -> PlatformProcess:
        if name not in running:
            data = tmp_path_factory.mktemp(f"conformance-{name}") / "data"
            running[name] = PlatformProcess(data, SETTINGS[name])
        return running[name]

    yield started
    ended = [(platform.stop(), b"".join(platform.said)) for platform in running.values()]
    for status, said in ended:
        assert status == 0
        assert b"Traceback" not in said
        assert b"rest.unforeseen" not in said


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of each kind held, by call."""
    held: Counter[tuple[str, str]] = Counter()
    every: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            told = dict(report.user_properties)
            if "conformance" in told and report.when == "call":
                place = tuple(told["conformance"])
                every[place] += 1
                held[place] += outcome == "passed"
    if not every:
        return
    calls = sorted({call for call, _ in every}, key=lambda call: (call.partition(" ")[2], call))
    width = max(map(len, calls))
    terminalreporter.section("conformance")
    terminalreporter.write_line(f"{'':{width}}  " + "".join(f"{kind:>13}" for kind in KINDS))
    for call in calls:
        cells = [_cell(held[call, kind], every[call, kind]) for kind in KINDS]
        terminalreporter.write_line(f"{call:{width}}  " + "".join(f"{cell:>13}" for cell in cells))
    totals = [
        _cell(sum(held[call, kind] for call in calls), sum(every[call, kind] for call in calls)) for kind in KINDS
    ]
    terminalreporter.write_line(f"{'all':{width}}  " + "".join(f"{cell:>13}" for cell in totals))


def _cell(held: int, every: int) -> str:
    if not every:
        return "-"
    return f"{every}" if held == every else f"{held} of {every}"
