# All that is needed: Python >= 3.11, git, make (for `make test-full` also root, or sudo without a password).
#
#   make run                      everything in one process; make run ARGS="--meters 5" passes flags on
#   make test                     linters, types, architecture, and every test that needs no root (minutes)
#   make test-full                what needs mosquitto and its clients, installed by apt where missing, and a real Home
#                                 Assistant, installed into ~/.cache the first time (some minutes)
#   make test-long                soaks, hundreds of kills, and the properties on examples that are new each time
#   make lint | docs | bench      the linters alone | derived tables and the AsyncAPI file | docs/benchmarks.md
#   make vendor                   the dashboard's JavaScript libraries anew from npm
#   make clean                    remove what was made here (not wattswap-data)

SHELL := /bin/sh
export PATH := $(PATH):/usr/sbin:/sbin
export UV_PYTHON_DOWNLOADS := never

BIN := .venv/bin
PYTEST = $(BIN)/pytest --dist loadfile --numprocesses
ONE_MORE = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) # they wait for brokers and processes more than they compute
RUNNABLE := .venv/.runnable
READY := .venv/.ready
TOOLS := .venv-tools
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(TOOLS)/bin/uv)
PYTHON = $(or $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$python && break; done), \
	$(error no Python 3.11 or newer on the PATH (tried python3, python3.11 to python3.14): install one))

.PHONY: run test test-full test-long lint docs bench vendor clean apt home-assistant

run: $(RUNNABLE)
	$(BIN)/wattswap up $(ARGS)

test: lint
	$(PYTEST) $(ONE_MORE) -m "not full and not long" $(ARGS)

test-full: $(READY) apt home-assistant
	$(PYTEST) auto -m "full and not long" $(ARGS)

test-long: $(READY) apt home-assistant
	$(PYTEST) auto tests/property --hypothesis-profile new-examples
	$(BIN)/pytest -m long $(ARGS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/wattswap docs

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

vendor: $(READY)
	$(BIN)/python docs/make_vendor.py

clean:
	rm -rf .venv $(TOOLS) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that is there is kept; a new one is made with the Python found.  Running takes a tenth of what the
# tests take: they measure against the reference models of others.
SYNC = $(UV) sync --frozen $(if $(wildcard .venv/bin/python),,--python $(PYTHON))

$(RUNNABLE): pyproject.toml uv.lock $(filter $(TOOLS)/%,$(UV))
	$(SYNC) --no-dev --inexact
	touch $@

$(READY): pyproject.toml uv.lock $(filter $(TOOLS)/%,$(UV))
	$(SYNC)
	touch $@ $(RUNNABLE)

$(TOOLS)/bin/uv:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo >&2 \
	"$(PYTHON) cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv), or uv"; exit 1; }
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv

# The real broker, its clients, curl for the walkthrough, openssl for a certificate, a browser for the dashboard.  The
# Debian package starts a broker of its own on port 1883, where `make run` wants to listen: it is not left running.
apt:
	@missing=; for tool in mosquitto mosquitto_sub curl openssl chromium; do \
		command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] && exit 0; \
	command -v apt-get >/dev/null || { echo "missing:$$missing; install mosquitto, its clients, curl, openssl and chromium" >&2; exit 1; }; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else \
		echo "missing:$$missing; run as root: apt-get install mosquitto mosquitto-clients curl openssl chromium" >&2; exit 1; fi; \
	set -e; export DEBIAN_FRONTEND=noninteractive; \
	$$sudo apt-get update -q; \
	$$sudo apt-get install -q -y --no-install-recommends mosquitto mosquitto-clients curl openssl chromium; \
	if [ -d /run/systemd/system ]; then $$sudo systemctl disable --now mosquitto; fi

home-assistant: $(READY) apt
	@$(BIN)/python tests/e2e/home_assistant/installation.py
