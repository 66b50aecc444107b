# On a fresh machine with git, make and Python 3.11 to 3.14:
#   make setup            virtual environment in .venv
#   make repro            set up, then the whole pipeline: corpus, training, hypotheses, scores; prints the results
#   make test             set up, then the tests (minutes)
#   make test-fast        tests without whole pipelines and trainings
#   make test-endurance   tests of kills, restarts and several processes (longer)
#   make lint             ruff and mypy
#   make format           ruff, with fixes
#   make clean            removes the virtual environment
#   make help             prints these lines
PYTHON ?= python3
# A further index of packages. PyTorch's has builds without CUDA, for a machine without a GPU:
# make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
VENV := .venv
# The project may lie under a path with spaces.
RUN := PATH="$$PWD/$(VENV)/bin:$$PATH"
STAMP := $(VENV)/.installed
# Two processes; all tests of a module run in one of them, so that its fixtures are set up once. One thread per
# process: the test networks are too small to gain from more. tests/conftest.py orders the modules.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder

.PHONY: setup repro test test-fast test-endurance lint format clean help

setup: $(STAMP)

# The stamp appears last: after an interruption the next make begins anew, in an empty environment.
$(STAMP): requirements.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "error: $(PYTHON) is not Python 3.11 to 3.14; try make PYTHON=python3.13" >&2; exit 2; }
	@echo "setup: installing requirements.txt into $(VENV) (about 6 GB, a few minutes); less without CUDA, for a"
	@echo "setup: machine without a GPU: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu"
	@[ -e $(STAMP) ] && [ -x $(VENV)/bin/python ] || "$(PYTHON)" -m venv --clear $(VENV)
	@rm -f $(STAMP)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		$(addprefix --extra-index-url ,$(TORCH_INDEX)) -r requirements.txt
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

repro: $(STAMP)
	@echo "repro: running the pipeline of dvc.yaml; stages that did not change are skipped"
	@$(RUN) dvc repro
	@$(RUN) python -m atc_asr.commands.summary

test: $(STAMP)
	@echo "test: running the tests without those of make test-endurance"
	@$(RUN) $(PYTEST) -m "not endurance"

test-fast: $(STAMP)
	@echo "test: running the tests that are not marked slow"
	@$(RUN) $(PYTEST) -m "not slow and not endurance"

test-endurance: $(STAMP)
	@echo "test: running the tests of kills, restarts and several processes"
	@$(RUN) $(PYTEST) -m "endurance and not rehearsal"

lint: $(STAMP)
	@echo "lint: ruff and mypy"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: $(STAMP)
	@echo "format: ruff"
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format .

clean:
	@echo "clean: removing the virtual environment"
	@rm -rf $(VENV)

help:
	@sed -n 's/^#   //p' Makefile
