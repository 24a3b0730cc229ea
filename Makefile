# Every target starts from a bare machine: Python >= 3.11, make, git and a package index.
PYTHON ?= python3
BIN := .venv/bin
BOTS := src/zapisano/bots
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo check types units test bench storm lock translations clean

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/runtime ## start everything on this machine and open the page
	@exec $(BIN)/zapisano demo $(ARGS)

check: .venv/dev ## format, lint, types, imports, tidy and unit tests (under 30 s)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry src
	@$(MAKE) --no-print-directory -j2 --output-sync=target types units

# The two slow ones, side by side.
types: .venv/dev
	$(BIN)/pyright

units: .venv/dev
	$(BIN)/pytest -q tests/unit tests/test_tidy.py

# A seed that is printed, so that an order of tests that went wrong can be had again. Where so many
# fail it is the machine, or one thing at the bottom: better to say so than to wait for the rest.
ORDER ?= $(shell echo $$RANDOM)
test: .venv/dev ## the whole suite, on real PostgreSQL and Valkey; ORDER=… the same order again
	$(BIN)/pytest -q -n 2 --dist loadgroup --maxfail 25 --randomly-seed $(ORDER) tests $(ARGS)

bench: .venv/dev ## figures, each as a ratio to a named baseline of the same run
	$(BIN)/python -m bench $(ARGS)

SIZE ?= 20
storm: .venv/dev ## kill everything again and again (minutes); SEED=… draws the same again
	SEED=$(SEED) ZAPISANO_STORM_SEED=$(SEED) ZAPISANO_STORM_SIZE=$(SIZE) \
		$(BIN)/pytest -q -s tests/e2e/test_ledger_storm.py tests/e2e/test_money_storm.py

# The installed set is a stamp: it is made anew when its lock or the packaging changes.
.venv/runtime: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -f .venv/dev || { echo "Installing (about a minute, once)…"; \
		$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.txt; }
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the development set (about a minute, once)…"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ .venv/runtime

lock: .venv/dev ## resolve pyproject.toml into requirements/*.txt
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra build pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra build --extra dev pyproject.toml -o requirements/dev.txt

translations: .venv/dev ## bring the bots' texts into the catalogues and compile them
	@for domain in sales booking; do \
		paths="$(BOTS)/booking"; ignore=""; \
		[ $$domain = booking ] || { paths=$(BOTS); ignore="--ignore-dirs=booking"; }; \
		$(BIN)/pybabel -q extract $$ignore --no-location --no-wrap -o $(BOTS)/locales/$$domain.pot $$paths; \
		for language in ru en; do \
			$(BIN)/pybabel -q update --init-missing --no-fuzzy-matching --ignore-obsolete \
				--ignore-pot-creation-date --no-wrap -D $$domain -l $$language \
				-i $(BOTS)/locales/$$domain.pot -d $(BOTS)/locales; \
		done; \
		rm $(BOTS)/locales/$$domain.pot; \
		$(BIN)/pybabel -q compile -D $$domain -d $(BOTS)/locales; \
	done

clean: ## remove the virtual environment and caches; data folders stay
	rm -rf .venv .pytest_cache .ruff_cache build dist
