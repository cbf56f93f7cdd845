# Everything needs only Python (3.11 or newer) and make; the first target run sets up.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
# A process for each core, up to eight, as one can take 3 GB. Each begins with a part of
# the tests in their order, so that those of a file share results; one that has finished
# takes half of what another has left.
WORKERS ?= -n auto --maxprocesses 8 --dist worksteal

.PHONY: demo test test-slow test-rounding test-versions test-oldest test-newest lint types
.PHONY: docs dist notebooks hooks theory bench clean

demo: $(READY)
	$(BIN)/python -m experiments demo

test: $(READY)
	$(BIN)/pytest $(WORKERS) -m "not slow"

test-slow: $(READY)
	$(BIN)/pytest $(WORKERS) -m slow

# What compares floating point, and a notebook, on as good as another processor: no
# AVX-512, short vectors, other kernels for products and sums.
OTHER_ROUNDING = ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell \
  XLA_FLAGS="--xla_cpu_max_isa=AVX2 --xla_cpu_prefer_vector_width=128 \
  --xla_cpu_experimental_ynn_fusion_type="

test-rounding: $(VENV)/.notebooks
	$(OTHER_ROUNDING) $(BIN)/pytest $(WORKERS) -m "not slow" \
	  tests/library/test_autodrop_rule.py tests/library/test_autodrop_state.py \
	  tests/library/test_algorithm.py tests/library/test_drivers.py \
	  tests/library/test_gradient_norms.py tests/library/test_storage.py \
	  tests/experiments/schedules/test_refined.py \
	  tests/experiments/data/test_hold_out.py \
	  tests/experiments/models tests/experiments/run tests/experiments/theory
	$(OTHER_ROUNDING) $(BIN)/python notebooks/tools/execute.py quickstart

# The library's tests, without those of the experiments, on the oldest versions that it
# supports and on the newest there are.
test-versions: test-oldest test-newest

OLDEST = .venv-oldest
NEWEST = .venv-newest
VERSIONS = -m pip list --format freeze --exclude autodrop-optax
TEST_LIBRARY = -m pytest $(WORKERS) -m "not slow" tests/library autodrop_optax

test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python $(VERSIONS)
	$(OLDEST)/bin/python $(TEST_LIBRARY)

$(OLDEST)/.ready: pyproject.toml tests/oldest.txt
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST)/bin/python -m pip install --quiet --constraint tests/oldest.txt \
	  --editable ".[test-library]"
	touch $@

# Made anew each time: what is the newest changes.
test-newest:
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	$(NEWEST)/bin/python -m pip install --quiet --editable ".[test-library]"
	$(NEWEST)/bin/python $(VERSIONS)
	$(NEWEST)/bin/python $(TEST_LIBRARY)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/pyright --pythonpath $(BIN)/python

# The site, into build/docs; a warning is an error.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet \
	  --fresh-env -c docs . build/docs

# The wheel and the sdist, into dist.
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

# Every notebook from its text form, with small settings; any error or warning fails.
notebooks: $(VENV)/.notebooks
	$(BIN)/python notebooks/tools/execute.py

# Linter, formatter and the pairing of notebooks at every commit.
hooks: $(VENV)/.hooks
	$(BIN)/pre-commit install

theory: $(READY)
	$(BIN)/python -m experiments theory all

bench: $(READY)
	$(BIN)/python -m experiments bench

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

# What only some targets need; each is an extra of the package.
$(VENV)/.docs $(VENV)/.notebooks $(VENV)/.hooks: $(VENV)/.%: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) $(OLDEST) $(NEWEST) build dist .pytest_cache .ruff_cache
