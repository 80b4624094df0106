# The one task runner. Every target makes .venv when needed; nothing else has to be installed but Python 3.11+.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-windows vectors e2e lint types format bench fuzz coverage clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/demo.py

# Installs a C compiler where there is none and it may: tools/test-packages.txt.
test: $(STAMP)
	$(BIN)/python tools/syspackages.py tools/test-packages.txt
	$(BIN)/python -m pytest -n auto tests

# On a Windows host with containers, as administrator. Without make: python tools/test_windows.py
WINDOWS ?=

test-windows:
	$(PYTHON) tools/test_windows.py $(WINDOWS)

vectors: $(STAMP)
	$(BIN)/python -m pytest -n auto tests/vectors

# Real programs on real mounts, and our tests in a Python of Windows under Wine, which is made once in build/wine-python.
# Installs what is missing of tools/e2e-packages.txt where it may; the engines are unpacked once in build/engines.
e2e: $(STAMP)
	$(BIN)/python tools/syspackages.py tools/e2e-packages.txt
	$(BIN)/python tools/winepython.py
	$(BIN)/python tools/engines.py
	$(BIN)/python -m pytest -m e2e tests/e2e

lint: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/codespell src tests docs benchmarks $(wildcard *.md)

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks tools
	$(BIN)/ruff check --fix src tests benchmarks tools

types: $(STAMP)
	$(BIN)/mypy

# What to ask and how: make bench BENCH='import --quick'
BENCH ?=

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

# What to feed and how long: make fuzz FUZZ='import_layer --seconds 60'
FUZZ ?=

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz $(FUZZ)

# Which branches of formats and layer no test takes. All are to be taken; a report of those that are not.
coverage: $(STAMP)
	$(BIN)/coverage run -m pytest tests/unit tests/property tests/vectors
	$(BIN)/coverage report

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache
