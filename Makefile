# Fresh machine: `make demo` or `make test` alone is enough (Python 3.11+ with venv, and make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check soak bench screens clean

demo: $(VENV)/run
	@exec $(BIN)/countersign demo

test: $(VENV)/test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory test

soak: $(VENV)/test
	$(BIN)/python -m tests.soak

bench: $(VENV)/bench
	$(BIN)/python -m tests.bench

screens: $(VENV)/test
	$(BIN)/python -m tests.screens

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[test]"
	@touch $@ $(VENV)/run

$(VENV)/bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[test,langgraph]"
	@touch $@ $(VENV)/test $(VENV)/run

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/test $(VENV)/run

clean:
	rm -rf $(VENV) build dist *.egg-info
