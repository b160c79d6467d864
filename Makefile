# These set a fresh checkout up:
#   make say    environment, install, and a first sentence in out/hello.wav
#   make demo   environment, install, and the page at http://127.0.0.1:7860
#   make test   environment, install with the test tools, then lint, types and tests
# Both are quick the second time: what was installed is remembered in stamp files that depend on pyproject.toml.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
SENTENCE ?= I told you, she is coming home tonight.
EMOTION ?= happy

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CODE := emovoice ar_tts diffusion vocoders checkpoints app tests

.PHONY: help say demo test lint check-types wheel clean

help:
	@sed -n 's/^#   make/make/p' Makefile

# ---- environment ------------------------------------------------------------------------------------------------

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "emovoice: no '$(PYTHON)' here. Install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "emovoice: Python 3.10 or newer is needed, '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1). Name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "emovoice: '$(PYTHON)' lacks the venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --progress-bar off --editable .
	@touch $@

# The test set contains the plain one, so `make say` has nothing left to install after `make test`.
$(VENV)/installed-test: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --progress-bar off --editable '.[test]'
	@touch $(VENV)/installed $@

# ---- what one wants ---------------------------------------------------------------------------------------------

say: $(VENV)/installed
	@mkdir -p out
	$(BIN)/emovoice say "$(SENTENCE)" --emotion "$(EMOTION)" --output out/hello.wav --force
	@$(BIN)/python -c 'import soundfile; i = soundfile.info("out/hello.wav"); print(f"out/hello.wav: {i.duration:.2f} s of speech at {i.samplerate} Hz")'

demo: $(VENV)/installed
	$(BIN)/emovoice demo

lint: $(VENV)/installed-test
	$(BIN)/ruff check .

check-types: $(VENV)/installed-test
	$(BIN)/mypy

# One recipe rather than three prerequisites: pytest's closing line stays the last one, also under make -j.
test: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

wheel: $(VENV)/installed-test
	rm -rf build
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls -l dist/*.whl

clean:
	rm -rf "$(VENV)" build dist out ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
