# Everything lives in .venv; the first call of `run`, `test` or `lint` sets it up, later calls start at once.
# Needs python3 >= 3.11 with its venv module (Debian: python3-venv) and a network for the first call.
#   make run ARGS="matrices/mine.yaml --quick"     ARGS are passed on to `bench run`
#   make test ARGS="-k journal"                    and to pytest

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.setup-done

.PHONY: setup run test unit slow lint clean

setup: $(STAMP)

run: $(STAMP)
	@$(BIN)/python -m bench run $(ARGS)

test: lint unit slow

# pytest's status 5, "no test was selected", is no failure: ARGS may select tests of the other half only.
unit: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" $(ARGS) || [ $$? -eq 5 ]

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS) || [ $$? -eq 5 ]

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What tools leave behind. The environment stays (rm -r .venv removes it), and so do measured results.
clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .tox
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# torch goes first: alone, pip takes the build that this machine's index prefers (CPU or CUDA), and what follows must
# agree with it. The models of the zoo are fetched last and built in all their variants; what cannot be had is said, and
# its cells are skipped, so that is no failure.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("deploybench needs Python 3.11 or newer, %s is %d.%d: make PYTHON=python3.11" % (sys.executable, *sys.version_info[:2]) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e '.[all,test]' -c constraints.txt
	@$(BIN)/python -m bench.zoo.fetch || { \
		echo '*** Some pretrained models could not be fetched: their cells will be skipped, all else works.' >&2; \
		echo '*** Try again with: $(BIN)/python -m bench.zoo.fetch' >&2; }
	@$(BIN)/python -m converters.onnx2tf_packages || { \
		echo '*** onnx2tf could not be fetched: the step onnx_to_saved_model is blocked, all else works.' >&2; \
		echo '*** Try again with: $(BIN)/python -m converters.onnx2tf_packages' >&2; }
	$(BIN)/python -m bench run --prepare || [ $$? -eq 3 ]
	@touch $(STAMP)
