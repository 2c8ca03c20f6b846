.DEFAULT_GOAL := help
SHELL := /bin/sh

# Telemetry of the tools is off by default.
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true
export DO_NOT_TRACK ?= true
export DVC_NO_ANALYTICS ?= true
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## List what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 13

.venv/installed: requirements.lock.txt build.lock.txt pyproject.toml
	@echo "==> Setting up .venv from requirements.lock.txt (several GB, once)"
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r build.lock.txt
	@# Compiled here once: the first processes would each compile what they import, and some machines keep no bytecode.
	DS_BUILD_OPS=0 .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes \
		--no-build-isolation -r requirements.lock.txt
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	.venv/bin/python -m compileall -q platform models pipelines
	@touch $@

setup: .venv/installed ## Make .venv with the locked packages

demo: setup ## Draw built-in data, train and compare models on it, end with a table and a report
	@echo "==> Running the pipeline of dvc.yaml on built-in data (some ten minutes on two cores)"
	dvc repro --quiet

test: setup ## Run all tests but the long ones of services and faults
	@echo "==> Running the tests; those that need data from elsewhere say so"
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not faults and not services"

# Made anew each time: what the lowest versions depend on in turn has new versions.
test-lowest: setup ## Run the same tests with the lowest versions of packages that pyproject.toml allows
	@echo "==> Setting up .venv-lowest (several GB) and running the tests there"
	rm -rf .venv-lowest
	.venv/bin/python -m venv .venv-lowest
	.venv/bin/uv pip compile --quiet --resolution lowest-direct --all-extras pyproject.toml -o .venv-lowest/packages.txt
	DS_BUILD_OPS=0 .venv/bin/uv pip install --quiet --python .venv-lowest/bin/python -r .venv-lowest/packages.txt
	.venv/bin/uv pip install --quiet --python .venv-lowest/bin/python --no-deps --editable .
	PATH="$(CURDIR)/.venv-lowest/bin:$(PATH)" OMP_NUM_THREADS=1 \
		pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not faults and not services"

faults: setup ## Kill trials, workers, drivers, trackers and nodes, and see what becomes of their runs
	@echo "==> Running the tests of lost processes (several minutes, the campaign of kills many)"
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20 -m faults

services: setup ## Run the long tests: whole pipelines and searches, reference numbers, benchmarks in reduced form
	@echo "==> Running the long tests (thirty to forty minutes)"
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40 -m services

lint: setup ## Check style and types
	@echo "==> Checking style (ruff) and types (pyright)"
	ruff check .
	ruff format --check .
	pyright

# Three that are left out are modules of the others; the campaign of kills takes more than an hour.
BENCHMARKS := $(filter-out benchmarks/cases.py benchmarks/figures.py benchmarks/simulation.py benchmarks/kills.py \
	benchmarks/trunks.py benchmarks/turns.py,$(wildcard benchmarks/*.py))
# Runs all, and fails at the end with the names of those that failed.
run_each = failed=; for script in $(1); do echo "--- $$script"; python $$script $(2) || failed="$$failed $$script"; done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

bench: setup ## Run every benchmark
	@echo "==> Running the benchmarks"
	@$(call run_each,$(BENCHMARKS),)

figures: setup ## Run the benchmarks but replay.py, and write what they print into docs/figures.yaml and the pages
	@echo "==> Measuring the figures of the pages (set POSEBED_REAL for those on photographs)"
	@$(call run_each,$(filter-out benchmarks/replay.py,$(BENCHMARKS)),--record)

site: setup ## Build the site of the documentation into build/site; warnings end it
	@echo "==> Building the site"
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet --config-file docs/site/mkdocs.yml
	@echo "python -m http.server -d build/site shows it on http://localhost:8000"

# Beside .venv, which would start slower with them.
.venv-release/installed: .venv/installed release/tools.lock.txt
	@echo "==> Setting up .venv-release from release/tools.lock.txt"
	rm -rf .venv-release
	.venv/bin/uv venv --quiet --python .venv/bin/python .venv-release
	.venv/bin/uv pip install --quiet --python .venv-release/bin/python --require-hashes -r release/tools.lock.txt
	@touch $@

# The licences are those that packages state of themselves. Neither list needs a network.
release: .venv-release/installed ## Build the packages of a release, the list of their parts (CycloneDX) and its licences into dist
	@echo "==> Building into dist"
	rm -rf dist
	.venv/bin/uv build --quiet --python .venv/bin/python --no-build-isolation --out-dir dist
	.venv-release/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o dist/parts.cdx.json \
		.venv/bin/python
	.venv-release/bin/pip-licenses --python .venv/bin/python --from mixed --order license --format csv --with-urls \
		--output-file dist/licences.csv

audit: .venv-release/installed ## Ask for known weaknesses of the locked packages; ends with 1 if there are some, with 3 without data
	@echo "==> Asking for known weaknesses (needs a network)"
	@.venv-release/bin/python release/audit.py

COMPILE := .venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --quiet

lock: .venv/installed ## Compile requirements.lock.txt anew from pyproject.toml, and the three others to match it
	@echo "==> Compiling requirements.lock.txt, build.lock.txt, cluster/image.lock.txt and release/tools.lock.txt"
	$(COMPILE) --all-extras pyproject.toml -o requirements.lock.txt
	$(COMPILE) --constraint requirements.lock.txt build.in -o build.lock.txt
	$(COMPILE) --constraint requirements.lock.txt cluster/image.in -o cluster/image.lock.txt
	$(COMPILE) release/tools.in -o release/tools.lock.txt

.PHONY: help setup demo test test-lowest faults services lint bench figures site release audit lock
