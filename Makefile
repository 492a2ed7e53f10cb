# make demo | test | check | bench | docs: no more verbs than a person remembers.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Whole test modules in processes of their own; a module's fixtures are built once.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all check bench bench-probes constraints clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Lethe needs $(PYTHON); or: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pipeline,postgres,s3,dev]'
	@touch $@

demo: $(STAMP)  ## the whole road on synthetic people, ending in a table (a few minutes)
	$(BIN)/lethe demo lethe-demo --fresh

test: $(STAMP)  ## the tests a change must pass (under 15 minutes on 2 cores)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow"

test-all: $(STAMP)  ## and the slow ones: crashes, journeys, servers
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

check: $(STAMP)  ## ruff, format, types, import walls, the Dagster location
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DAGSTER_DISABLE_TELEMETRY=yes $(BIN)/dagster definitions validate --log-level warning

bench: $(STAMP)  ## benchmarks; results as dated files in benchmarks/results
	for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script || failed=1; done; exit $${failed:-0}

bench-probes: $(STAMP)  ## those of the probes with their bars (hours; QUICK=--quick: minutes, nothing kept)
	for name in probe_scores probe_extraction self_prompt canaries probe_power probe_faults false_alarms; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py $(QUICK) || failed=1; done; exit $${failed:-0}

constraints: $(STAMP)  ## renew the pins from what is installed
	{ head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new && mv constraints.new constraints.txt

clean:  ## remove the virtual environment and the demo
	rm -rf $(VENV) lethe-demo
