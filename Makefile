# Every command a person or a program needs here. `make` alone lists them.

SHELL := /bin/bash
PYTHON ?= $(or $(ORCH_PYTHON),python3)
VENV := .venv
BIN := $(VENV)/bin
TYPED := $(wildcard orch web celeryconfig.py)
# One more than cores: what runs real processes mostly waits for them.
WORKERS ?= $(shell echo $$((1 + $$(getconf _NPROCESSORS_ONLN))))
PYTEST := $(BIN)/python -m pytest
COMPILE = $(BIN)/uv pip compile --quiet --universal --python $(BIN)/python --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(LOCK_FLAGS)

.DEFAULT_GOAL := help
.PHONY: help setup check test demo bench fuzz docs pictures lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.project ## install everything into .venv (again only when the locks changed)

# The two stamps are younger than what they were made from; nothing else says "installed".
$(VENV)/.locked: requirements-dev.lock
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; old = sys.version_info < (3, 11); print(f"orch needs Python 3.11 or newer, and $(PYTHON) is {sys.version.split()[0]}. Name a newer one: make setup PYTHON=python3.12", file=sys.stderr) if old else None; sys.exit(old)'
	@echo "== setup: a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "== setup: packages from requirements-dev.lock, each checked against its hash"
	@set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --require-hashes \
		--only-binary :all: -r requirements-dev.lock | awk -v all="$$(grep -c '^[a-z].*==' requirements-dev.lock)" \
		'/^Collecting |^Requirement already/ {sub(/^Requirement already satisfied: /, "Collecting "); printf "   [%d/%d] %s\n", ++n, all, $$2; fflush()} \
		 /^Installing/ {print "   installing"; fflush()}'
	@touch $@

$(VENV)/.project: $(VENV)/.locked pyproject.toml
	@echo "== setup: orch itself, editable"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	@touch $@
	@echo "== setup: done; try: make demo"

check: setup ## format, lint, types, import contracts, generated docs, architecture tests
	@echo "== format";       $(BIN)/ruff format --check .
	@echo "== lint";         $(BIN)/ruff check .
	@echo "== types";        $(BIN)/mypy $(TYPED)
	@echo "== imports";      $(BIN)/lint-imports --no-logo
	@if [ -e orch/docs.py ]; then echo "== generated docs"; $(BIN)/python -m orch.docs --check && $(BIN)/python -m web.reference --check; fi
	@echo "== architecture"; $(PYTEST) -q -p no:cacheprovider tests/architecture

test: setup ## all a newcomer needs to see green: check, then every test
	@verdict=0; \
	$(MAKE) --no-print-directory check || verdict=1; \
	echo "== tests (those skipped are named, with the reason, at the end)"; \
	$(PYTEST) -n $(WORKERS) --maxprocesses 5 --dist loadgroup -rfEs --no-fold-skipped --durations 5 || verdict=1; \
	if [ $$verdict = 0 ]; then echo "make test: green"; else echo "make test: RED, see above"; fi; exit $$verdict

demo: setup ## the product in small: real processes, real git, the incident and its cure
	@$(BIN)/orch demo

bench: setup ## measurements beside their references, as ratios
	@$(BIN)/python -m bench

fuzz: setup ## the gate's state machine and the HTTP interface, for longer
	@$(PYTEST) tests/store/test_gate_machine.py tests/web/test_conformance.py -n 2 --hypothesis-profile=fuzz --timeout 0

docs: setup ## write the generated pages anew
	@$(BIN)/python -m orch.docs
	@$(BIN)/python -m web.reference
	@$(BIN)/python -m tests.contracts.matrix
	@$(BIN)/python -m tests.cli.doctor_page

pictures: setup ## take the pictures of the pages anew (needs Chromium)
	@ORCH_PICTURES=docs/img $(PYTEST) -q tests/browser/test_pictures.py

lock: $(VENV)/bin/uv ## write the lock files anew (LOCK_FLAGS=--upgrade for newer versions)
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) pyproject.toml --extra dev --extra embedded-postgres --extra mcp --extra traces -o requirements-dev.lock
	@echo "requirements.lock and requirements-dev.lock are in step with pyproject.toml"

$(VENV)/bin/uv:
	@$(MAKE) --no-print-directory setup

clean: ## remove what make and the tools made
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
