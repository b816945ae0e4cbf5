# giftless: run it, test it.  Everything a target needs it installs by itself:
# Python packages into .venv, tools for tests and benchmarks by apt.
#
#   PYTHON=python3.12   the interpreter that .venv is made with
#   LOWEST=1            install the lowest version of each dependency
#   TESTS="tests.lfs"   what to test: modules, classes or tests
#   COVERAGE=1          report which lines the tests ran
#   SOAK=1              run the long rounds of the tests that have some
#   ARGS="..."          arguments of the daemon (run) or the benchmark (bench)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test soak stores coverage lint ruff-check ruff-format mypy docs bench news dist \
	release deb pins clean

# Only what is installed in .venv is run.
unexport PYTHONPATH
bin := .venv/bin

help:
	@echo "make run       serve Git LFS on http://127.0.0.1:8080 (ARGS=\"--config FILE\")"
	@echo "make test      run the tests (TESTS=\"tests.lfs\", COVERAGE=1)"
	@echo "make soak      run the tests that repeat things, for longer (TESTS=\"tests.lfs\")"
	@echo "make stores    install all servers for the tests (needs Go; minutes)"
	@echo "make coverage  run the tests and report which lines they ran"
	@echo "make lint      check style, format and types"
	@echo "make docs      build docs/_build/html"
	@echo "make bench     compare with other servers (ARGS=\"--quick\", BENCH=authentication)"
	@echo "make news      write the news of a release (VERSION=1.2.0)"
	@echo "make dist      build the wheel and the source archive, and try both"
	@echo "make release   the same for a release, if all is committed (VERSION=1.2.0)"
	@echo "make deb       build a Debian package for this machine's release"
	@echo "make pins      choose new versions of what the Debian package brings"
	@echo "make clean     remove everything that was made here, except objects"

# What a configuration may name is installed if there is one: it is more than the rest.
run:
	@.ci/venv $(if $(ARGS)$(filter GIFTLESS_%,$(.VARIABLES)),all)
	@exec $(bin)/twistd -n --pidfile= giftless $(ARGS)

test:
	@.ci/apt git=git git-lfs=git-lfs curl=curl
	@.ci/stores azurite-blob tus.min.js pg_ctlcluster slapd oidc-provider \
		git-credential-oauth git-credential-manager kubernetes-validate hadolint
	@.ci/venv test
	@$(bin)/python tests/run.py $(if $(COVERAGE),--coverage) $(if $(SOAK),--soak) $(TESTS)

soak:
	@$(MAKE) --no-print-directory test SOAK=1

stores:
	@.ci/stores

coverage:
	@$(MAKE) --no-print-directory test COVERAGE=1

lint: ruff-check ruff-format mypy

ruff-check:
	@.ci/venv lint
	$(bin)/ruff check

ruff-format:
	@.ci/venv lint
	$(bin)/ruff format --check

mypy:
	@.ci/venv lint test
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
	@$(if $(filter ssh,$(BENCH)),.ci/apt sshd=openssh-server && .ci/git-lfs)
	@.ci/peers
	@.ci/venv test
	@$(bin)/python -m benchmarks.$(BENCH) $(ARGS)

news:
	@.ci/release "$(VERSION)" news
	@.ci/venv docs
	$(bin)/towncrier build --yes --version "$(VERSION)"

dist:
	@.ci/apt curl=curl
	@.ci/venv release
	@.ci/archives

release:
	@.ci/release "$(VERSION)"
	@$(MAKE) --no-print-directory dist

deb:
	@.ci/venv release
	@.ci/deb

# It trusts the authorities that the machine trusts: some networks have one of their own.
pins:
	@.ci/venv release
	$(bin)/uv pip compile --system-certs --quiet --universal --python-version 3.11 \
		--generate-hashes --upgrade --no-annotate --custom-compile-command "make pins" --extra all --extra ldap \
		--output-file etc/requirements.txt pyproject.toml

clean:
	rm -rf .venv build dist giftless.egg-info docs/_build _trial_temp* .coverage* \
		.mypy_cache .ruff_cache .hypothesis
