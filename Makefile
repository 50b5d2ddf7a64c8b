# Two commands are all a newcomer needs: `make demo` and `make test`. Both set up what they need, in .venv, once.
# Wanted: git, make and a Python from 3.11 on. Which one: make PYTHON=python3.12
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_ADAPTERS := $(VENV)/.ready-adapters
UV := $(BIN)/uv --quiet --no-progress
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
PYTEST_ARGS ?=

.PHONY: setup setup-adapters demo test test-slow lint docs lock clean

setup: $(READY)

# uv is many times faster than pip; where it cannot reach what pip can (a mirror that pip alone is told of), pip does it.
# A set-up that was stopped leaves no .ready, and the next command goes on with it.
$(READY): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "bestreply wants Python 3.11 or newer, and finds none. Name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bestreply wants Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0])'
	@echo "Setting up $(VENV) (a minute or two, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install uv
	@$(UV) pip install --python $(BIN)/python --compile-bytecode -r requirements.lock 2>/dev/null || $(PIP) install -r requirements.lock
	@$(UV) pip install --python $(BIN)/python --no-deps --editable . 2>/dev/null || $(PIP) install --no-deps --editable .
	@touch $(READY)

setup-adapters: $(READY_ADAPTERS)

# What the slow tests need beside that: the larger of the libraries that adapters are for.
$(READY_ADAPTERS): $(READY) requirements-adapters.lock
	@echo "Adding the libraries of all adapters to $(VENV)"
	@$(UV) pip install --python $(BIN)/python --compile-bytecode -r requirements-adapters.lock 2>/dev/null || $(PIP) install -r requirements-adapters.lock
	@touch $(READY_ADAPTERS)

demo: setup
	@$(BIN)/bestreply run --preset demo

test: setup
	@$(BIN)/python -m pytest -n 2 -m "not slow" $(PYTEST_ARGS)

# pytest's status 5 says that no test is marked slow.
test-slow: setup-adapters
	@$(BIN)/python -m pytest -n 2 -m slow $(PYTEST_ARGS) || test $$? -eq 5

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

docs: setup
	@$(BIN)/sphinx-build -W -q docs docs/_build
	@echo docs/_build/index.html

# Pins every dependency for all supported Pythons; the second file, of all adapters, agrees with the first. Holds no address.
COMPILE := $(UV) pip compile --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
	--extra openspiel --extra pettingzoo --extra gymnasium --extra jumanji --extra dev --extra docs
lock: setup
	@$(COMPILE) --extra jaxmarl --extra pgx --extra minari --extra vault --extra frames --extra onnx pyproject.toml -o requirements-adapters.lock
	@$(COMPILE) -c requirements-adapters.lock pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .cache docs/_build
