# `make run` and `make test` are all a new machine needs: Python >= 3.10 with venv, pip and make.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -q -c constraints.txt
ARGS ?=

.PHONY: run test quick coverage lint docs wheel-test versions bench clean

run: $(VENV)/.installed
	$(PY) run_recbole_mm.py --model=MHCR $(ARGS)

# One thread each: two workers share the cores.
TEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

test: $(VENV)/.installed
	$(TEST)

# everything but the tests that start processes or train for seconds: under a minute
quick: $(VENV)/.installed
	$(TEST) -m "not slow"

coverage: $(VENV)/.installed
	$(TEST) --cov --cov-report=term:skip-covered

lint: $(VENV)/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The site, in build/docs: warnings are errors, and so are links that lead nowhere. It needs no network.
docs: $(VENV)/.docs
	$(PY) -m sphinx -W --keep-going -q -d build/doctrees docs build/docs
	@echo "the site is in build/docs/index.html"

# Wheel and sdist of what is committed, each in an empty environment, away from the checkout: ten minutes, and it fetches all.
wheel-test:
	PYTHON=$(PYTHON) packaging/wheel_test.sh

# The tests beside other Pythons and dependencies, and a table of them; each pair fetches an environment of its own:
# make versions PYTHONS="python3.10 python3.13" ARGS='--dependencies="tested newest oldest" --all'
PYTHONS ?= $(PYTHON)
versions:
	$(PYTHON) packaging/versions.py --pythons="$(PYTHONS)" $(ARGS)

# Times and memory beside RecBole's on the same data, in benchmarks/results; an hour on an otherwise idle machine.
bench: $(VENV)/.installed
	$(PY) -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# torch first and by itself: a range would let pip take another build than the tested one.
$(VENV)/.installed: setup.cfg constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps recbole==1.2.1
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) -e '.[docs]'
	touch $@
