# The one task runner: people and CI call the same targets. `make` alone lists them.
#
# ARGS goes to the command behind `run` and the test targets: make run ARGS="--orders my.csv", make test ARGS="-k lake".

.DEFAULT_GOAL := help
.PHONY: help run test test-rest test-full test-postgres dev demo-disaster bench lint audit docs settings openapi format lock wheel clean
ARGS ?=
PYTEST := .venv/bin/python -m pytest

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

run: ## set up, then orders in, recommendations out (reco run)
	@scripts/bootstrap.sh
	@.venv/bin/reco run $(ARGS)

test: ## set up, then the tests a newcomer needs (no browser, nothing slow)
	@scripts/bootstrap.sh dev
	$(PYTEST) -n auto --dist loadfile -m "not slow and not browser" $(ARGS)

test-rest: ## only the tests that `make test` leaves out
	@scripts/bootstrap.sh dev
	$(PYTEST) -n 2 --dist loadfile -m "slow or browser" $(ARGS)

test-full: ## all tests; coverage of reco/ must reach the bound in pyproject.toml
	@scripts/bootstrap.sh dev
	$(PYTEST) --cov $(ARGS)

ON_POSTGRES := reco_pipeline_tests/unit $(addprefix reco_pipeline_tests/integration/test_,$(addsuffix .py,\
	api_access api_lists audit automation backup postgres release run_records two_shops versions))
test-postgres: ## the tests that touch SQL, with every ledger in a real Postgres
	@scripts/bootstrap.sh dev
	$(PYTEST) -n auto --dist loadfile -m "not slow and not browser" --database postgres $(ON_POSTGRES) $(ARGS)

dev: ## set up, then everything up until Ctrl-C: Dagster UI on port 3000, daemon, API (reco dev)
	@scripts/bootstrap.sh
	@exec .venv/bin/reco dev $(ARGS)

demo-disaster: ## set up, then kill and wipe Redis under load and restore it from a backup
	@scripts/bootstrap.sh
	@.venv/bin/python -m benchmarks.demo_disaster

bench: ## set up, then measure us beside our peers; fails where a kept ratio got worse (ARGS=matrix: peers of the matrix)
	@scripts/bootstrap.sh dev
	@.venv/bin/python -m benchmarks $(ARGS)

lint: ## rules, format, types, import directions, dead code, other files, and that Dagster can load the graph
	@scripts/bootstrap.sh dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python scripts/dead_code.py
	@scripts/lint_files.sh
	.venv/bin/python -W ignore::Warning -m dagster definitions validate -w workspace.yaml

docs: ## write the pages that code writes, then the site of all into site/, with every link checked
	@scripts/bootstrap.sh dev
	@.venv/bin/python scripts/settings_table.py
	@.venv/bin/python -m scripts.manual
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict
	@echo "site/index.html"

audit: ## secrets, licences, advisories, the schema of Compose: what lint would take too long for
	@scripts/bootstrap.sh dev
	@scripts/audit.sh

settings: ## write the table of settings in docs/reference.md from reco/settings.py
	@scripts/bootstrap.sh dev
	.venv/bin/python scripts/settings_table.py

format: ## write what `make lint` would ask for, where a tool can
	@scripts/bootstrap.sh dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock: ## make the four locks anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH"; exit 1; }
	uv pip compile $(LOCK) pyproject.toml --group dev -o requirements-dev.lock
	uv pip compile $(LOCK) pyproject.toml -c requirements-dev.lock -o requirements.lock
	uv pip compile $(LOCK) pyproject.toml --extra postgres -c requirements-dev.lock -o requirements-image.lock
	uv pip compile $(LOCK) --group build -c requirements-dev.lock -o requirements-build.lock

openapi: ## write docs/openapi.json anew, after a wanted change of the API
	@scripts/bootstrap.sh dev
	@.venv/bin/python -m reco_pipeline_tests.openapi_document

wheel: ## build the wheel into dist/
	@scripts/bootstrap.sh dev
	.venv/bin/python -m build --wheel --no-isolation

clean: ## remove what tools left behind; keeps .venv and the state in .reco
	rm -rf dist site .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find reco resources assets reco_pipeline reco_pipeline_tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
