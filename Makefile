# Python 3.11 or newer, git and make are all that a machine needs; the rest comes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := enireconcile tests docs
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types layers bench mutants peers clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Watch a spec go through plan, apply, drift and mending, in a sandbox
	@$(BIN)/enireconcile sandbox -- $(BIN)/python docs/demo.py

test: $(VENV)/dev.stamp ## Run all tests
	@$(BIN)/pytest -n auto

check: format lint types layers test ## All that must be green before a commit

format: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check $(CODE)

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check $(CODE)

types: $(VENV)/dev.stamp
	@$(BIN)/mypy

layers: $(VENV)/dev.stamp
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/dev.stamp ## Compare a no-op plan with bare boto3, in one run
	@$(BIN)/python -m tests.bench

mutants: $(VENV)/mutants.stamp ## Change the pure core in small ways, see which changes no test minds (long)
	@$(BIN)/python -m tests.mutants

peers: $(VENV)/peers.stamp ## Install a real Ansible, for make test to try on the tests' EC2 (as it does a Terraform on the PATH)

clean: ## Remove what make has made
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache mutants

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "enireconcile needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once) …"
	@$(INSTALL) -e '.[sandbox]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "setting up $(VENV) for development (once) …"
	@$(INSTALL) -e '.[sandbox,dev]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/mutants.stamp: $(VENV)/dev.stamp
	@echo "adding mutmut to $(VENV) (once) …"
	@$(INSTALL) -e '.[sandbox,dev,mutants]'
	@touch $@

$(VENV)/peers.stamp: $(VENV)/dev.stamp
	@echo "adding Ansible to $(VENV) (once) …"
	@$(INSTALL) -e '.[sandbox,dev,peers]'
	@touch $@
