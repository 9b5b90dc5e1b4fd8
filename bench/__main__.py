"""Runs the benchmarks and writes build/bench.json.

Usage: python -m bench [--quick] [--only WORD]
"""

import argparse
import logging
from functools import partial
from pathlib import Path

import structlog

from bench import coap_bench, fleet_bench, push_bench, push_shapes, task_bench
from bench.rows import Row, show, write

_OUTPUT = Path("build/bench.json")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the time for each figure")
    parser.add_argument(
        "--only", default="", help="run the suites whose name has this in it: coap, fleet, push, shapes, upgrades"
    )
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seconds = 1.0 if chosen.quick else 5.0
    rows: list[Row] = []
    remarks: list[str] = []
    shapes = partial(push_shapes.run, backlog=20_000 if chosen.quick else 1_000_000)
    suites = {
        "coap": coap_bench.run,
        "push": push_bench.run,
        "shapes": shapes,
        "upgrades": task_bench.run,
        "fleet": fleet_bench.run,
    }
    for name, suite in suites.items():
        if chosen.only in name:
            found, left_out = suite(seconds)
            rows += found
            remarks += left_out
    show(rows, remarks)
    write(rows, _OUTPUT)
    print(f"written: {_OUTPUT}")


if __name__ == "__main__":
    main()
