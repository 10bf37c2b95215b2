# `make demo` and `make test` set up everything they need on a fresh machine; `make help` lists the rest.

PYTHON ?=
VENV := .venv
STAMP := $(VENV)/.installed
# torch's threads and one pytest worker per core get in each other's way.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses=8 --dist=worksteal

.PHONY: help setup icarus compiler demo test fuzz nightly portability campaign mutants proofs lint docs clean distclean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup  ## train, quantize, lower, simulate, verify on RTL, allocate: writes demo-out/
	@$(VENV)/bin/bitwright demo

test: setup  ## the test suite
	@$(PYTEST) -m "not nightly" --coverage-goal 90

fuzz: setup  ## damaged and hostile files for all loaders: writes fuzz-out/, goes on where it stopped; ARGS="--minutes 10"
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m bitwright.fuzz $(ARGS)

nightly: setup compiler  ## all that is too long for every change: writes nightly-out/, goes on where it stopped; PARTS="..."
	@$(VENV)/bin/python scripts/nightly.py $(if $(PARTS),--only $(PARTS))

portability: setup  ## tests that train, with kernels of other CPUs, two threads, other seeds; goes on where it stopped
	@$(VENV)/bin/python scripts/portability.py $(if $(PARTS),--only $(PARTS))

campaign: setup compiler  ## random machines with random Programs on the RTL: writes campaign-out/, goes on where it stopped; ARGS=...
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m bitwright.campaign $(ARGS)

proofs: setup  ## the formal proofs and the faults that they must find, as a table with their times
	@$(VENV)/bin/python -m rtl.verification.formal

mutants: setup compiler  ## faults in the netlist and whether they are found: writes mutants-out/, goes on where it stopped
	@$(VENV)/bin/python -m rtl.verification.mutation

lint: setup  ## ruff and mypy
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/mypy

docs: setup  ## the documentation as HTML, into site/
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

setup: $(STAMP) icarus  ## the virtual environment and Icarus Verilog, nothing else

icarus:
	@command -v iverilog >/dev/null && command -v vvp >/dev/null \
		|| sh scripts/install_debian.sh "The RTL simulation" iverilog

compiler:
	@command -v g++ >/dev/null || sh scripts/install_debian.sh "The fast RTL simulation" g++

$(STAMP): pyproject.toml constraints.txt scripts/create_venv.sh
	@PYTHON="$(PYTHON)" sh scripts/create_venv.sh
	@touch $@

clean:  ## remove what runs leave behind
	rm -rf demo-out campaign-out fuzz-out mutants-out nightly-out portability-out site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find sim rtl quant bitwright tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean  ## clean, and remove .venv
	rm -rf $(VENV)
