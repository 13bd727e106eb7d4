# One verb per job; `make help` lists them. Works in a folder with spaces in its name.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
CORES := $(shell nproc 2>/dev/null || echo 2)
# Each process that runs tests reads compiled modules, whatever the environment says about writing them.
PYTEST := env PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q

.PHONY: help setup demo quick test lint format generate lowest release bench screenshots up down clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make the virtual environment with everything that the other verbs need

$(STAMP): pyproject.toml tools/setup.sh tools/requirements-dev.lock
	@bash tools/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $(STAMP)

demo: setup ## Run it all on the built-in simulator (REAL=1 probes the real API)
	@bash tools/programs.sh prometheus prometheus-alertmanager
	@exec $(BIN)/openai-exporter demo $(if $(REAL),--real) $(DEMO_FLAGS)

quick: lint ## Lint, then run every test that starts no program (under a minute)
	@$(PYTEST) --quick -n $(CORES) $(PYTEST_FLAGS)

# Half of the tests wait for a program at any time, so there are two processes per core.
test: lint ## Lint, then run every test
	@bash tools/versions.sh run $(PYTEST) -n $$(($(CORES) * 2)) --durations=10 --durations-min=20 $(PYTEST_FLAGS)

lint: setup ## Check style, types, imports and generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/generate.py --check

format: setup ## Rewrite the code in house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generate: setup ## Write the generated files: rules, Alertmanager configuration, schema, tables
	@$(BIN)/python tools/generate.py

lowest: setup ## Run the quick tests with the lowest allowed version of every direct dependency
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --no-header --resolution lowest-direct --only-binary :all: --python-version 3.11 \
		--output-file $(VENV)/lowest.txt pyproject.toml > /dev/null
	@$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(VENV)/lowest
	@$(BIN)/uv pip install --quiet --python $(VENV)/lowest/bin/python --constraint $(VENV)/lowest.txt --group dev --editable .
	@PYTHONDONTWRITEBYTECODE= $(VENV)/lowest/bin/python -m pytest -q --quick -n $(CORES) tests/exporter tests/simulator tests/rules

release: setup ## Make and check everything that a release has, into dist/; publish nothing
	@bash tools/versions.sh fetch
	@bash tools/versions.sh run bash tools/release.sh

bench: setup ## Measure speed and accuracy against peers in the same run
	@$(BIN)/python -m bench

screenshots: setup ## Draw the dashboards with a running Grafana (GRAFANA_URL=http://...)
	@$(BIN)/python -m tests.dashboards.screenshots --data .demo-screenshots --out docs/screenshots $(PAGES)

up: ## Start the full stack with Docker Compose (PROFILE=demo: on the simulator, without a key)
	@bash tools/stack.sh up $(PROFILE)

down: ## Stop the stack; volumes stay
	@bash tools/stack.sh down

clean: ## Remove the virtual environment and the demo's data
	rm -rf $(VENV) .demo .demo-screenshots
