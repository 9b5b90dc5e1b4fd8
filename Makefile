# Every command a developer needs. Each does its own set-up: Python 3.11+, pip, make and git are enough.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
TEST_ARGS ?= -n auto --dist worksteal

# What is compiled is kept, whatever the surroundings say: the tests start hundreds of processes, and each would compile
# all of it for itself.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve test check format lint types imports conformance faults fuzz bench lock clean

help: ## list the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(VENV)/.platform: constraints.txt sdk/pyproject.toml platform/pyproject.toml scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py $(VENV) platform
	@touch $@

$(VENV)/.development: $(VENV)/.platform requirements-dev.txt
	@$(PYTHON) scripts/bootstrap.py $(VENV) development
	@touch $@

demo: $(VENV)/.platform ## upgrade virtual devices and show every push (ARGS="--devices 20 --with-failure")
	@$(BIN)/firmcast demo $(ARGS)

serve: $(VENV)/.platform ## run the platform (ARGS="--help" for what can be set)
	@$(BIN)/firmcast serve $(ARGS)

test: $(VENV)/.development ## run all tests
	$(BIN)/python -m pytest $(TEST_ARGS) $(ARGS)

check: $(VENV)/.development ## all that must pass before a change lands
	@$(MAKE) --no-print-directory --jobs 2 types compiled format-check lint imports
	@$(MAKE) --no-print-directory test

# The type checker takes one processor; beside it all is compiled that each worker of the tests would compile for itself.
.PHONY: compiled
compiled: $(VENV)/.development
	@mkdir -p build
	@$(BIN)/python -m pytest --collect-only -q > build/collected.txt || { cat build/collected.txt; exit 1; }

format: $(VENV)/.development ## put the code in its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

.PHONY: format-check
format-check: $(VENV)/.development
	$(BIN)/ruff format --check .

lint: $(VENV)/.development ## ruff and the rules of the house
	$(BIN)/ruff check .
	$(BIN)/python scripts/house_rules.py

types: $(VENV)/.development ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/.development ## the architecture, executed
	$(BIN)/lint-imports

conformance: $(VENV)/.development ## hold the running platform to the contract, call by call, and print a table
	$(BIN)/python -m pytest -q $(TEST_ARGS) tests/acceptance/conformance $(ARGS)

faults: $(VENV)/.development ## kill, cut, fill and stall it on both stores, and show that nothing is lost (ARGS="--long")
	$(BIN)/python -m pytest -q --faults tests/faults platform/tests/integration/gateway/test_storms.py $(ARGS)

$(VENV)/.fuzz: $(VENV)/.development requirements-fuzz.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-fuzz.txt
	@touch $@

fuzz: $(VENV)/.fuzz ## look for bytes that break a reader, guided by coverage (ARGS="--seconds 600 tlv")
	@$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(VENV)/.development ## measure, as ratios within one run; writes build/bench.json (ARGS="--quick")
	$(BIN)/python -m bench $(ARGS)

lock: ## write constraints.txt from what the newest allowed versions resolve to
	$(PYTHON) scripts/bootstrap.py build/lock-venv lock

clean: ## remove what was built
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
