# `make demo` and `make test` are all a fresh machine needs: each sets up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints/constraints.txt

# One thread per process and no spinning: test workers share the cores (see docs/results/speed.md).
QUIET := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
TEST_ENV := $(QUIET) MPLBACKEND=Agg

.PHONY: install demo test lint docs clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("spikeloom needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 " + "install") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) -e '.[dev]'
	touch $@

demo: install
	$(BIN)/spikeloom demo

test: install
	$(TEST_ENV) $(BIN)/python -m pytest

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Pages with code are executed; every warning and every broken link inside is an error.
docs: install
	env -u MPLBACKEND $(QUIET) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

clean:
	rm -rf $(VENV) demo build
