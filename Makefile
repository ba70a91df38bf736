# Every target sets up what it needs; `make run` or `make test` may be the first command after a clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVICES := gateway email whatsapp push sandbox standalone
PROJECTS := shared $(SERVICES:%=services/%)
PYPROJECTS := $(PROJECTS:%=%/pyproject.toml)
PIP := $(BIN)/pip --disable-pip-version-check --quiet
EDITABLE = $(PIP) install --no-deps --no-build-isolation $(PROJECTS:%=--editable %)

.DEFAULT_GOAL := help
.PHONY: help install run test chaos check lock e2e audit bench clean

help: ## Say what each target does
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(VENV)/dev ## Install everything that developing needs into .venv

run: $(VENV)/run ## Run all of Clarion in one process, on http://127.0.0.1:3001 (PORT, SANDBOX_PORT, DATA_DIR)
	@exec $(BIN)/python -m clarion_standalone

test: $(VENV)/dev ## Run the tests on a private RabbitMQ and PostgreSQL (ARGS="-k name" narrows them)
	$(BIN)/pytest -m "not e2e and not chaos" $(ARGS)

check: $(VENV)/dev ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

e2e: $(VENV)/dev ## Run the composed containers and deliver through them (needs Docker)
	$(BIN)/pytest -m e2e tests/e2e $(ARGS)

chaos: $(VENV)/dev ## Kill everything while notifications flow, and print what was lost or doubled
	$(BIN)/pytest tests/chaos $(ARGS)

audit: $(VENV)/dev ## Ask for known vulnerabilities of everything that is pinned
	@PATH=$(abspath $(BIN)):$$PATH $(BIN)/python .ci/audit

bench: $(VENV)/dev $(VENV)/peers/ready ## Measure beside other systems, in one run (ARGS=--quick proves that it runs)
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove the environment, caches and local data
	rm -rf $(VENV) .data .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header \
  --no-emit-package clarion $(SERVICES:%=--no-emit-package clarion-%)

lock: $(VENV)/dev ## Pin every requirement again, with hashes (ARGS=--upgrade moves to newer versions)
	$(UV_COMPILE) $(ARGS) requirements/build.in -o requirements/build.txt
	for service in $(SERVICES); do \
	  $(UV_COMPILE) $(ARGS) services/$$service/pyproject.toml -o requirements/$$service.txt || exit 1; \
	done
	$(UV_COMPILE) $(ARGS) services/standalone/pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(UV_COMPILE) $(ARGS) -c requirements/dev.txt requirements/bench.in -o requirements/bench.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Clarion needs Python 3.11 to 3.13: name one, as in 'make $(MAKECMDGOALS) PYTHON=python3.12'" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	    && apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null \
	    || { echo "Python's venv module is missing: install the package python3-venv" >&2; exit 1; }; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run: $(BIN)/python requirements/build.txt requirements/standalone.txt $(PYPROJECTS)
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/standalone.txt
	@$(EDITABLE)
	@touch $@

$(VENV)/dev: $(BIN)/python requirements/dev.txt $(PYPROJECTS)
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(EDITABLE)
	@touch $@ $(VENV)/run

# apart from Clarion's: what it is measured beside must not change what it runs on
$(VENV)/peers/ready: $(VENV)/dev requirements/bench.txt
	@$(BIN)/python -m venv $(VENV)/peers
	@$(VENV)/peers/bin/pip --disable-pip-version-check --quiet install --require-hashes -r requirements/bench.txt
	@touch $@
