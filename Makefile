# make demo     set up, train on generated data through the service, show it live
# make test     set up, run the tests
# make serve    set up, serve the page and the API on http://127.0.0.1:8000
# make check    lint, types, layers       make test-slow   the long repetitions
# make bench    the benchmarks            make install     the set-up alone (.venv/)

PYTHON ?= python3
# Where torch and torchvision come from, if not from the usual registry: the address of PyTorch's own index of CPU builds
# saves a machine without a GPU 5 GB.
TORCH_INDEX ?=
BIN := .venv/bin
.PHONY: install demo serve test test-slow check bench clean

install: .venv/installed

# torch and what it needs are about 6 GB; pip keeps what it has downloaded.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "needs Python 3.11 or newer, found $$($(PYTHON) --version); try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up .venv (about two minutes, 6 GB) ..."
	@$(PYTHON) -m venv .venv
	@if [ -n "$(TORCH_INDEX)" ]; then \
		grep -E '^(torch|torchvision)==' requirements.txt | sed 's/ ;.*//' > .venv/torch.txt; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --index-url "$(TORCH_INDEX)" -r .venv/torch.txt; \
		grep -vE '^(torch|torchvision|triton|cuda-|nvidia-[^m])' requirements.txt > .venv/rest.txt; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r .venv/rest.txt; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt; \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	@$(BIN)/python -m service demo

serve: install
	@$(BIN)/python -m service serve

test: install
	@$(BIN)/python -m pytest

test-slow: install
	@$(BIN)/python -m pytest -m slow

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layers.py

bench: install
	@$(BIN)/python -m benchmarks.fanout
	@$(BIN)/python -m benchmarks.start

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
