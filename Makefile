# make run     everything to a proved decision: .venv, jars, the whole loop in a simulated app
# make test    linter, format, types, tests
# make install .venv with everything; .venv/bin/firstday then works from any folder
# make install SPARK=4: the same on Spark 4, in .venv-spark4; other targets take SPARK=4, too
# More: test-spark4, cluster-test, notebook, lint, format, docs, dist, bench, lock, audit, clean

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: help install run test test-spark4 cluster-test lint format docs notebook dist bench lock audit clean

help:
	@sed -n 's/^# //p' Makefile

# Spark 3.5, or Spark 4 in an environment of its own: pins and jars differ, the code does not.
SPARK ?= 3
SUFFIX := $(if $(filter 4,$(SPARK)),-spark4)
VENV := .venv$(SUFFIX)
PINS := requirements$(SUFFIX).txt
BIN := $(VENV)/bin
STAMPS := $(VENV)/share/firstday
LOOP := out/loop
UV := $(BIN)/uv --quiet --system-certs
# uv is quick, but knows only its own configuration of mirrors and certificates; pip knows pip's.
# Compiled as they are installed, as pip does: else the first run compiles them, or each run where Python may not write.
define install_pinned
$(UV) pip install --compile-bytecode --python $(BIN)/python --require-hashes -r $(1) || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
endef
PYTHON ?= $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
		&& echo "$$python" && break; done)

# --- install: each step leaves a stamp, so that the next time nothing is done and nothing is downloaded

install: $(STAMPS)/ready

$(STAMPS)/uv: requirements-uv.txt
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 is needed: apt-get install python3.11-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null \
		|| { echo "Python's venv module is needed: apt-get install python3.11-venv" >&2; exit 1; }
	@echo "Making $(VENV)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/packages: $(PINS) $(STAMPS)/uv
	@echo "Installing the packages of $(PINS)"
	@$(call install_pinned,$(PINS))
	@touch $@

$(STAMPS)/package: setup.py pyproject.toml $(STAMPS)/packages
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/ready: requirements-java.txt $(addprefix lib/firstday/spark/,jars.py install.py session.py) $(STAMPS)/package
	@$(BIN)/python -m firstday.spark.java || { echo "No Java 17 here: installing one into $(VENV)"; \
		$(call install_pinned,requirements-java.txt); }
	@echo "Fetching the jars"
	@$(BIN)/python -m firstday.spark.install
	@touch $@

# --- run

run: install
	@echo "Playing the whole loop in a simulated app, into $(LOOP)"
	@$(BIN)/firstday loop --world app --out $(LOOP)

# --- develop

# Two processes, each with one Spark session for all of its tests: planning, most of a small query, is one thread.
# Threads of linear algebra would wait for each other there, and keep a core busy with it.
test: lint
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

# The same tests on Spark 4, where ANSI mode is on; what needs SynapseML is skipped there and says so.
test-spark4:
	@$(MAKE) --no-print-directory SPARK=4 install
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 .venv-spark4/bin/pytest --ignore tests/cluster --numprocesses 2 --dist loadfile

# All jobs by spark-submit on a cluster of a master and two workers, which is started here; faults are injected.
cluster-test: dist
	@timeout --kill-after=60 1800 $(BIN)/pytest tests/cluster

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

# What is made of the code: the page of the Python API, and the notebook's outputs.
docs: install
	@$(BIN)/python -m benchmarks.api_page > docs/api.md
	@$(BIN)/python -m benchmarks.notebook docs/notebooks/first_hour.ipynb --write

# The notebook from a clean kernel, outputs apart.
notebook: install
	@$(BIN)/python -m benchmarks.notebook docs/notebooks/first_hour.ipynb

bench: install
	@$(BIN)/python -m benchmarks.speed
	@$(BIN)/python -m benchmarks.skew
	@$(BIN)/python -m benchmarks.truth
	@$(BIN)/python -m benchmarks.truth_elsewhere
	@$(BIN)/python -m benchmarks.label_quality
	@$(BIN)/python -m benchmarks.label_speed

# The wheel, and the same as .zip: spark-submit --py-files imports from a .zip, not from a .whl.
dist: install
	@rm -rf build dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	@cd dist && for wheel in *.whl; do cp "$$wheel" "$${wheel%%-py3*}.zip"; done
	@rm -rf build && ls dist

# Pin again what setup.py allows; pins that still fit are kept.
lock: $(STAMPS)/uv
	@echo 'pyspark<4' | $(UV) pip compile setup.py - --extra local --extra dev --output-file requirements.txt \
		--generate-hashes --universal --python-version 3.11 --no-header
	@printf 'pyspark[connect]>=4\nnumpy>=2\n' | $(UV) pip compile setup.py - --extra local --extra dev \
		--output-file requirements-spark4.txt --generate-hashes --universal --python-version 3.11 --no-header
	@echo pip-audit | $(UV) pip compile - --output-file requirements-audit.txt --generate-hashes \
		--universal --python-version 3.11 --no-header
	@sed -i '1i # What make audit runs, in an environment of its own. Pinned by make lock.' requirements-audit.txt

# Known vulnerabilities of everything that is pinned, by the OSV database or a mirror of it: AUDIT="--osv-url URL".
# Not part of make test: what passes today may fail tomorrow, and it needs the network.
AUDIT ?=
audit: $(STAMPS)/audit
	@log=$(STAMPS)/audit.log; \
	for pins in requirements*.txt; do \
		if $(VENV)/audit/bin/pip-audit --disable-pip --require-hashes --vulnerability-service osv $(AUDIT) \
				--progress-spinner off --requirement $$pins 2>$$log; then \
			echo "$$pins: no known vulnerabilities"; \
		elif grep -q '^Found .* vulnerabilit' $$log; then \
			echo "$$pins: $$(grep '^Found' $$log)"; exit 1; \
		else \
			echo "$$pins was not audited: the OSV database gave no answer. Try where the network reaches it." >&2; \
			tail -1 $$log >&2; exit 1; \
		fi; \
	done

$(STAMPS)/audit: requirements-audit.txt $(STAMPS)/uv
	@"$(PYTHON)" -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

clean:
	rm -rf build dist out .mypy_cache .pytest_cache .ruff_cache .hypothesis lib/*.egg-info
