# Python 3.11 or newer, git and make are all that a machine needs; the rest comes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := enireconcile tests docs
# The tests of every day. Proofs, packets, clocks, watching, moto and the acceptance kit take long, as do the tests that go
# through all attributes, lost answers, IAM statements and accounts to export; the peers need tools that are not Python's.
EXHAUSTIVE := tests/iam/test_policy.py tests/scenarios/test_attributes.py tests/scenarios/test_export.py \
  tests/scenarios/test_tokens.py
PROOFS := $(EXHAUSTIVE) tests/proofs tests/acceptance tests/real tests/vpc tests/docs/test_guests.py tests/docs/test_console.py \
  tests/docs/test_cron.py tests/processes/test_demo.py tests/processes/test_timeout.py tests/processes/test_paused.py \
  tests/processes/test_clocks.py tests/processes/test_sandbox.py tests/processes/test_watch.py \
  tests/scenarios/test_moto.py tests/scenarios/test_specs_on_moto.py tests/scenarios/test_wrong_answers.py \
  tests/scenarios/test_optional_reads.py
# Properties: few examples every day, and many with the proofs.
PROPERTIES := tests/export/test_templates.py tests/planning/test_left_out.py tests/planning/test_simulation.py \
  tests/planning/test_targeting.py tests/outputs/test_planfile.py tests/spec/test_adopt.py tests/spec/test_render.py \
  tests/state/test_damage.py
without = $(1:%=--ignore=%) --ignore=tests/peers --hypothesis-profile=everyday
TESTS := tests $(call without,$(PROOFS))
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# What an installation that is not editable does, too: without bytecode, a command takes half as long again to start, and
# where PYTHONDONTWRITEBYTECODE is set, none is ever written.
COMPILE := $(BIN)/python -m compileall -q enireconcile

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types layers coverage prove peers docs docs-serve bench mutants wheel clean \
  acceptance acceptance-clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Watch a spec go through plan, apply, drift and repair, in a sandbox, and a page come back
	@$(BIN)/enireconcile sandbox -- $(BIN)/python docs/demo.py

test: $(VENV)/dev.stamp ## Run the tests (all but the proofs and the peers)
	@$(BIN)/pytest -n auto $(TESTS)

check: format lint types layers test ## Run all that must be green before a commit

format: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check $(CODE)

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check $(CODE)

types: $(VENV)/dev.stamp
	@$(BIN)/mypy

layers: $(VENV)/dev.stamp
	@$(BIN)/lint-imports --no-cache

coverage: $(VENV)/dev.stamp ## Run the tests and require a minimum of line coverage (twice as long)
	@$(BIN)/pytest -n auto tests $(call without,$(filter-out $(EXHAUSTIVE),$(PROOFS))) --cov

prove: $(VENV)/dev.stamp ## Run the exhaustive proofs and the acceptance kit, and print what the proofs covered
	@$(BIN)/pytest -n auto $(PROOFS) $(PROPERTIES)

peers: $(VENV)/peers.stamp ## Run Ansible and Terraform (if on the PATH) on the tests' EC2, and the command on ministack
	@$(BIN)/pytest -n auto tests/peers

docs: $(VENV)/docs.stamp ## Build the documentation site into build/site, and check its links
	@$(BIN)/python docs/site/build.py

docs-serve: docs ## Build the site and serve it at http://127.0.0.1:8000/
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8000

acceptance: $(VENV)/demo.stamp ## Run the program in an AWS account, for less than a dollar
	@$(BIN)/python -m tests.acceptance run $(ARGS)

acceptance-clean: $(VENV)/demo.stamp ## Delete what acceptance runs have left in the account
	@$(BIN)/python -m tests.acceptance clean $(ARGS)

bench: $(VENV)/bench.stamp ## Measure it beside bare boto3, Terraform and Ansible (TABLES=… for some), and write the page
	@$(COMPILE)
	@$(BIN)/python -m tests.bench $(TABLES)

mutants: $(VENV)/mutants.stamp ## Change the pure core in small ways and list the changes that no test fails on (long)
	@$(BIN)/python -m tests.mutants

wheel: $(VENV)/bin/python ## Build sdist and wheel into dist/, and try them on each supported Python that is on the PATH
	@$(BIN)/python -m tests.wheel

clean: ## Remove everything that make has made
	@rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache mutants dist build

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "enireconcile needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once) …"
	@$(INSTALL) -e '.[sandbox]'
	@$(COMPILE)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "setting up $(VENV) for development (once) …"
	@$(INSTALL) -e '.[sandbox,dev]'
	@$(COMPILE)
	@touch $@ $(VENV)/demo.stamp $(VENV)/docs.stamp

$(VENV)/docs.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "setting up $(VENV) for the documentation (once) …"
	@$(INSTALL) -e '.[docs]'
	@touch $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp
	@echo "setting up $(VENV)/bench, which has no extras (once) …"
	@$(PYTHON) -m venv $(VENV)/bench
	@$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/mutants.stamp: $(VENV)/dev.stamp
	@echo "adding mutmut to $(VENV) (once) …"
	@$(INSTALL) -e '.[sandbox,dev,mutants]'
	@touch $@

# ministack needs other versions of botocore and graphql-core than constraints.txt has.
$(VENV)/peers.stamp: $(VENV)/dev.stamp tests/peers/ministack.txt
	@echo "adding Ansible and ministack to $(VENV) (once) …"
	@$(INSTALL) -e '.[sandbox,dev,peers]'
	@$(PYTHON) -m venv $(VENV)/ministack
	@$(VENV)/ministack/bin/python -m pip install --quiet --disable-pip-version-check -r tests/peers/ministack.txt
	@touch $@
