# Paths are relative throughout, so that a clone may lie in a folder with spaces.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench bench-rl load pictures clean kafka

comma := ,
PYTHON ?=
IN_VENV := .venv/bin/python
PIP_INSTALL := $(IN_VENV) -m pip install -q --disable-pip-version-check -c constraints.txt

help: ## show these lines
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: .venv/.base ## trade on sample data in this process: no Kafka, Redis, Docker or key
	@.venv/bin/finagent demo

test: .venv/.dev kafka ## run all tests, on a real Kafka and Redis too
	@$(IN_VENV) -m pytest -q -n logical --maxprocesses 4 --dist loadfile

check: .venv/.dev ## lint, formatting, types, and the direction of imports
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@$(IN_VENV) -m pytest -q tests/unit/test_import_direction.py

bench: .venv/.dev ## measure speed
	@$(IN_VENV) -m tests.performance

bench-rl: .venv/.dev kafka ## measure training beside stable-baselines3; OPTIONS="--quick", "--only updates", "--seeds 10"
	@$(IN_VENV) -m tests.performance.bench_rl $(OPTIONS)

pictures: .venv/.dev kafka ## make the pictures in docs/images again
	@$(IN_VENV) -m tests.pictures
	@$(IN_VENV) -m tests.system.dashboard_pictures

load: .venv/.dev kafka ## load the real server with strategies on a real Kafka; fails where a promise is not kept
	@$(IN_VENV) -m tests.performance.load

clean: ## stop local services; remove .venv, .finagent, caches and builds
	@[ ! -d .finagent ] || [ ! -x $(IN_VENV) ] || $(IN_VENV) -c 'import infra.services as s; s.stop_kafka(); s.stop_redis()'
	@rm -rf .venv .finagent .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

kafka: .venv/.dev
	@$(IN_VENV) -m tests.prerequisites

.venv/.base: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	@echo "Installing into .venv ..."
	@$(PIP_INSTALL) -e .
	@touch $@

# It holds the base install too, so that a later `make demo` has nothing to do.
.venv/.dev: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	@echo "Installing into .venv, with the tools for development ..."
	@$(PIP_INSTALL) -e '.[dev]'
	@touch .venv/.base $@

# Each name is tried, not only looked up: some are there but don't run.
.venv/pyvenv.cfg:
	@for python in $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3 python); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$python" -m venv --clear .venv; \
	  fi; \
	done; \
	echo "Python 3.11 or newer is needed$(if $(PYTHON),$(comma) $(PYTHON) is not): install it, or say make PYTHON=/path/to/python3" >&2; \
	exit 1
