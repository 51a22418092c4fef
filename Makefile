# Every target sets up what it needs in .venv; nothing has to be installed by hand.
PYTHON ?= python3
VENV := .venv
# Real OPERA files, as the tests find them; the benchmark takes synthetic rain where there are none.
SHARED_DATA := $(or $(MINKGEN_SHARED_DATA),../shared/data)
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo bench test test-slow test-slurm test-browser lint types docs

help:
	@echo "make demo       the whole way on synthetic rain, offline, in a few minutes"
	@echo "make bench      time γ beside GUDHI and scikit-image, on real tiles where there are any"
	@echo "make test       the default tests"
	@echo "make test-slow  the long tests"
	@echo "make test-slurm the tests on a real SLURM of four virtual nodes on this host"
	@echo "make test-browser the tests of the report in Debian's Chromium"
	@echo "make lint types ruff and mypy"
	@echo "make docs       the documentation, into build/docs"

$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV): 2.5 GB of packages, which takes minutes and says nothing meanwhile"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[train,geo,test,docs]" --constraint constraints.txt
	@touch $@

demo: $(READY)
	$(BIN)/minkgen demo

bench: $(READY)
	$(BIN)/minkgen bench $(wildcard $(SHARED_DATA)/opera/openradar-archive)

test: $(READY)
	$(BIN)/python -m pytest -m "not slow and not slurm and not browser"

test-slow: $(READY)
	$(BIN)/python -m pytest -m "slow and not slurm and not browser"

# Where SLURM cannot be had, its tests are skipped with the reason; where it can, none is.
test-slurm: $(READY)
	@if deploy/testbed/install.sh; then export MINKGEN_REQUIRE_SLURM=1; \
	else echo "SLURM IS NOT TESTED HERE: see above" >&2; fi; \
	set -x; $(BIN)/python -m pytest -m slurm --durations 10

# Where Chromium cannot be had, its tests are skipped with the reason; where it can, none is.
test-browser: $(READY)
	@if tests/browser/install.sh; then export MINKGEN_REQUIRE_BROWSER=1; \
	else echo "NO BROWSER IS TESTED HERE: see above" >&2; fi; \
	set -x; $(BIN)/python -m pytest -m browser --durations 5

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# An editable install maps cli/ and workflows/ by an import hook that mypy cannot follow.
types: $(READY)
	rm -rf build/types
	$(BIN)/python -m pip install --quiet --no-deps --target build/types .
	MYPYPATH=build/types $(BIN)/mypy --package minkgen

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"
