# Two commands on a fresh machine with git, make and Python >= 3.10:
#   make repro   set up, then the whole pipeline: corpus, training, hypotheses, scores
#   make test    set up, then all tests
PYTHON ?= python3
VENV := .venv
# An absolute path without its folder's name: the project may lie under a path with spaces.
RUN := PATH="$$PWD/$(VENV)/bin:$$PATH"
STAMP := $(VENV)/.installed
# Two processes, a test module in one of them: what a module sets up once stays set up once. A thread each:
# networks this small gain nothing from more, and two times two threads on two cores wait for each other.
# Modules come in the order of tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder

.PHONY: setup repro test test-fast lint format clean

setup: $(STAMP)

$(STAMP): requirements.txt
	@echo "setup: installing requirements.txt into $(VENV) (about 6 GB, a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "error: $(PYTHON) is older than 3.10; try make PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(STAMP)

repro: $(STAMP)
	@echo "repro: running the pipeline of dvc.yaml; stages that did not change are skipped"
	@$(RUN) dvc repro

test: $(STAMP)
	@echo "test: running all tests"
	@$(RUN) $(PYTEST)

test-fast: $(STAMP)
	@echo "test: running the tests that are not marked slow"
	@$(RUN) $(PYTEST) -m "not slow"

lint: $(STAMP)
	@echo "lint: ruff"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

format: $(STAMP)
	@echo "format: ruff"
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format .

clean:
	@echo "clean: removing the virtual environment"
	@rm -rf $(VENV)
