# `make demo` colorizes a real video, `make serve` runs the service, `make test` checks everything.
# PYTHON=/path/to/python chooses the interpreter that .venv is made with.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml client/pyproject.toml constraints.txt
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: demo serve test format clean

# exec: a signal to make's child reaches the demo itself, not a shell around it.
demo: $(VENV)/installed
	@exec $(BIN)/python -m cli.demo

serve: $(VENV)/installed
	@exec $(BIN)/retint serve

test: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo build dist *.egg-info client/src/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp is written last: what was cut off is done again, what is done is not.
$(VENV)/installed: $(SOURCES) | $(VENV)/created
	@echo "Installing into $(VENV); the first time takes a few minutes."
	$(PIP) -e client -e '.[api,worker,embedded,demo]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e client -e '.[api,worker,embedded,demo,dev]'
	@touch $@

# Names of interpreters may exist and not work (version managers leave such), so each is tried.
$(VENV)/created:
	@check='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		if "$$python" -c "$$check" 2>/dev/null; then \
			"$$python" -m venv $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "Found no working Python 3.11, 3.12 or 3.13 with the venv module (tried:" \
		"$(or $(PYTHON),python3 python3.13 python3.12 python3.11))." \
		"Install one (Debian: python3 and python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
	exit 1
