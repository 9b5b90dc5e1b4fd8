"""Faults are done to real processes: a platform on a real store, callbacks in a process beside it.

`make test` runs the short form of what fits in seconds, `make faults` all of it, `make faults ARGS=--long` with figures
that take the better part of an hour. What one of them saw is printed at its end.
"""

import asyncio
import math
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.faults.processes import Engine, Receiver
from tests.postgres_server import new_postgres_store, postgres

__all__ = ["postgres"]

Number = TypeVar("Number", int, float)
PARTITIONS = 64
SEEN = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SEEN] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless faults are asked for: of the second store all but the kills."""
    if config.getoption("fault_scale") != "short":
        return
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    left_out = [item for item in here if item.get_closest_marker("takes_long") or is_second_store(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def is_second_store(item: pytest.Item) -> bool:
    """Say whether a test that one store has had already is done to PostgreSQL, and is no kill."""
    parameters = getattr(item, "callspec", None)
    return (
        parameters is not None
        and parameters.params.get("store") == "postgres"
        and item.path.name not in {"test_kill.py", "test_crash_points.py"}
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("fault_scale") != "short" and config.stash[SEEN]:
        terminalreporter.section("what the faults showed")
        for line in config.stash[SEEN]:
            terminalreporter.write_line(line)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of a fault there is."""

    name: str

    def __call__(self, short: Number, usual: Number, long: Number) -> Number:
        """Return the figure for this run."""
        return {"short": short, "usual": usual, "long": long}[self.name]


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    return Scale(request.config.getoption("fault_scale"))


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep what a test has seen for the end of the run."""

    def keep(text: str) -> None:
        request.config.stash[SEEN].append(f"{request.node.name}: {text}")

    return keep


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    made = Receiver(tmp_path / "receiver.log")
    await made.start()
    await made.listen()
    yield made
    await made.kill()


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the settings, as an environment, of a new store: one of each kind in turn."""
    if request.param == "sqlite":
        return {}
    return await new_postgres_store(request.getfixturevalue("postgres"))


NewEngine = Callable[..., Engine]


@pytest.fixture
async def new_engine(tmp_path: Path) -> AsyncIterator[NewEngine]:
    """Makes engines, not yet started, that end with the test."""
    made: list[Engine] = []

    def make(environment: Mapping[str, str], folder: Path | None = None) -> Engine:
        engine = Engine(folder or tmp_path / "node", environment)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        if engine.runs:
            await engine.kill()


@pytest.fixture
async def engine(store: dict[str, str], new_engine: NewEngine) -> Engine:
    """A platform that runs, on each kind of store in turn."""
    made = new_engine(store)
    await made.start()
    return made


@pytest.fixture
def failing_library(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a library between the process and the disk, which can be told to fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library, syncs = tmp_path / "failing_disk.so", tmp_path / "syncs"
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    syncs.touch()
    return {"LD_PRELOAD": str(library), "FAULTS_SYNCS": str(syncs)}


@pytest.fixture
async def nodes(tmp_path: Path, postgres: str, new_engine: NewEngine) -> list[Engine]:
    """Three nodes that share a database, all of which run and have a part of the work."""
    shared = {
        **await new_postgres_store(postgres),
        "FIRMCAST_SEALING_KEY_FILE": str(tmp_path / "sealing-key"),
    }
    made = [new_engine({**shared, "FIRMCAST_NODES__NAME": name}, tmp_path / name) for name in ("one", "two", "three")]
    for engine in made:
        await engine.start()
    await shared_out(made)
    return made


async def shared_out(engines: Sequence[Engine]) -> None:
    """Wait until every node knows of all the others and has its part of the partitions."""
    for engine in engines:
        while not await has_its_part(engine, len(engines)):
            await asyncio.sleep(0.1)


async def has_its_part(engine: Engine, nodes: int) -> bool:
    """Say whether a node has the least that may be left to one of so many."""
    told = await engine.ask("metrics")
    least = PARTITIONS - (nodes - 1) * math.ceil(PARTITIONS / nodes)
    return told["firmcast_node_alive"] == nodes and told["firmcast_node_shares"] >= least
