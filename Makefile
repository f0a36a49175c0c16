PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# one thread a process: two busy processes with two threads each slow each other tenfold
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 MPLBACKEND=Agg

.PHONY: install demo test browser lint signatures bench docs notebooks dist soak clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --retries 0 --timeout 10 --constraint constraints.txt torch --index-url https://download.pytorch.org/whl/cpu || \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[experiments,atlas,server,http,dwave,machines,amplify,circuits,drug]' --group test --group lint
	touch $(STAMP)

demo: $(STAMP)
	$(THREADS) $(BIN)/python -m experiments.demo --out demo-run

test: $(STAMP)
	$(THREADS) $(BIN)/python -m pytest -n 2 --dist loadfile

# the reports in a real browser: a Chromium on the path (apt-get install chromium), or its path in CHROMIUM
browser: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group browser
	$(THREADS) $(BIN)/python -m pytest tests/experiments/report/test_browser.py

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python .ci/signatures.py --check && $(BIN)/mypy && $(BIN)/codespell && $(BIN)/python .ci/prose.py

signatures: $(STAMP)
	$(BIN)/python .ci/signatures.py && $(BIN)/python .ci/command_reference.py

bench: $(STAMP)
	$(THREADS) $(BIN)/python -m experiments.benchmarks

soak: $(STAMP)
	$(THREADS) $(BIN)/python -m tests.soak.soak --minutes 10

DOCS := $(VENV)/.docs

$(DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	touch $(DOCS)

# pages, API reference and tutorials; a tutorial that did not change is taken from the cache
docs: $(DOCS)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sphinx-build -W -b html docs docs/_build/html

# every tutorial from its first cell to its last, whatever the cache holds
notebooks: $(DOCS)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sphinx-build -W -D nb_execution_mode=force -b html docs docs/_build/html

# wheel and source archive, and the wheel in an empty environment without the repository
dist: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dist
	rm -rf dist && $(BIN)/python -m build --outdir dist .
	PYTHON=$(PYTHON) bash tests/dist/check_wheel.sh dist/*.whl

clean:
	rm -rf $(VENV) demo-run docs/_build
