"""One target under atheris. Usage: python -m tests.fuzz.guided TARGET FOLDER … OPTION …, the rest as libFuzzer's."""

import sys

import atheris

with atheris.instrument_imports(include=["firmcast"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
