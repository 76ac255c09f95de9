# Needs Python 3.11 or newer with venv, and make. Each environment comes from its own locked file: .venv/demo holds what
# a user of the demo needs and no more, .venv/test what a developer needs, .venv/lock the tool that locks.

PYTHON ?= python3
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
RELIABILITY_ARGS ?=
MUTATE_ARGS ?=
SEEDS ?=
SEED ?=
HARDSHIP ?=

.DEFAULT_GOAL := help
.PHONY: help demo test sim reliability mutate check fix bench lock clean python venv-demo venv-test venv-lock

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 make test           chooses the interpreter"
	@echo "  make demo DEMO_ARGS='--csv my.csv --target price'"
	@echo "  make test TEST_ARGS='-m unit -x'      passes arguments on (BENCH_ARGS likewise)"

demo: venv-demo  ## set up .venv/demo and run the demo
	@.venv/demo/bin/regrow demo $(DEMO_ARGS)

test: venv-test  ## set up .venv/test and run the tests
	@.venv/test/bin/python -m pytest $(TEST_ARGS)

sim: venv-test  ## play simulated worlds: SEEDS=20000 for more, SEED=123 for that one, HARDSHIP=4 for worse
	@REGROW_SIM_SEEDS=$(SEEDS) REGROW_SIM_SEED=$(SEED) REGROW_SIM_HARDSHIP=$(HARDSHIP) \
	    .venv/test/bin/python -m pytest -rP tests/sim/test_world.py

reliability: venv-test  ## run all campaigns (half an hour) and write docs/reliability.md; RELIABILITY_ARGS='--only NAME'
	@.venv/test/bin/python -m reliability --write $(RELIABILITY_ARGS)

mutate: venv-test  ## put one fault at a time into engine and journal, and show which the tests miss; MUTATE_ARGS=--write
	@nice .venv/test/bin/python -m mutation $(MUTATE_ARGS)

check: venv-test  ## lint, format, types, layers
	.venv/test/bin/ruff check .
	.venv/test/bin/ruff format --check .
	.venv/test/bin/mypy
	.venv/test/bin/lint-imports --no-logo

fix: venv-test  ## apply the fixes and the format that the linter knows
	.venv/test/bin/ruff check --fix .
	.venv/test/bin/ruff format .

bench: venv-test  ## measure, each figure beside its raw limit
	@.venv/test/bin/python -m benchmarks $(BENCH_ARGS)

clean:  ## remove environments, caches and builds (never a journal)
	@rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made afresh when what it was made from has changed: the interpreter, the place, the locked file. By
# checksum, since a checkout changes dates; afresh, since pip removes nothing that a lock no longer names.
define make_venv
	@set -e; key="$$($(PYTHON) -VV) $(CURDIR) $$(cksum < requirements/$(1).txt)"; \
	if [ "$$(cat .venv/$(1)/made-from 2>/dev/null)" != "$$key" ]; then \
	    echo "setting up .venv/$(1) (once; a minute or two)"; \
	    rm -rf .venv/$(1); \
	    $(PYTHON) -m venv .venv/$(1); \
	    .venv/$(1)/$(pip_install) --require-hashes --requirement requirements/$(1).txt; \
	    printf '%s' "$$key" > .venv/$(1)/made-from; \
	fi
endef

# The package itself is linked in, and again when its metadata has changed. Without build isolation, so that hatchling
# comes from the locked file too.
define link_regrow
	@set -e; key="$$(cat pyproject.toml src/regrow/_version.py | cksum)"; \
	if [ "$$(cat .venv/$(1)/linked-from 2>/dev/null)" != "$$key" ]; then \
	    .venv/$(1)/$(pip_install) --no-build-isolation --no-deps --editable .; \
	    printf '%s' "$$key" > .venv/$(1)/linked-from; \
	fi
endef

pip_install = bin/python -m pip -qq --disable-pip-version-check --no-input install

venv-demo: python
	$(call make_venv,demo)
	$(call link_regrow,demo)

venv-test: python
	$(call make_venv,test)
	$(call link_regrow,test)

venv-lock: python
	$(call make_venv,lock)

python:
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "regrow needs Python 3.11 or newer with venv, and '$(PYTHON)' is not that: install it, or name another" \
	         "with PYTHON=python3.12 make ..." >&2; \
	    exit 1; \
	}

# Locked for every platform and for Python 3.11 upwards at once. Pins stay as they are unless pyproject.toml excludes
# them; `make lock LOCK_ARGS=--upgrade` moves them. The demo's pins follow the test's, so that what was tested is what
# runs. No configuration of this machine takes part, and no address is written down.
LOCK_ARGS ?=
compile = env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
    .venv/lock/bin/uv pip compile --quiet --no-config --universal --fork-strategy fewest \
    --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command 'make lock' $(LOCK_ARGS)

lock: venv-lock  ## lock the dependencies again
	@$(compile) pyproject.toml --group dev --group build --output-file requirements/test.txt
	@$(compile) pyproject.toml --extra demo --group build --constraints requirements/test.txt \
	    --output-file requirements/demo.txt
	@$(compile) --group lock --output-file requirements/lock.txt
