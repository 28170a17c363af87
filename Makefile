# Needs Python 3.11 or later with venv, and make; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
# More than two cores, since many tests wait for processes of their own.
WORKERS ?= 4
INSTALLED := .venv/installed

# Where it is set, each process that a test starts compiles the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test kubernetes bench lab browser notebooks lock clean

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(INSTALLED)  ## Execute the notebooks on the bundled data and write reports/index.html
	$(BIN)/tarslab demo

test: export TQDM_DISABLE = 1  # a slow machine must not print a progress bar into an output
test: $(INSTALLED) browser  ## Lint, check types, and run every test and notebook
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS) --dist loadscope \
	  --ignore tests/admin --ignore tests/dashboards --ignore tests/stack
	$(BIN)/pytest -n $(WORKERS) --dist loadscope --cov --cov-report= tests/admin tests/dashboards tests/stack
	$(BIN)/coverage report
	$(BIN)/coverage report --include "tarslab/dashboards/*" --fail-under 85 --format total

kubernetes: $(INSTALLED)  ## Run the tests that need a real cluster (docs/kubernetes.md)
	tests/kubernetes/run

bench: $(INSTALLED)  ## Measure tarslab beside its peers and write docs/benchmarks.md (some 12 minutes)
	$(BIN)/python -m tests.benchmarks

lab: $(INSTALLED)  ## Open JupyterLab in notebooks/
	$(BIN)/jupyter lab --notebook-dir notebooks

browser: $(INSTALLED)  ## Find a Chromium for the browser tests, or install one
	@$(BIN)/python -c "import sys, tarslab.doctor; sys.exit(not tarslab.doctor.browser())" \
	  || $(BIN)/playwright install chromium \
	  || { apt-get update -q && apt-get install -qy --no-install-recommends chromium; } \
	  || { echo "The browser tests need Chromium or Chrome: install one and run make again."; exit 1; }

notebooks: $(INSTALLED)  ## Execute the notebooks again and keep their outputs
	$(BIN)/tarslab report notebooks/*.ipynb -o reports
	cp reports/[0-9]*.ipynb notebooks/

lock:  ## Pin the dependencies anew
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q --disable-pip-version-check uv
	build/lock/bin/uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
	cd tarslab/stack/kubernetes && ../../../build/lock/bin/uv pip compile requirements.in -c ../../../requirements.lock \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

clean:  ## Remove what the other targets made
	rm -rf .venv reports build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage*

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'tarslab needs Python 3.11 or later; name one: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
