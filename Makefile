# Farthing's commands. `make` alone lists them.

VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SUDO   := $(shell test "$$(id -u)" = 0 || echo sudo)
PYTEST := $(BIN)/pytest -q

SOURCES := operator trainer_image scripts tests
CRDS    := charts/farthing/templates/crds
API_DOC := docs/api.md

.DEFAULT_GOAL := help
.PHONY: help venv demo test format format-check lint types imports crds-check scan unit trainer controller chart e2e crds docs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) ## Make .venv with everything in it, at the versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	scripts/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: venv ## Train two models on a local cluster inside their budgets (root; about 8 minutes warm, 40 cold)
	$(SUDO) $(BIN)/farthing demo

test: venv ## Everything below, one after the other; ends with one line
	$(BIN)/python scripts/run_tiers.py

format: venv ## Write the house's format
	$(BIN)/ruff format $(SOURCES)

format-check: venv ## Fail where the format is another
	$(BIN)/ruff format --check $(SOURCES)

lint: venv ## ruff, with the rules of pyproject.toml
	$(BIN)/ruff check $(SOURCES)

types: venv ## mypy, strict on the pure packages
	$(BIN)/mypy operator/farthing trainer_image/farthing_trainer

imports: venv ## Layers: imports point one way
	$(BIN)/lint-imports

crds-check: venv ## Fail where CRDs or docs/api.md are stale
	$(BIN)/farthing crds --check $(CRDS) --check-docs $(API_DOC)

unit: venv ## Unit and architecture tests: no cluster, no root
	$(PYTEST) tests/unit tests/architecture

trainer: venv ## The trainer on this machine's CPU
	$(PYTEST) tests/trainer

controller: venv ## The operator against a real control plane with pretended nodes
	$(PYTEST) tests/controller

chart: venv ## The Helm chart
	$(PYTEST) tests/chart

scan: venv ## Security scanners over code, images, chart and attempts (.venv-scan; docs/security.md)
	$(BIN)/python scripts/scan.py

e2e: venv ## The whole of it on a whole cluster (root)
	$(SUDO) $(PYTEST) tests/e2e

crds: venv ## Write the chart's CRDs from the models
	$(BIN)/farthing crds --write $(CRDS)

docs: venv ## Write docs/api.md from the models
	$(BIN)/farthing crds --docs > $(API_DOC)

lock: venv ## Write constraints.txt from what is installed in .venv
	$(BIN)/python scripts/lock.py

clean: ## Remove what was built and cached in the checkout; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find operator trainer_image tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
