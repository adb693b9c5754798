# Limner's commands. Each sets up what it needs by itself; nothing is installed outside .venv.
#   make demo    the real bot with the embedded model, on an in-memory Discord in a browser tab
#   make test    all tests
# PYTHON names the interpreter (3.11 or newer); PIP_ARGS goes to every pip install (for a wheel folder of your own, say).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
# A file's tests stay together: they share models. Each process that paints takes about half a gigabyte.
TEST_ARGS ?= -n auto --maxprocesses 4 --dist loadfile
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt

.PHONY: help setup demo run test check format bench clean

help: ## say what each command does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 16

setup: .venv/.runtime ## make .venv with what the bot needs to run

demo: .venv/.demo ## open the bot on an in-memory Discord in a browser tab (DEMO_ARGS="--port 8080")
	$(BIN)/python -m bot demo $(DEMO_ARGS)

run: .venv/.runtime ## serve a real Discord server (needs DISCORD_TOKEN)
	$(BIN)/python -m bot run

test: .venv/.test ## run all tests, side by side (TEST_ARGS="-k flags" for some)
	$(BIN)/python -m pytest $(TEST_ARGS)

check: .venv/.test ## lint, formatting, types, import rules, and what is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit.py

format: .venv/.test ## let ruff put imports and formatting right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.demo ## measure this machine and print JSON
	$(BIN)/python -m bot bench --json

clean: ## remove .venv and caches (not data/)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

.venv/bin/pip:
	@test -n "$(PYTHON)" || { echo "Limner needs Python 3.11 or newer; none was found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Limner needs Python 3.11 or newer; $(PYTHON) is older. Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Making a virtual environment in .venv"
	$(PYTHON) -m venv .venv

# One stamp for each set of extras: a set is installed again when its list of versions changed.
.venv/.runtime: .venv/bin/pip pyproject.toml constraints.txt
	@echo "Installing what the bot runs on (PyTorch and diffusers are large; a few minutes the first time)"
	$(INSTALL) -e .
	@touch $@

.venv/.demo: .venv/.runtime
	@echo "Installing what the demo needs"
	$(INSTALL) -e '.[demo]'
	@touch $@

.venv/.test: .venv/.runtime
	@echo "Installing what the tests need"
	$(INSTALL) -e '.[demo,test,postgres]'
	@touch $@
