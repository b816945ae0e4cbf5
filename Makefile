# giftless: run it, test it.  Everything a target needs it installs by itself:
# Python packages into .venv, tools for tests and benchmarks by apt.
#
#   PYTHON=python3.12   the interpreter that .venv is made with
#   TESTS="tests.lfs"   what to test: modules, classes or tests
#   COVERAGE=1          report which lines the tests ran
#   ARGS="..."          arguments of the daemon (run) or the benchmark (bench)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test stores coverage lint docs bench clean

# Only what is installed in .venv is run.
unexport PYTHONPATH
bin := .venv/bin

help:
	@echo "make run       serve Git LFS on http://127.0.0.1:8080 (ARGS=\"--config FILE\")"
	@echo "make test      run the tests (TESTS=\"tests.lfs\", COVERAGE=1)"
	@echo "make stores    install all servers for the tests (needs Go; minutes)"
	@echo "make coverage  run the tests and report which lines they ran"
	@echo "make lint      check style, format and types"
	@echo "make docs      build docs/_build/html"
	@echo "make bench     compare with other servers (ARGS=\"--quick\", BENCH=authentication)"
	@echo "make clean     remove everything that was made here, except objects"

run:
	@.ci/venv all
	@exec $(bin)/twistd -n --pidfile= giftless $(ARGS)

test:
	@.ci/apt git=git git-lfs=git-lfs curl=curl
	@.ci/stores azurite-blob pg_ctlcluster
	@.ci/venv test
	@$(bin)/python tests/run.py $(if $(COVERAGE),--coverage) $(TESTS)

stores:
	@.ci/stores

coverage:
	@$(MAKE) --no-print-directory test COVERAGE=1

lint:
	@.ci/venv lint
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

docs:
	@.ci/venv docs
	$(bin)/towncrier build --draft --version next >/dev/null
	$(bin)/sphinx-build -W --keep-going -E -q docs docs/_build/html

BENCH ?= suite
bench:
	@.ci/apt git=git git-lfs=git-lfs curl=curl nginx=nginx-light wrk=wrk
	@.ci/stores versitygw
	@$(if $(filter locks,$(BENCH)),.ci/stores pg_ctlcluster)
	@.ci/peers
	@.ci/venv test
	@$(bin)/python -m benchmarks.$(BENCH) $(ARGS)

clean:
	rm -rf .venv build dist giftless.egg-info docs/_build _trial_temp* .coverage* \
		.mypy_cache .ruff_cache .hypothesis
