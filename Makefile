# Everything needs only Python (3.11 or newer) and make; the first target run sets up.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
# A process for each core; the tests of a file stay together, as they share results.
WORKERS ?= -n auto --dist loadfile

.PHONY: demo test test-slow lint types notebooks theory bench clean

demo: $(READY)
	$(BIN)/python -m experiments demo

test: $(READY)
	$(BIN)/pytest $(WORKERS) -m "not slow"

test-slow: $(READY)
	$(BIN)/pytest $(WORKERS) -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/pyright --pythonpath $(BIN)/python

# Every notebook from its text form; any error fails.
notebooks: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[notebooks]"
	set -e; for notebook in $(wildcard notebooks/*.py); do \
	  $(BIN)/jupytext --execute --to ipynb --output build/notebook.ipynb "$$notebook"; \
	done

theory: $(READY)
	$(BIN)/python -m experiments.theory all

bench: $(READY)
	$(BIN)/python -m experiments.benchmark

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
