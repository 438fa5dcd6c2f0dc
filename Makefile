# Python 3.11 and make are all that a fresh clone needs: every command sets up .venv from the lock file by itself.
# ARGS="..." is handed on to the program behind a command, for example: make test ARGS="tests/core -x"

PYTHON ?= $(firstword $(shell command -v python3.11) $(shell command -v python3))
ARGS ?=
UV = 0.13.9
bin = .venv/bin
compiled = $(CURDIR)/var/compiled
quiet = --quiet --disable-pip-version-check
# Fetched before the tests, because a download that takes minutes would look like a test that hangs.
jars = ops/kafka/kafka.sh libs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check fmt test-kafka chaos nightly fuzz golden bench compiled kafka up lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- Run

ifneq ($(SERVE),)
serve = --serve
endif

ifeq ($(KAFKA),real)
demo: .venv/installed ## Bill the example engagements end to end (SERVE=1: and stay, as a sandbox; KAFKA=real: on Apache Kafka)
	@data=$$(mktemp -d) && trap 'ops/kafka/kafka.sh stop --dir "$$data" && rm -r "$$data"' EXIT && \
	servers=$$(ops/kafka/kafka.sh start --dir "$$data" --port 19092 --while $$$$) && \
	$(bin)/milepost demo $(serve) --bootstrap-servers "$$servers" $(ARGS)
else
demo: .venv/installed
	@$(bin)/milepost demo $(serve) $(ARGS)
endif

kafka: ## Run a real Apache Kafka on localhost:9092 until Ctrl-C (needs Java and Maven)
	@ops/kafka/kafka.sh start --foreground $(ARGS)

up: ## Start everything in containers and wait until it is healthy (ARGS="kafka postgres": only those)
	@ops/secrets.sh
	docker compose up --build --wait $(ARGS)

# ---- Judge

test: .venv/installed ## Run every test; says what it left out (CI=true: installs that first, and leaves out nothing)
ifeq ($(CI),true)
	ops/debian.sh install
endif
	@if command -v java >/dev/null && command -v mvn >/dev/null; then $(jars); fi
	$(bin)/pytest $(ARGS)

test-kafka: .venv/installed ## Run the tests that need a real Kafka
	@$(jars)
	$(bin)/pytest -m kafka $(ARGS)

chaos: .venv/installed ## Run the tests that kill and freeze workers, for ten minutes and more
	@$(jars)
	CHAOS_FLOW_S=600 $(bin)/pytest -m chaos $(ARGS)

nightly: .venv/installed ## Compare the fold with the oracle on 20,000 random engagements (half an hour)
	$(bin)/python -m tests.properties.hunt 20000 $(ARGS)

fuzz: .venv/installed ## Feed every parser a million inputs altogether (an hour; ARGS="-k webhook": some of them)
	FUZZ_TIMES=$${FUZZ_TIMES:-200} $(bin)/pytest --timeout 0 -k s34 $(ARGS)

check: .venv/installed ## Lint, check formats, types, the layers' contracts and the schemas' compatibility
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/milepost schemas check

bench: .venv/installed ## Measure the join beside its peers; says where the report is (COMPILED=1: with the compiled core)
	$(bin)/milepost bench join $(ARGS)
ifneq ($(COMPILED),)
bench: compiled
bench: export PYTHONPATH = $(compiled)
endif

compiled: .venv/installed ## Put a wheel's content with the core as C extensions into var/compiled (needs a C compiler)
	@rm -rf $(compiled)
	MILEPOST_COMPILE=1 $(bin)/pip wheel $(quiet) --no-deps --no-build-isolation --wheel-dir $(compiled)/dist .
	@$(bin)/pip install $(quiet) --no-deps --target $(compiled) $(compiled)/dist/*.whl

# ---- Change

fmt: .venv/installed ## Format the code and repair what ruff can repair
	$(bin)/ruff format
	$(bin)/ruff check --fix

golden: .venv/installed ## Rewrite golden files and generated pages; review them with git diff
	$(bin)/pytest --golden $(ARGS)

lock: ## Resolve the dependencies of pyproject.toml into requirements.lock
	$(PYTHON) -m venv .make/uv
	.make/uv/bin/pip install --quiet uv==$(UV)
	.make/uv/bin/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --output-file requirements.lock $(ARGS)

clean: ## Remove the environment, caches and local data
	rm -rf .venv .make var build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# ---- The environment. Two stamps: a change of the lock installs again, one of pyproject.toml only this package.

.venv/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; found: $(PYTHON). Say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(bin)/pip install $(quiet) --require-hashes -r requirements.lock
	@touch $@

.venv/installed: .venv/locked pyproject.toml
	$(bin)/pip install $(quiet) --no-deps --no-build-isolation --editable .
	@touch $@
