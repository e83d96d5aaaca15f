# Every target makes what it needs: the virtual environment, the packages, the compiled parts.
#   make demo                       train on real data, predict, draw the learning curve
#   make examples                   every script of examples/, pictures in build/examples; EXAMPLES_ARGS=--small is quick
#   make test                       the whole test suite; make test EXTRAS=test,peers compares with other packages too
#   make bench                      a table of times beside PyTorch, ONNX Runtime and OpenVINO (a large download)
#   make lint                       linters, types and import contracts
#   make asan                       the C tests under AddressSanitizer and UBSan
#   make wheel-test                 sdist -> wheel -> clean environment -> tests outside this folder
# PYTHON names the interpreter (>= 3.11), PYTEST_ARGS goes to pytest.

PYTHON ?= python3
EXTRAS ?= test
PYTEST_ARGS ?=
BENCH_ARGS ?=
EXAMPLES_ARGS ?=
EXAMPLES := $(filter-out common.py,$(notdir $(wildcard examples/*.py)))
VENV := .venv
BIN := $(VENV)/bin
# With extensions left out, pip installs metadata and requirements; `build` then compiles only what has changed.
INSTALL := FASTRNN_EXTENSIONS=0 $(BIN)/python -m pip install --quiet --no-build-isolation
comma := ,

.PHONY: demo examples test lint bench asan wheel-test build clean
.DEFAULT_GOAL := test

demo: $(VENV)/.with-plot build
	$(BIN)/python examples/demo.py

examples: $(VENV)/.with-examples build
	@mkdir -p build/examples
	@cd build/examples && for script in $(EXAMPLES); do \
		echo "--- $$script"; "$(CURDIR)/$(BIN)/python" "$(CURDIR)/examples/$$script" $(EXAMPLES_ARGS) || exit 1; done

test: $(VENV)/.with-$(subst $(comma),-,$(EXTRAS)) build
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.with-dev build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint fastrnn/_core
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.with-bench-peers build
	$(BIN)/python -m benchmarks.table $(BENCH_ARGS)

asan:
	bash csrc/tests/run_asan.sh

wheel-test: $(VENV)/.with-dev
	bash .ci/wheel_test "$(BIN)/python"

build: $(VENV)/.with-build
	$(BIN)/python setup.py --quiet build_clib build_ext --inplace

$(VENV)/.with-build: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fastrnn needs Python >= 3.11: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		> $(VENV)/build-requires.txt
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --requirement $(VENV)/build-requires.txt
	touch $@

$(VENV)/.with-%: $(VENV)/.with-build
	$(INSTALL) --editable ".[$(subst -,$(comma),$*)]"
	touch $@

clean:
	rm -rf build dist *.egg-info $(VENV) fastrnn/_core/*.so csrc/tests/build
