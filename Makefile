# Two commands do all the set-up: `make demo` and `make test`. Either can be run first.
PYTHON ?= python3
DESKTOP := .venv
DEVICE := .venv-device
DOCS := .venv-docs
# No bytecode of one environment in the other's way, no prompts, no version nagging.
PIP := -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find bioxedge -name '*.py')

.PHONY: demo test test-all test-device test-arm64 test-export coverage lint bench docs clean

demo: $(DESKTOP)/ready $(DEVICE)/ready  ## simulate, train, export, stream: the whole path
	$(DESKTOP)/bin/python export/demo.py --out demo --device $(DEVICE)/bin/python

# One more than cores, from 3 to 4: many tests wait for real sensors, brokers and browsers.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$((cores < 3 ? 3 : 4)))

test: $(DESKTOP)/ready  ## the tests, as CI runs them
	$(DESKTOP)/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-all: $(DESKTOP)/ready  ## the same with everything that is more of the same: some minutes more
	BIOXEDGE_ALL=1 $(DESKTOP)/bin/python -m pytest --timeout 600 -n $(WORKERS) --dist loadfile \
		--no-loadscope-reorder

test-device: $(DEVICE)/ready  ## the device's tests, where torch was never installed
	$(DEVICE)/bin/python $(PIP) 'pytest>=8' 'pytest-xdist>=3.6' 'pytest-randomly>=3.16' \
		'pytest-timeout>=2.3.1' 'hypothesis>=6.100' 'jsonschema>=4.21'
	$(DEVICE)/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-export: $(DESKTOP)/ready $(DEVICE)/ready  ## the scripts of export/ at full size: minutes, 3 GB
	nice -n 10 $(DESKTOP)/bin/python -m pytest -q tests/export_full_size.py

test-arm64: $(DESKTOP)/ready  ## an emulated 64-bit Arm board: BrainFlow built for it, parity (root)
	$(DESKTOP)/bin/python tests/arm64/run.py

coverage: $(DESKTOP)/ready  ## the tests once more, counting lines and branches: twice as long
	rm -rf out/coverage
	$(DESKTOP)/bin/python -m pytest --timeout 600 --cov -n $(WORKERS) --dist loadfile \
		--no-loadscope-reorder

lint: $(DESKTOP)/ready  ## ruff, and strict mypy on the whole package
	$(DESKTOP)/bin/ruff check .
	$(DESKTOP)/bin/ruff format --check .
	$(DESKTOP)/bin/mypy

docs: $(DOCS)/ready  ## the documentation as a site in out/docs; warnings are errors
	$(DOCS)/bin/python -m sphinx -W --keep-going -n -q -d out/doctrees docs out/docs

bench: $(DESKTOP)/ready  ## the figures of the documents: hours (real recordings: BIOXEDGE_SHARED)
	$(DESKTOP)/bin/python benchmarks/directions.py --out out/directions
	$(DESKTOP)/bin/python -W ignore benchmarks/training.py --out out/training
	$(DESKTOP)/bin/python benchmarks/bidmc.py --out out/bidmc
	$(DESKTOP)/bin/python $(PIP) -e '.[data]'
	$(DESKTOP)/bin/python benchmarks/quality.py --out out/quality
	$(DESKTOP)/bin/python benchmarks/runtime.py --out out/runtime
	$(DESKTOP)/bin/python benchmarks/soak.py --out out/soak
	$(DESKTOP)/bin/python benchmarks/sinks.py --out out/sinks
	$(DESKTOP)/bin/python benchmarks/page.py --out out/page
	$(DESKTOP)/bin/python benchmarks/record.py
	$(DESKTOP)/bin/python benchmarks/fleet.py --out out/fleet
	$(DESKTOP)/bin/python benchmarks/site.py --out out/site

# The desktop: training, export, tests. Editable, so that a change needs no install.
$(DESKTOP)/ready: pyproject.toml
	$(PYTHON) -m venv $(DESKTOP)
	$(DESKTOP)/bin/python $(PIP) --upgrade pip
	$(DESKTOP)/bin/python $(PIP) -e '.[brainflow,lsl,mqtt,train,openecg,test,lint]'
	touch $@

# The device: the base install and BrainFlow, nothing else; from a built wheel, as users get it.
$(DEVICE)/ready: pyproject.toml $(SOURCES)
	$(PYTHON) -m venv $(DEVICE)
	$(DEVICE)/bin/python $(PIP) --upgrade pip
	$(DEVICE)/bin/python $(PIP) '.[brainflow,lsl,mqtt]'
	$(DEVICE)/bin/python $(PIP) --force-reinstall --no-deps .
	touch $@

# The site needs the base install, whose docstrings it reads, and no torch.
$(DOCS)/ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(PIP) -e '.[docs]'
	touch $@

clean:  ## remove what the commands above made
	rm -rf $(DESKTOP) $(DEVICE) $(DOCS) .arm64 demo out .pytest_cache .mypy_cache .ruff_cache .hypothesis
