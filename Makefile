# The few commands of this project. `make demo` and `make test` work on a fresh machine.
.PHONY: setup demo test check bench fix
PYTHON := .venv/bin/python

setup:
	@.ci/setup

demo: setup
	@.ci/with-engine $(PYTHON) -m sidecar demo $(ARGS)

# Most tests wait for a browser, an engine or a network: two workers, each with whole modules, which share a lab or a browser.
test: setup check
	@.ci/with-engine $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy --no-error-summary

bench: setup
	@.ci/with-engine $(PYTHON) -m tests.bench $(ARGS)

fix: setup
	@.venv/bin/ruff format --quiet .
	@.venv/bin/ruff check --fix --quiet .
