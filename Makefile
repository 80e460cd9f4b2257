# On a fresh machine with Python (3.10 to 3.13) and make: `make demo`, `make test`.
# The environment is .venv; pip runs only when pyproject.toml has changed since.

PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One stamp for each set of dependencies. An interrupted install leaves none and is done again.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[$*]'
	@touch $@

.PHONY: demo
demo: $(VENV)/.installed ## train, be killed, resume, end as if nothing had happened
	@$(BIN)/python examples/resume.py

.PHONY: test
test: $(VENV)/.installed-test ## all tests (pass more options by ARGS=…)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: torture
torture: $(VENV)/.installed-test ## crashes, kills, flipped bits, mutated inputs (TORTURE_MINUTES=20)
	@$(BIN)/python -m tests.torture $(ARGS)

# TensorFlow pins NumPy, protobuf and ml_dtypes, so each version has an environment of its own,
# with what the tests of TensorFlow's objects need and nothing else.
TENSORFLOW_VERSIONS ?= 2.16 2.18

$(VENV)-tensorflow-%/.installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --editable . \
	  'tensorflow-cpu==$*.*' pytest pytest-timeout pytest-xdist hypothesis filelock psutil
	@touch $@

.PHONY: test-tensorflow-versions
test-tensorflow-versions: $(TENSORFLOW_VERSIONS:%=$(VENV)-tensorflow-%/.installed) ## TensorFlow's objects with older TensorFlows
	@set -e; for version in $(TENSORFLOW_VERSIONS); do \
	  echo "TensorFlow $$version"; \
	  $(VENV)-tensorflow-$$version/bin/python -m pytest -n $(WORKERS) $(or $(ARGS),tests/tf); \
	done

.PHONY: lint
lint: $(VENV)/.installed-lint ## ruff (rules, then format) and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed-lint ## let ruff rewrite what it can
	$(BIN)/ruff check --fix-only --exit-zero --quiet
	$(BIN)/ruff format

.PHONY: bench
bench: $(VENV)/.installed-bench ## against TensorFlow and safetensors (options by ARGS=…)
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: clean
clean: ## remove the environment, caches and what was built
	rm -rf $(VENV) .cache .pytest_cache .hypothesis .mypy_cache .ruff_cache build dist
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
